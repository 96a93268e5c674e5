"""The bytes of a raw file as blocks: plain, gzip or zstd, told apart by their first bytes.

A compressed file that ends too early is an error, never a shorter text: zstd goes through pyarrow
because the usual Python binding accepts a cut file. A file that grows more than 200-fold beyond 64 MiB
is refused as a bomb. Binary formats that are no text at all (Parquet, zip, ...) are named and refused.
Nothing is decoded here.
"""

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from bert_core.errors import CorpusError

BLOCK_BYTES = 1 << 20
MAX_RATIO = 200
MAX_RATIO_FREE_BYTES = 64 << 20

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_NOT_TEXT = (
    (re.compile(rb"PAR1"), "a Parquet file"),
    (re.compile(rb"ARROW1"), "an Arrow file"),
    (re.compile(rb"PK\x03\x04"), "a zip archive"),
    (re.compile(rb"BZh[1-9]1AY&SY"), "a bzip2 file"),
    (re.compile(rb"\xfd7zXZ\x00"), "an xz file"),
    (re.compile(rb"7z\xbc\xaf\x27\x1c"), "a 7z archive"),
    (re.compile(rb"%PDF-\d"), "a PDF file"),
    (re.compile(rb"\x89PNG\r\n"), "a PNG image"),
    (re.compile(rb"\xd0\xcf\x11\xe0\xa1\xb1"), "an old Office file"),
    (re.compile(rb"\x7fELF"), "a program"),
    (re.compile(rb"SQLite format 3\x00"), "a SQLite database"),
)


def is_compressed(head: bytes) -> bool:
    """Say whether a file that begins with `head` is gzip or zstd."""
    return head.startswith((_GZIP, _ZSTD))


def read_head(path: Path, num_bytes: int = 64, binary: bool = False) -> bytes:
    """Return the first bytes of a file as they lie on disk; `binary` allows formats that hold no plain text.

    Raises:
        CorpusError: the file cannot be read, or is a binary format that holds no plain text.
    """
    try:
        with path.open("rb") as file:
            head = file.read(num_bytes)
    except OSError as error:
        raise CorpusError(f"{path.name}: cannot be read ({error.strerror}); check the file") from error
    for magic, what in () if binary else _NOT_TEXT:
        if magic.match(head):
            remedy = "set its format" if what in ("a Parquet file", "an Arrow file") else "convert it to JSONL first"
            raise CorpusError(f"{path.name}: is {what}, expected text (plain, gzip or zstd); {remedy}")
    return head


def read_blocks(path: Path, start: int = 0, num_bytes: int | None = None) -> Iterator[bytes]:
    """Yield the (decompressed) bytes of a file, or of one range of a plain file, in blocks of at most 1 MiB.

    Args:
        path: a plain, gzip or zstd file.
        start: first byte, in the file on disk; 0 for compressed files.
        num_bytes: length of the range, bytes; None for all the rest.

    Raises:
        CorpusError: a compressed file is cut off, damaged or a bomb; a range of a compressed file is
            asked for.
    """
    head = read_head(path)
    if is_compressed(head):
        if start or num_bytes is not None:
            raise CorpusError(f"{path.name}: byte range {start}+{num_bytes} of a compressed file; read it whole")
        yield from _decompressed(path, "gzip" if head.startswith(_GZIP) else "zstd")
        return
    left = num_bytes
    with path.open("rb") as file:
        file.seek(start)
        while left is None or left > 0:
            block = file.read(BLOCK_BYTES if left is None else min(left, BLOCK_BYTES))
            if not block:
                return
            if left is not None:
                left -= len(block)
            yield block


def _decompressed(path: Path, kind: str) -> Iterator[bytes]:
    import pyarrow as pa  # planning imports this module and reads nothing compressed

    total = 0
    with path.open("rb") as raw:
        read: Callable[[int], bytes]
        if kind == "gzip":
            read = gzip.GzipFile(fileobj=raw).read
        else:
            read = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd").read
        while True:
            try:
                block = read(BLOCK_BYTES)
            except (EOFError, OSError, zlib.error, pa.ArrowException) as error:
                raise CorpusError(
                    f"{path.name}: {kind} data is cut off or damaged after {total:,} decompressed bytes "
                    f"({error}); fetch the file again; none of it is used"
                ) from error
            if not block:
                return
            total += len(block)
            if total > MAX_RATIO_FREE_BYTES and total > MAX_RATIO * raw.tell():
                raise CorpusError(
                    f"{path.name}: {kind} data grows more than {MAX_RATIO}-fold ({raw.tell():,} bytes gave "
                    f"{total:,}); refused as a decompression bomb; decompress it yourself if it is meant"
                )
            yield block
