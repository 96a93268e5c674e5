"""Rows of CSV and TSV files, one at a time, with a fault for each row that cannot be trusted.

Quoting follows RFC 4180 ("" inside quotes is one quote, a quoted field may hold line ends). A quote that
is never closed spoils its own row only: reading goes on with the next line, where common readers swallow
the rest of the file into one field. A quote within an unquoted field is an ordinary character; in TSV a
row that has the right number of tabs is taken as it stands. A table without a header says how many fields it has.
"""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from bert_core.corpus.decode import MAX_LINE_BYTES, Line
from bert_core.corpus.raw_record import fault_of, whole_lines

MAX_LINES_IN_ROW = 200
DELIMITERS = {"csv": ",", "tsv": "\t"}


@dataclass(slots=True)
class Row:
    """One row of a table."""

    line: Line
    """Its first line."""
    fields: list[str]
    """Fields, as many as the header has; empty where there is a fault."""
    fault: str | None = None
    """`code: detail`."""


def read_rows(lines: Iterator[Line], delimiter: str, num_fields: int = 0, quoting: bool = True) -> Iterator[Row]:
    """Read rows; the first is the header, unless the number of fields is known.

    Example: the lines `text,label`, `"好,很好",1`, `坏` give the rows
    `["text", "label"]`, `["好,很好", "1"]` and a fault `ragged: 1 field, expected 2`.

    Args:
        lines: decoded lines in order.
        delimiter: one character, "," or a tab.
        num_fields: fields of every row of a table without a header; 0 where the header says it.
        quoting: whether a quotation mark at the beginning of a field quotes it.
    """
    quoted = re.compile(rf'(?:"((?:[^"]++|"")*+)"|([^"{delimiter}][^{delimiter}]*+|))({delimiter}|\Z)')
    ahead: deque[Line] = deque()
    lines = whole_lines(lines)

    def following(count: int) -> Line | None:
        while len(ahead) < count and (line := next(lines, None)) is not None:
            ahead.append(line)
        return ahead[count - 1] if len(ahead) >= count else None

    while (line := following(1)) is not None:
        ahead.popleft()
        if line.text is None:
            yield Row(line, [], fault_of(line))
            continue
        if not line.text.strip():
            continue
        fields = _fields(line.text, delimiter, quoted) if quoting else line.text.split(delimiter)
        if delimiter == "\t" and num_fields and (fields is None or len(fields) != num_fields):
            plain = line.text.split(delimiter)
            fields = plain if len(plain) == num_fields else fields
        if fields is None:
            fields, num_joined = _across_lines(line.text, num_fields, delimiter, quoted, following)
            for _ in range(num_joined):
                ahead.popleft()
        if fields is None:
            yield Row(line, [], "unclosed_quote: the row's quoting never closes; double the quotes inside a field")
        elif num_fields and len(fields) != num_fields:
            shown = f"{len(fields)} field{'s' if len(fields) != 1 else ''}"
            yield Row(line, [], f"ragged: {shown}, expected {num_fields}")
        else:
            num_fields = len(fields)
            yield Row(line, fields)


def _fields(text: str, delimiter: str, quoted: re.Pattern[str]) -> list[str] | None:
    """Split one row; None where its quoting does not close."""
    if '"' not in text:
        return text.split(delimiter)
    fields, position = [], 0
    while (match := quoted.match(text, position)) is not None:
        fields.append(match[2] if match[1] is None else match[1].replace('""', '"'))
        if not match[3]:
            return fields
        position = match.end()
    return None


def _across_lines(
    text: str, num_fields: int, delimiter: str, quoted: re.Pattern[str], following
) -> tuple[list[str] | None, int]:
    """Try to close a row with the lines behind it: its fields and how many lines they took."""
    for count in range(1, MAX_LINES_IN_ROW):
        line = following(count)
        if line is None or line.text is None or len(text) + len(line.text) > MAX_LINE_BYTES:
            break
        text = f"{text}\n{line.text}"
        if '"' in line.text:
            fields = _fields(text, delimiter, quoted)
            if fields is not None:
                return (fields, count) if len(fields) == num_fields or not num_fields else (None, 0)
    return None, 0
