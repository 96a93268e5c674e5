"""Raw files to records: every format of a corpus, with the line and byte where each record began.

A reader yields one `RawRecord` for each document, and one with a fault for each piece that cannot be read, so that
used, repaired and quarantined records add up. Repairs of the text itself come later (`clean.py`).

- txt_blank_line: documents separated by blank lines; txt_line: one a line; txt_file, markdown: one a file.
- jsonl: one object a line, see `json_lines.py`; csv, tsv: see `tables.py`; tagged_words: see `articles.py`.
- parquet, arrow: one a row, see `columnar.py`; `line` counts rows from 1, `byte_offset` is 0.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from bert_core.config import CorpusConfig
from bert_core.corpus.articles import group_paragraphs, plain_text
from bert_core.corpus.decode import Line, read_lines
from bert_core.corpus.json_lines import json_kind, parse_object
from bert_core.corpus.markdown import plain_paragraphs
from bert_core.corpus.paths import RawFile
from bert_core.corpus.tables import DELIMITERS, read_rows
from bert_core.errors import CorpusError

_FORMAT_OF_SUFFIX = {
    ".txt": "txt_blank_line",
    ".md": "markdown",
    ".markdown": "markdown",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
}
COLUMNAR = ("parquet", "arrow")
_PARAGRAPHS_AT_ONCE = 4096


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
    """What reading had to mend: `long_line` cut, `lost_line` left out, `mixed_encoding` within a document."""
    columns: list[str] | None = None
    """Columns or keys that were there where the text column was not."""


def format_of(file: RawFile, declared: str) -> str:
    """Return the format of a file: as declared, or by its extension for `auto` (.gz and .zst are looked through).

    Raises:
        CorpusError: `auto`, and the extension is not a known one.
    """
    if declared != "auto":
        return declared
    suffixes = [suffix.lower() for suffix in PurePosixPath(file.name).suffixes]
    while suffixes and suffixes[-1] in (".gz", ".zst"):
        suffixes.pop()
    suffix = suffixes[-1] if suffixes else ""
    if suffix not in _FORMAT_OF_SUFFIX:
        raise CorpusError(
            f"{file.name}: format auto does not know the extension {suffix!r}, expected one of "
            f"{', '.join(_FORMAT_OF_SUFFIX)}; set the corpus's format"
        )
    return _FORMAT_OF_SUFFIX[suffix]


def read_records(
    file: RawFile, config: CorpusConfig, start: int = 0, num_bytes: int | None = None, first_line: int = 1
) -> Iterator[RawRecord]:
    """Read the records of a file, or of one slice of it.

    Args:
        file: raw file.
        config: its format, encoding and text column.
        start: first byte; 0 for whole files.
        num_bytes: length of the slice, bytes; None for all the rest.
        first_line: number of the line at `start`.

    Raises:
        CorpusError: the format is not known, the file cannot be read, or a table has no column of that name.
    """
    kind = format_of(file, config.format)
    if kind in COLUMNAR:
        return _read_columns(file, kind, config.text_column)
    lines = read_lines(file.path, config.encoding, start, num_bytes, first_line)
    if kind in DELIMITERS:
        return _read_table(lines, file, config.text_column, kind)
    readers: dict[str, Callable[[Iterator[Line]], Iterator[RawRecord]]] = {
        "txt_blank_line": _read_blank_line,
        "txt_line": _read_each_line,
        "txt_file": lambda lines: _read_whole(lines, str.strip),
        "markdown": lambda lines: _read_whole(lines, plain_paragraphs),
        "jsonl": lambda lines: _read_jsonl(lines, config.text_column),
        "tagged_words": _read_tagged,
    }
    return readers[kind](lines)


class _Gathering:
    """A document that grows line by line."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.first: Line | None = None
        self.texts: list[str] = []
        self.repairs: dict[str, None] = {}  # a set that keeps its order

    def add(self, line: Line, text: str) -> None:
        if self.first is None:
            self.first = line
        elif line.encoding != self.first.encoding:
            self.repairs["mixed_encoding"] = None
        if line.fault:
            self.repairs["long_line"] = None
        self.texts.append(text)

    def lose(self, line: Line) -> RawRecord:
        self.repairs["lost_line"] = None
        return _undecodable(line)

    def finished(self, reduce: Callable[[str], str] = str) -> Iterator[RawRecord]:
        """Yield the document, if it has text, and begin a new one."""
        text = reduce("\n".join(self.texts))
        if self.first is not None and text:
            first = self.first
            yield RawRecord(text, first.number, first.byte_offset, first.encoding, repairs=list(self.repairs))
        self.begin()


def _undecodable(line: Line) -> RawRecord:
    return _fault(line, f"undecodable: {line.fault}")


def _fault(line: Line, fault: str, columns: list[str] | None = None) -> RawRecord:
    excerpt = line.excerpt if line.text is None else line.text[:200]
    return RawRecord(None, line.number, line.byte_offset, line.encoding, fault, excerpt, columns=columns)


