"""Raw files cut into slices of about 4 MiB, so that a changed file redoes one slice and not the corpus.

Slice k of a file holds the documents that begin in bytes [k * S, (k + 1) * S) with S = SLICE_BYTES. A
cut depends only on the bytes before it, so a document appended to a file changes the last slice alone.
Compressed files, files in two-byte encodings, and formats whose records cannot be found from the middle
(whole-file formats, tables with their header and quoting) are one slice a file. So are files behind an address, whose
digest is made of what the server says of their version.

Nothing is parsed here: planning reads each byte once, for its digest.
"""

import codecs
import hashlib
import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bert_core.config import CorpusConfig
from bert_core.corpus.articles import begins_article, plain_text
from bert_core.corpus.decode import detect_encoding
from bert_core.corpus.paths import RawFile, resolve_paths
from bert_core.corpus.readers import COLUMNAR, format_of
from bert_core.corpus.streams import is_compressed, read_head

SLICE_BYTES = 4 << 20

_SPLITTABLE = ("txt_blank_line", "txt_line", "jsonl", "tagged_words")
_BLANK_LINE = re.compile(rb"\n[ \t\r]*\n")
_HEAD_BYTES = 4096
_WINDOW_LINES = 400


@dataclass(frozen=True, slots=True)
class Slice:
    """One range of a raw file."""

    file: RawFile
    """The file."""
    index: int
    """Which slice of its file, from 0; slices that would hold no document are left out."""
    start: int
    """First byte, in the file on disk."""
    num_bytes: int | None
    """Length, bytes; None for the whole file."""
    digest: str
    """sha256 of the slice's bytes, or the stamp of a remote file, 64 hexadecimal digits."""
    first_line: int = 1
    """Number of the line at `start`; provenance only."""

    @property
    def size_bytes(self) -> int:
        """Length on disk, bytes."""
        if self.file.remote is not None:
            return self.file.remote.num_bytes or 0
        return self.file.path.stat().st_size if self.num_bytes is None else self.num_bytes


def plan_slices(config: CorpusConfig, base: Path) -> list[Slice]:
    """Cut the files of a corpus into slices.

    Args:
        config: names the files and their format.
        base: folder that relative paths start from.

    Returns:
        Slices in the order of the files; an empty file is one slice of no bytes.

    Raises:
        CorpusError: a path matches nothing, a format is not known, or a file is no text.
    """
    return [
        piece for file in resolve_paths(config.paths, base, allow_remote=True) for piece in _slices_of(file, config)
    ]


def _slices_of(file: RawFile, config: CorpusConfig) -> Iterator[Slice]:
    kind = format_of(file, config.format)
    if file.remote is not None:
        yield Slice(file, 0, 0, None, file.remote.stamp)
        return
    head = read_head(file.path, _HEAD_BYTES, binary=kind in COLUMNAR)
    if not head:
        yield Slice(file, 0, 0, None, hashlib.sha256().hexdigest())
        return
    with file.path.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if kind not in _SPLITTABLE or is_compressed(head) or _is_wide(head, config.encoding):
            yield Slice(file, 0, 0, None, _digest(data, 0, len(data))[0])
            return
        first_line = 1
        starts = list(_starts(data, kind, config.encoding))
        for (index, start), (_, stop) in zip(starts, [*starts[1:], (-1, len(data))], strict=True):
            digest, num_lines = _digest(data, start, stop)
            yield Slice(file, index, start, stop - start, digest, first_line)
            first_line += num_lines


def _starts(data: mmap.mmap, kind: str, encoding: str) -> Iterator[tuple[int, int]]:
    """Yield (index, first byte) of each slice that holds the beginning of a document."""
    begins = {"txt_blank_line": _document_after_blank, "tagged_words": _article_after}.get(kind, _line_after)
    index, start = 0, 0
    while start < len(data):
        yield index, start
        while start < len(data):
            index += 1
            begin = begins(data, index * SLICE_BYTES, encoding)
            # A document that begins in a later slice's bytes belongs to that slice.
            if begin < (index + 1) * SLICE_BYTES or begin >= len(data):
                start = begin
                break


def _line_after(data: mmap.mmap, position: int, encoding: str) -> int:
    """Return the first line start at or after `position`, or the end of the file."""
    if position >= len(data):
        return len(data)
    newline = data.find(b"\n", position - 1)
    return len(data) if newline < 0 else newline + 1


def _document_after_blank(data: mmap.mmap, position: int, encoding: str) -> int:
    """Return the first byte at or after `position` that stands behind a blank line."""
    if position >= len(data):
        return len(data)
    match = _BLANK_LINE.search(data, max(0, position - 2))
    while match is not None and match.end() < position:
        match = _BLANK_LINE.search(data, match.end() - 1)
    return len(data) if match is None else match.end()


def _article_after(data: mmap.mmap, position: int, encoding: str) -> int:
    """Return the first line at or after `position` that begins an article whatever came before."""
    start = _line_after(data, position, encoding)
    before_start = data.rfind(b"\n", 0, max(0, start - 1)) + 1
    codec = detect_encoding(data[before_start : before_start + 2 * _HEAD_BYTES]) if encoding == "auto" else encoding
    lines: list[tuple[int, str]] = []
    while start < len(data) and len(lines) < _WINDOW_LINES:
        lines = lines or [(before_start, _plain(data[before_start:start], codec))]
        stop = _line_after(data, start + 1, encoding)
        lines.append((start, _plain(data[start:stop], codec)))
        if len(lines) >= 3:
            (_, before), (begin, line), (_, after) = lines[-3:]
            if not before or begins_article(before, line, after):
                return begin
        start = stop
    return start


def _plain(raw: bytes, codec: str) -> str:
    return plain_text(raw.decode(codec, "replace"))


def _digest(data: mmap.mmap, start: int, stop: int) -> tuple[str, int]:
    """Return the sha256 of a range and the number of line ends in it."""
    digest, num_lines = hashlib.sha256(), 0
    for begin in range(start, stop, SLICE_BYTES):
        block = data[begin : min(begin + SLICE_BYTES, stop)]
        digest.update(block)
        num_lines += block.count(b"\n")
    return digest.hexdigest(), num_lines


def _is_wide(head: bytes, encoding: str) -> bool:
    """Say whether a line feed is more than one byte in a file's encoding."""
    name = detect_encoding(head) if encoding == "auto" else codecs.lookup(encoding).name
    return name.startswith(("utf-16", "utf-32"))
