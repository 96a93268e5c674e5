"""A record of a raw file as its reader hands it on, and the faults of lines that give none.

Formats whose records are lines (JSON, tables) cannot use a part of a line: `whole_lines` makes one fault of all parts
of a line that is too long, so that it is counted once. Formats of running text use the parts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from bert_core.corpus.decode import MAX_LINE_BYTES, Line

_EXCERPT_CHARACTERS = 200
_TOO_LONG = f"longer than {MAX_LINE_BYTES >> 20} MiB"


@dataclass(slots=True)
class RawRecord:
    """One record of a raw file: a document, or a fault."""

    text: str | None
    """The document's text; None where there is a fault."""
    line: int
    """First line in the file, from 1."""
    byte_offset: int
    """Of the record's first byte in the (decompressed) file."""
    encoding: str
    """Codec of its first line."""
    fault: str | None = None
    """`code: detail` of what made it unreadable."""
    excerpt: str = ""
    """Beginning of an unreadable record."""
    repairs: list[str] = field(default_factory=list)
    """What reading had to mend: `long_line` or `long_document` cut, `lost_line` left out, `mixed_encoding` within a
    document."""
    columns: list[str] | None = None
    """Columns or keys that were there where the text column was not."""


def document_at(line: Line, text: str) -> RawRecord:
    """Make a document that stands on one line."""
    repairs = ["long_line"] if line.fault else []
    return RawRecord(text, line.number, line.byte_offset, line.encoding, repairs=repairs)


def fault_at(line: Line, fault: str, columns: list[str] | None = None) -> RawRecord:
    """Make a fault that begins at a line."""
    excerpt = line.excerpt if line.text is None else line.text[:_EXCERPT_CHARACTERS]
    return RawRecord(None, line.number, line.byte_offset, line.encoding, fault, excerpt, columns=columns)


def fault_of(line: Line) -> str:
    """Return `code: detail` for a line without text."""
    return f"line_too_long: {_TOO_LONG}" if line.fault == _TOO_LONG else f"undecodable: {line.fault}"


def whole_lines(lines: Iterator[Line]) -> Iterator[Line]:
    """Pass lines on, but all parts of a line that is too long as one line without text."""
    last = 0
    for line in lines:
        if line.text is None or line.fault is None:
            yield line
        elif line.number != last:
            yield replace(line, text=None, fault=_TOO_LONG, excerpt=line.text[:_EXCERPT_CHARACTERS])
            last = line.number