def _document(line: Line, text: str) -> RawRecord:
    repairs = ["long_line"] if line.fault else []
    return RawRecord(text, line.number, line.byte_offset, line.encoding, repairs=repairs)


def _read_each_line(lines: Iterator[Line]) -> Iterator[RawRecord]:
    for line in lines:
        if line.text is None:
            yield _undecodable(line)
        elif line.text and not line.text.isspace():
            yield _document(line, line.text)


def _read_blank_line(lines: Iterator[Line]) -> Iterator[RawRecord]:
    document = _Gathering()
    for line in lines:
        if line.text is None:
            yield document.lose(line)
        elif line.text and not line.text.isspace():
            document.add(line, line.text)
        else:
            yield from document.finished()
    yield from document.finished()


def _read_whole(lines: Iterator[Line], reduce: Callable[[str], str]) -> Iterator[RawRecord]:
    document = _Gathering()
    for line in lines:
        if line.text is None:
            yield document.lose(line)
        else:
            document.add(line, line.text)
    yield from document.finished(reduce)


def _read_tagged(lines: Iterator[Line]) -> Iterator[RawRecord]:
    """Read tagged paragraphs, put together into articles as they come."""
    waiting: list[tuple[Line, str]] = []
    enough = _PARAGRAPHS_AT_ONCE
    for line in lines:
        if line.text is None:
            yield _undecodable(line)
            continue
        waiting.append((line, plain_text(line.text)))
        if len(waiting) >= enough:
            numbers = group_paragraphs([text for _, text in waiting])
            num_whole = int((numbers < numbers[-1]).sum())  # the last article may go on
            yield from _articles(waiting[:num_whole])
            waiting = waiting[num_whole:]
            enough = len(waiting) + _PARAGRAPHS_AT_ONCE
    yield from _articles(waiting)


def _articles(paragraphs: list[tuple[Line, str]]) -> Iterator[RawRecord]:
    numbers = group_paragraphs([text for _, text in paragraphs]).tolist()
    document = _Gathering()
    for index, (line, text) in enumerate(paragraphs):
        if index and numbers[index] != numbers[index - 1]:
            yield from document.finished()
        if text:
            document.add(line, text)
    yield from document.finished()


def _read_jsonl(lines: Iterator[Line], text_column: str) -> Iterator[RawRecord]:
    for line in lines:
        if line.text is None:
            yield _undecodable(line)
            continue
        if not line.text or line.text.isspace():
            continue
        value, fault = parse_object(line.text)
        if value is None:
            yield _fault(line, fault)
        elif text_column not in value:
            yield _fault(line, f"no_text_column: no key {text_column!r}", columns=list(value))
        elif not isinstance(value[text_column], str):
            kind = json_kind(value[text_column])
            yield _fault(line, f"text_not_a_string: {text_column!r} is {kind}, expected a string")
        else:
            yield _document(line, value[text_column])


def _read_table(lines: Iterator[Line], file: RawFile, text_column: str, kind: str) -> Iterator[RawRecord]:
    rows = read_rows(lines, DELIMITERS[kind])
    place = -1
    for row in rows:
        if row.fault is not None:
            yield _fault(row.line, row.fault)
        elif place < 0:
            header = [name.strip() for name in row.fields]
            if text_column not in header:
                raise missing_column(file, row.line.number, text_column, header, _other_delimiter(header, text_column))
            place = header.index(text_column)
        else:
            yield _document(row.line, row.fields[place])


def _read_columns(file: RawFile, kind: str, text_column: str) -> Iterator[RawRecord]:
    from bert_core.corpus.columnar import open_columns  # planning reads no rows

    names, batches = open_columns(file.path, kind, text_column)
    if text_column not in names:
        raise missing_column(file, 1, text_column, names)
    row = 0
    for texts in batches:
        for text in texts:
            row += 1
            if text is None:
                yield RawRecord(None, row, 0, "utf-8", f"text_not_a_string: {text_column!r} is null, expected a string")
            elif text and not text.isspace():
                yield RawRecord(text, row, 0, "utf-8")


def _other_delimiter(header: list[str], text_column: str) -> str:
    for delimiter, name in (("\t", "tabs; set format tsv"), (",", "commas; set format csv"), (";", "semicolons")):
        for cell in header:
            if text_column in [part.strip().strip('"') for part in cell.split(delimiter)]:
                return f"; the columns seem to be separated by {name}"
    return ""


def missing_column(file: RawFile, line: int, text_column: str, columns: list[str], hint: str = "") -> CorpusError:
    """Make the error of a file without the text column; it names the columns seen and the closest one."""
    import difflib

    close = difflib.get_close_matches(text_column, columns, n=1, cutoff=0.5)
    usual = [name for name in ("content", "sentence", "review", "body", "text") if name in columns]
    guess = (close or usual)[:1]
    seen = ", ".join(repr(column[:40]) for column in columns[:12]) or "nothing"
    return CorpusError(
        f"{file.name}:{line}: no column {text_column!r}, saw {seen}"
        + (f"; did you mean {guess[0]!r}?" if guess else "")
        + hint
        + "; set text_column"
    )
