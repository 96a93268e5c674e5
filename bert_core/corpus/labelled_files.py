"""The formats of labelled files: lines to raw records, each with its label or its entities as the file has them.

`txt_line` (one text a line, one label for the whole file), `jsonl`, `csv` and `tsv` (a column of texts, a column of
labels), and for entities `tagged_words` (`江/nr 泽民/nr`) and `jsonl` with
`{"text": "...", "entities": [{"start": 0, "end": 3, "label": "nr"}]}`, where ends are exclusive.

Nothing is cleaned here and no label is compared with the task's (`records.py`); what cannot be read goes to `Faults`.
"""

import difflib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bert_core.config import TaskConfig, TaskSource
from bert_core.corpus.articles import group_paragraphs, parse_tagged, plain_text
from bert_core.corpus.decode import Line
from bert_core.corpus.entities import Span, spans_of_words
from bert_core.corpus.tables import DELIMITERS, read_rows

NUM_PLACES_SHOWN = 10
ENTITIES_KEY = "entities"


@dataclass(slots=True)
class RawRecord:
    """A labelled text as the file has it."""

    line: int
    """First line of the record, from 1."""
    text: str
    """Text as it stands there."""
    label: Any = None
    """Its class; None where the format has none."""
    spans: list[Span] = field(default_factory=list)
    """Its entities, unchecked."""
    group: str = ""
    """Document within the file; empty where every record is its own."""


@dataclass(slots=True)
class Faults:
    """What is wrong with the files of a task, gathered while they are read."""

    file: str = ""
    """Name of the file that is being read."""
    errors: list[str] = field(default_factory=list)
    """`file:line: what` of everything that stops the run."""
    quarantined: Counter[str] = field(default_factory=Counter)
    """Records set aside, by reason."""
    places: list[str] = field(default_factory=list)
    """`file:line: reason` of the first records set aside."""

    def error(self, line: int, message: str) -> None:
        """Note something that stops the run once all is read."""
        self.errors.append(f"{self.file}:{line}: {message}")

    def quarantine(self, line: int, reason: str) -> None:
        """Set one record aside."""
        self.quarantined[reason] += 1
        if len(self.places) < NUM_PLACES_SHOWN:
            self.places.append(f"{self.file}:{line}: {reason}")


def read_raw_records(
    lines: Iterable[Line], kind: str, task: TaskConfig, source: TaskSource, faults: Faults
) -> Iterator[RawRecord]:
    """Read the records of one file.

    Args:
        lines: of the file; a line without text is quarantined.
        kind: `txt_line`, `jsonl`, `csv`, `tsv` or `tagged_words`.
        task: for its family and its entity types.
        source: for its columns.
        faults: takes what cannot be read.
    """
    readable = _readable(lines, faults)
    if kind == "txt_line":
        return (RawRecord(line.number, line.text or "") for line in readable if (line.text or "").strip())
    if kind == "tagged_words":
        return _read_tagged_words(list(readable), frozenset(task.labels))
    if kind == "jsonl":
        return _read_jsonl(readable, task.family == "sequence_labelling", source, faults)
    return _read_table(readable, source, faults, DELIMITERS[kind])


def _readable(lines: Iterable[Line], faults: Faults) -> Iterator[Line]:
    for line in lines:
        if line.text is None or line.fault is not None:
            faults.quarantine(line.number, "unreadable line")
        else:
            yield line


def _read_tagged_words(lines: list[Line], types: frozenset[str]) -> Iterator[RawRecord]:
    """One paragraph a line; the paragraphs of an article are one group."""
    articles = group_paragraphs([plain_text(line.text or "") for line in lines])
    for line, article in zip(lines, articles.tolist(), strict=True):
        words, tags = parse_tagged(line.text or "")
        if words:
            spans = spans_of_words(words, tags, types)
            yield RawRecord(line.number, "".join(words), spans=spans, group=f"article {article}")


def _read_table(lines: Iterator[Line], source: TaskSource, faults: Faults, delimiter: str) -> Iterator[RawRecord]:
    """Rows under a header, as corpora read them."""
    header: list[str] | None = None
    for row in read_rows(lines, delimiter):
        if row.fault is not None:
            faults.quarantine(row.line.number, f"{row.fault.partition(':')[0]} row")
        elif header is None:
            header = row.fields
            columns = [source.text_column] + ([source.label_column] if source.label is None else [])
            missing = [_missing(column, header) for column in columns if column not in header]
            if missing:
                faults.error(row.line.number, missing[0])
                return
        else:
            values = dict(zip(header, row.fields, strict=True))
            yield RawRecord(row.line.number, values[source.text_column], values.get(source.label_column))


def _read_jsonl(lines: Iterable[Line], has_entities: bool, source: TaskSource, faults: Faults) -> Iterator[RawRecord]:
    """One JSON object a line; whole numbers are accepted as labels."""
    for line in lines:
        if not (line.text or "").strip():
            continue
        try:
            values = json.loads(line.text or "")
        except ValueError:
            faults.quarantine(line.number, "broken JSON")
            continue
        if not isinstance(values, dict):
            faults.quarantine(line.number, "JSON that is no object")
            continue
        columns = [source.text_column]
        if has_entities:
            columns.append(ENTITIES_KEY)
        elif source.label is None:
            columns.append(source.label_column)
        missing = [_missing(column, values) for column in columns if column not in values]
        if missing:
            faults.error(line.number, missing[0])
            continue
        text, last = values[source.text_column], values[columns[-1]]
        if not isinstance(text, str):
            faults.quarantine(line.number, "text that is no string")
        elif not has_entities:
            label = str(last) if isinstance(last, int) and not isinstance(last, bool) else last
            yield RawRecord(line.number, text, label if source.label is None else None)
        elif (spans := _spans_of(last)) is None:
            faults.quarantine(line.number, f"{ENTITIES_KEY} not of the form [{{start, end, label}}]")
        else:
            yield RawRecord(line.number, text, spans=spans)


def _spans_of(entities: Any) -> list[Span] | None:
    """Read `[{"start": 0, "end": 3, "label": "nr"}]`; None where it has another form."""
    try:
        spans = [(entity["start"], entity["end"], entity["label"]) for entity in entities]
    except (TypeError, KeyError, IndexError):
        return None
    kinds = [(type(start), type(end), type(label)) for start, end, label in spans]
    return spans if all(kind == (int, int, str) for kind in kinds) else None


def _missing(column: str, columns: Iterable[str]) -> str:
    """Say that a column is missing, what is there, and which one was probably meant."""
    known = [str(name) for name in columns]
    near = difflib.get_close_matches(column, known, n=1, cutoff=0.5)
    remedy = f"; did you mean {near[0]!r}?" if near else ""
    return f"no column {column!r}, got {known}{remedy}"
