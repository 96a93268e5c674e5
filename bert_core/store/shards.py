"""Arrow shards: IPC *stream* files that `datasets.Dataset.from_file` and memory mapping both read.

A writer fills `NAME-00000-of-?????` files of about equal size and gives them their final names when the last row is in.
Readers get memory-mapped tables: columns are views of the file, nothing is copied until it is touched. A digest check
belongs before (`store/manifest.py`): Arrow itself does not notice a flipped bit.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bert_core.errors import StoreError

ROWS_PER_BATCH = 4096
SHARD_BYTES = 64 << 20


def write_shards(
    folder: Path,
    name: str,
    schema: pa.Schema,
    tables: Iterable[pa.Table],
    *,
    shard_bytes: int = SHARD_BYTES,
) -> int:
    """Write tables as shards `NAME-00000-of-0000N.arrow`; at least one shard, even without rows.

    Args:
        folder: where the shards go; must exist.
        name: first part of the file names.
        schema: of every table.
        tables: rows, in order.
        shard_bytes: a shard is closed once it holds this much, bytes.

    Returns:
        Number of rows written.
    """
    unnamed: list[Path] = []
    num_rows, sink, writer = 0, None, None
    for table in tables:
        fitting = table if table.schema.equals(schema) else table.cast(schema)  # a cast to the same type copies lists
        for batch in fitting.combine_chunks().to_batches(max_chunksize=ROWS_PER_BATCH):
            if writer is None:
                unnamed.append(folder / f"{name}-{len(unnamed):05d}.writing")
                sink = pa.OSFile(str(unnamed[-1]), "wb")
                writer = pa.ipc.new_stream(sink, schema)
            writer.write_batch(batch)
            num_rows += batch.num_rows
            assert sink is not None
            if sink.tell() >= shard_bytes:
                writer.close()
                sink.close()
                sink, writer = None, None
    if writer is not None and sink is not None:
        writer.close()
        sink.close()
    if not unnamed:
        unnamed.append(folder / f"{name}-00000.writing")
        with pa.OSFile(str(unnamed[0]), "wb") as empty, pa.ipc.new_stream(empty, schema):
            pass
    for index, path in enumerate(unnamed):
        path.rename(folder / f"{name}-{index:05d}-of-{len(unnamed):05d}.arrow")
    return num_rows


def shard_paths(folder: Path, name: str) -> list[Path]:
    """Return the shards of `name` in `folder`, in order.

    Raises:
        StoreError: there is none, or one of the set is missing.
    """
    paths = sorted(folder.glob(f"{name}-[0-9]*-of-[0-9]*.arrow"))
    if not paths:
        raise StoreError(f"{folder}: no {name}-*.arrow shards; build the stage again")
    expected = int(paths[0].stem.rsplit("-", 1)[1])
    if len(paths) != expected:
        raise StoreError(f"{folder}: {len(paths)} shards of {name}, expected {expected}; build the stage again")
    return paths


def read_shard(path: Path) -> pa.Table:
    """Memory-map one shard as a table.

    Raises:
        StoreError: the file is no Arrow stream.
    """
    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
            return reader.read_all()
    except (pa.ArrowInvalid, OSError) as error:
        raise StoreError(f"{path}: not a readable Arrow stream ({error}); build the stage again") from error


def read_shards(folder: Path, name: str) -> pa.Table:
    """Memory-map all shards of `name` in `folder` as one table."""
    return pa.concat_tables([read_shard(path) for path in shard_paths(folder, name)])


def list_column(table: pa.Table, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a list column as flat values and row offsets.

    Example: rows `[[7, 8], [], [9]]` -> values `[7, 8, 9]`, offsets `[0, 2, 2, 3]`.

    Booleans come back as uint8. With one chunk and no booleans, values are a view of the file.

    Returns:
        values of the column's numpy type, shape (num_values,), and int64 offsets, shape (num_rows + 1,).
    """
    values: list[np.ndarray] = []
    offsets: list[np.ndarray] = [np.zeros(1, np.int64)]
    base = 0
    for chunk in table.column(name).chunks:
        raw_offsets = chunk.offsets.to_numpy().astype(np.int64)
        flat: Any = chunk.values
        start, stop = int(raw_offsets[0]), int(raw_offsets[-1])
        if pa.types.is_boolean(flat.type):
            bits = np.frombuffer(flat.buffers()[1] or b"", np.uint8)
            unpacked = np.unpackbits(bits, bitorder="little")[flat.offset : flat.offset + len(flat)]
            values.append(unpacked[start:stop])
        else:
            values.append(flat.to_numpy(zero_copy_only=True)[start:stop])
        offsets.append(raw_offsets[1:] - start + base)
        base += stop - start
    if not values:
        return np.zeros(0, np.int64), np.zeros(1, np.int64)
    return (values[0] if len(values) == 1 else np.concatenate(values)), np.concatenate(offsets)


def list_array(values: np.ndarray, offsets: np.ndarray, value_type: pa.DataType) -> pa.ListArray:
    """Build a list column from flat values and row offsets; the inverse of `list_column`.

    uint8 values become bits where `value_type` is boolean.
    """
    if pa.types.is_boolean(value_type):
        bits = np.packbits(np.ascontiguousarray(values, dtype=np.uint8), bitorder="little")
        flat = pa.Array.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(bits.tobytes())])
    else:
        flat = pa.array(values).cast(value_type)
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), flat)


def token_type(vocabulary_size: int) -> pa.DataType:
    """Return the narrowest type for token ids: uint16 where the vocabulary fits, else uint32."""
    return pa.uint16() if vocabulary_size <= 1 << 16 else pa.uint32()
