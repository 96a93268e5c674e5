"""Texts of Parquet and Arrow files, one column, a batch of rows at a time.

Arrow files are told apart by their beginning: the file format (also Feather) or the stream format, in which the
datasets library keeps what it saves. A column of strings of any layout is read (dictionary, large, view); null is a
fault of its row. Every batch is validated in full before it is read, offsets and UTF-8 included, so that a damaged
file is an error and not a crash or a wrong text.
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from bert_core.errors import CorpusError

ROWS_AT_ONCE = 4096
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


def open_columns(path: Path, kind: str, column: str) -> tuple[list[str], Iterator[list[str | None]]]:
    """Open a file.

    Args:
        path: the file.
        kind: `parquet` or `arrow`.
        column: the column of texts.

    Returns:
        Names of the columns that are there; and the texts of `column`, in batches, None for null (nothing may be asked
        of them where the column is not among the names).

    Raises:
        CorpusError: the file is of another format or damaged, or the column holds no strings.
    """
    with _telling(path, kind):
        batches: Iterator[pa.RecordBatch]
        if kind == "parquet":
            import pyarrow.parquet as parquet

            opened = parquet.ParquetFile(path, memory_map=False, page_checksum_verification=True)
            schema = opened.schema_arrow
            batches = opened.iter_batches(ROWS_AT_ONCE, columns=[column])
        else:
            source = pa.OSFile(str(path))
            is_file = source.read(6) == b"ARROW1"
            source.seek(0)
            if is_file:
                reader = pa.ipc.open_file(source)
                schema = reader.schema
                batches = (reader.get_batch(index) for index in range(reader.num_record_batches))
            else:
                stream = pa.ipc.open_stream(source)
                with path.open("rb") as file:
                    file.seek(max(0, source.size() - len(_END_OF_STREAM)))
                    if file.read() != _END_OF_STREAM:  # the reader takes a stream cut between two batches for whole
                        raise pa.ArrowInvalid("the stream is cut off: no end mark")
                schema, batches = stream.schema, iter(stream)
    if column in schema.names:
        kind_of_values = schema.field(column).type
        if pa.types.is_dictionary(kind_of_values):
            kind_of_values = kind_of_values.value_type
        is_text = pa.types.is_string(kind_of_values) or pa.types.is_large_string(kind_of_values)
        if not (is_text or pa.types.is_string_view(kind_of_values)):
            raise CorpusError(
                f"{path.name}: column {column!r} holds {schema.field(column).type}, expected strings; set text_column"
            )
    return list(schema.names), _texts(path, kind, column, batches)


def _texts(path: Path, kind: str, column: str, batches: Iterator[pa.RecordBatch]) -> Iterator[list[str | None]]:
    while True:
        with _telling(path, kind):
            batch = next(batches, None)
            if batch is None:
                return
            batch.validate(full=True)
            values = batch.column(batch.schema.get_field_index(column))
        for begin in range(0, len(values), ROWS_AT_ONCE):
            yield values.slice(begin, ROWS_AT_ONCE).to_pylist()


class _telling:  # noqa: N801  (used as a statement)
    """Turns what pyarrow says of a file into an error of ours."""

    def __init__(self, path: Path, kind: str) -> None:
        self.path, self.kind = path, kind

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, pa.ArrowException | OSError | UnicodeDecodeError):
            what = "a Parquet file" if self.kind == "parquet" else "an Arrow file"
            said = str(error).partition("\n")[0]
            raise CorpusError(
                f"{self.path.name}: cannot be read as {what} ({said}); fetch the file again or set its format; none of "
                "it is used"
            ) from error
