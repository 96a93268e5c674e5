"""Raw files to records: every format of a corpus, with the line and byte where each record began.

A reader yields one `RawRecord` for each document, and one with a fault for each piece that cannot be read, so that
used, repaired and quarantined records add up. Repairs of the text itself come later (`clean.py`).

- txt_blank_line: documents separated by blank lines; txt_line: one a line; txt_file, markdown: one a file.
- jsonl: one object a line, see `json_lines.py`; csv, tsv: see `tables.py`; tagged_words: see `articles.py`.
- parquet, arrow: one a row, see `columnar.py`; `line` counts rows from 1, `byte_offset` is 0.
"""

from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

from bert_core.config import CorpusConfig
from bert_core.corpus.decode import Line, read_lines
from bert_core.corpus.json_lines import json_kind, parse_object
from bert_core.corpus.markdown import plain_paragraphs
from bert_core.corpus.paths import RawFile
from bert_core.corpus.raw_record import RawRecord, document_at, fault_at, fault_of, whole_lines
from bert_core.corpus.running_text import read_blank_line, read_tagged, read_whole
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
        "txt_blank_line": read_blank_line,
        "txt_line": _read_each_line,
        "txt_file": lambda lines: read_whole(lines, str.strip),
        "markdown": lambda lines: read_whole(lines, plain_paragraphs),
        "jsonl": lambda lines: _read_jsonl(lines, config.text_column),
        "tagged_words": read_tagged,
    }
    return readers[kind](lines)


def _read_each_line(lines: Iterator[Line]) -> Iterator[RawRecord]:
    for line in lines:
        if line.text is None:
            yield fault_at(line, fault_of(line))
        elif line.text and not line.text.isspace():
            yield document_at(line, line.text)


def _read_jsonl(lines: Iterator[Line], text_column: str) -> Iterator[RawRecord]:
    for line in whole_lines(lines):
        if line.text is None:
            yield fault_at(line, fault_of(line))
            continue
        if not line.text or line.text.isspace():
            continue
        value, fault = parse_object(line.text)
        if value is None:
            yield fault_at(line, fault)
        elif text_column not in value:
            yield fault_at(line, f"no_text_column: no key {text_column!r}", columns=list(value))
        elif not isinstance(value[text_column], str):
            kind = json_kind(value[text_column])
            yield fault_at(line, f"text_not_a_string: {text_column!r} is {kind}, expected a string")
        else:
            yield document_at(line, value[text_column])


def _read_table(lines: Iterator[Line], file: RawFile, text_column: str, kind: str) -> Iterator[RawRecord]:
    rows = read_rows(lines, DELIMITERS[kind])
    place = -1
    for row in rows:
        if row.fault is not None:
            yield fault_at(row.line, row.fault)
        elif place < 0:
            header = [name.strip() for name in row.fields]
            if text_column not in header:
                raise missing_column(file, row.line.number, text_column, header, _other_delimiter(header, text_column))
            place = header.index(text_column)
        else:
            yield document_at(row.line, row.fields[place])


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
            else:
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
