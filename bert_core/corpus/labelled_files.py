"""The formats of labelled files: lines to raw records, each with its labels as the file has them.

- `txt_line`: one text a line, one label for the whole file;
- `csv`, `tsv`: a column of texts, perhaps of second texts, and of labels; with a header or under `columns`;
- `jsonl`, `json`: the same as keys; entities in the forms of `span_forms.py`, questions in those of `squad.py`;
- `tagged_words`: `江/nr 泽民/nr`, a paragraph a line; `conll`: a word and its tag a line.

Nothing is cleaned here and no label is compared with the task's (`records.py`). What cannot be read is a record with a
fault; what is not the file that the recipe describes (a missing column) goes to `Faults`.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bert_core.config import TaskConfig, TaskSource
from bert_core.corpus.articles import group_paragraphs, parse_tagged, plain_text
from bert_core.corpus.conll import MENDED, marks_ends, read_sentences, spans_of_sentence
from bert_core.corpus.decode import Line
from bert_core.corpus.entities import Span, spans_of_words
from bert_core.corpus.json_lines import parse_object
from bert_core.corpus.json_values import JsonText, Value
from bert_core.corpus.span_forms import spans_of
from bert_core.corpus.squad import Answer, answers_of, mend_answers, question_rows
from bert_core.corpus.tables import DELIMITERS, read_rows

NUM_PLACES_SHOWN = 10
_EXCERPT_CHARACTERS = 200


@dataclass(slots=True)
class RawRecord:
    """A labelled text as the file has it, or a fault."""

    line: int
    """First line of the record, from 1."""
    text: str = ""
    """Text as it stands there; the question of extractive_qa."""
    label: Any = None
    """Its class; None where the format has none."""
    spans: list[Span] = field(default_factory=list)
    """Its entities, unchecked."""
    group: str = ""
    """Document within the file; empty where every record is its own."""
    text_pair: str | None = None
    """Second text; the context of extractive_qa."""
    answers: list[Answer] = field(default_factory=list)
    """extractive_qa: answers that stand in the context."""
    key: str = ""
    """Id that the file gives it; empty where it has none."""
    byte_offset: int = 0
    """First byte of its first line in the (decompressed) file."""
    repairs: dict[str, int] = field(default_factory=dict)
    """What reading mended, by rule, with how often."""
    fault: str | None = None
    """Why it cannot be used."""
    excerpt: str = ""
    """Beginning of what cannot be used."""


@dataclass(slots=True)
class Faults:
    """What is not as the recipe says, gathered while the files of a task are read."""

    file: str = ""
    """Name of the file that is being read."""
    errors: list[str] = field(default_factory=list)
    """`file:line: what` of everything that stops the run."""

    def error(self, line: int, message: str) -> None:
        """Note something that stops the run once all is read."""
        self.errors.append(f"{self.file}:{line}: {message}")


def read_raw_records(
    lines: Iterable[Line], kind: str, task: TaskConfig, source: TaskSource, faults: Faults
) -> Iterator[RawRecord]:
    """Read the records of one file.

    Args:
        lines: of the file.
        kind: `txt_line`, `jsonl`, `json`, `csv`, `tsv`, `tagged_words` or `conll`.
        task: for its family and its entity types.
        source: for its columns.
        faults: takes what is not as the recipe says.
    """
    if kind == "txt_line":
        return _read_lines(lines)
    if kind == "tagged_words":
        return _read_tagged_words(list(lines), frozenset(task.labels))
    if kind == "conll":
        return _read_conll(lines, source, faults)
    rows = {"jsonl": _json_lines, "json": _json_rows}.get(kind, _table_rows)
    columns = _columns_of(task, source)
    return _records_of_rows(rows(lines, kind, columns, source, faults), task, source, columns, faults)


def _read_lines(lines: Iterable[Line]) -> Iterator[RawRecord]:
    for line in lines:
        if (bad := _unreadable(line)) is not None:
            yield bad
        elif (line.text or "").strip():
            yield RawRecord(line.number, line.text or "", byte_offset=line.byte_offset)


def _unreadable(line: Line) -> RawRecord | None:
    if line.text is not None and line.fault is None:
        return None
    excerpt = line.excerpt or (line.text or "")[:_EXCERPT_CHARACTERS]
    return RawRecord(line.number, byte_offset=line.byte_offset, fault="unreadable line", excerpt=excerpt)


def _read_tagged_words(lines: list[Line], types: frozenset[str]) -> Iterator[RawRecord]:
    """One paragraph a line; the paragraphs of an article are one group."""
    readable = [line for line in lines if _unreadable(line) is None]
    yield from (bad for line in lines if (bad := _unreadable(line)) is not None)
    articles = group_paragraphs([plain_text(line.text or "") for line in readable])
    for line, article in zip(readable, articles.tolist(), strict=True):
        words, tags = parse_tagged(line.text or "")
        if words:
            spans = spans_of_words(words, tags, types)
            group = f"article {article}"
            yield RawRecord(line.number, "".join(words), spans=spans, group=group, byte_offset=line.byte_offset)


def _read_conll(lines: Iterable[Line], source: TaskSource, faults: Faults) -> Iterator[RawRecord]:
    text_field, tag_field = 0, -1
    if source.columns:
        missing = [name for name in (source.text_column, source.label_column) if name not in source.columns]
        if missing:
            faults.error(1, _missing(missing[0], source.columns))
            return
        text_field, tag_field = (source.columns.index(name) for name in (source.text_column, source.label_column))
    sentences = list(read_sentences(lines, text_field, tag_field))
    has_ends = any(marks_ends(sentence.tags) for sentence in sentences)
    for sentence in sentences:
        text, spans, is_mended = spans_of_sentence(sentence, source.join_words, has_ends)
        yield RawRecord(
            sentence.line,
            text,
            spans=spans,
            group=f"document {sentence.document}" if sentence.document else "",
            byte_offset=sentence.byte_offset,
            repairs={MENDED: 1} if is_mended else {},
            fault=sentence.fault or None,
            excerpt=text[:_EXCERPT_CHARACTERS],
        )


def _columns_of(task: TaskConfig, source: TaskSource) -> list[str]:
    """Name the columns that every row must have; the label or what stands for it comes last."""
    if task.family == "extractive_qa":
        return ["question", "context", "answers"]
    columns = [source.text_column]
    if task.family == "sentence_pair":
        columns.append(source.text_pair_column)
    if task.family == "sequence_labelling":
        columns.append(source.entities_column)
    elif source.label is None:
        columns.append(source.label_column)
    return columns


def _table_rows(
    lines: Iterable[Line], kind: str, columns: list[str], source: TaskSource, faults: Faults
) -> Iterator[Value]:
    """Rows under a header, as corpora read them, or under the names of the recipe."""
    header = source.columns or None
    for row in read_rows(iter(lines), DELIMITERS[kind], len(source.columns), source.quoting):
        at = row.line
        if row.fault is not None:
            code = row.fault.partition(":")[0]
            fault = "unreadable line" if code in ("undecodable", "line_too_long") else f"{code} row"
            excerpt = at.excerpt or (at.text or "")[:_EXCERPT_CHARACTERS]
            yield Value(at.number, at.byte_offset, None, fault, excerpt)
            continue
        if header is None or header is source.columns:
            missing = [
                _missing(column, header or row.fields) for column in columns if column not in (header or row.fields)
            ]
            if missing:
                faults.error(at.number, missing[0])
                return
            if header is None:
                header = row.fields
                continue
        yield Value(at.number, at.byte_offset, dict(zip(header, row.fields, strict=True)))


def _json_lines(
    lines: Iterable[Line], kind: str, columns: list[str], source: TaskSource, faults: Faults
) -> Iterator[Value]:
    for line in lines:
        if (bad := _unreadable(line)) is not None:
            yield Value(line.number, line.byte_offset, None, bad.fault or "", bad.excerpt)
        elif (line.text or "").strip():
            values, fault = parse_object(line.text or "")
            yield Value(line.number, line.byte_offset, values, fault, (line.text or "")[:_EXCERPT_CHARACTERS])


def _json_rows(
    lines: Iterable[Line], kind: str, columns: list[str], source: TaskSource, faults: Faults
) -> Iterator[Value]:
    document = JsonText(lines)
    return question_rows(document) if "answers" in columns else document.objects()


def _records_of_rows(
    rows: Iterable[Value], task: TaskConfig, source: TaskSource, columns: list[str], faults: Faults
) -> Iterator[RawRecord]:
    read = _READERS[task.family]
    for row in rows:
        values = row.values
        if values is None:
            fault = _FAULTS.get(row.fault.partition(":")[0], row.fault)
            yield RawRecord(row.line, byte_offset=row.byte_offset, fault=fault, excerpt=row.excerpt)
            continue
        missing = [_missing(column, values) for column in columns if column not in values]
        if missing:
            faults.error(row.line, missing[0])
            continue
        record = RawRecord(row.line, byte_offset=row.byte_offset)
        if isinstance(values.get("id"), str | int):
            record.key = str(values["id"]).encode("utf-8", "replace").decode()  # half of a surrogate pair
        read(record, values, source)
        if record.fault is not None:
            record.excerpt = str(values)[:_EXCERPT_CHARACTERS]
        yield record


_FAULTS = {"invalid_json": "broken JSON", "not_an_object": "JSON that is no object", "undecodable": "unreadable line"}


def _fill_text(record: RawRecord, value: Any, name: str = "text") -> None:
    if isinstance(value, str):
        setattr(record, name, value)
    else:
        record.fault = "text that is no string"


def _read_class(record: RawRecord, values: dict[str, Any], source: TaskSource) -> None:
    """Fill in a text and its class; whole numbers are accepted as labels."""
    _fill_text(record, values[source.text_column])
    if source.label is None:
        label = values[source.label_column]
        record.label = str(label) if isinstance(label, int) and not isinstance(label, bool) else label


def _read_pair(record: RawRecord, values: dict[str, Any], source: TaskSource) -> None:
    _read_class(record, values, source)
    _fill_text(record, values[source.text_pair_column], "text_pair")


def _read_entities(record: RawRecord, values: dict[str, Any], source: TaskSource) -> None:
    _fill_text(record, values[source.text_column])
    if record.fault is not None:
        return
    found = spans_of(values[source.entities_column], record.text, source.span_ends == "inclusive")
    if found is None:
        record.fault = f"{source.entities_column} not of the form [{{start, end, label}}] nor any other that is known"
        return
    record.spans, num_moved, num_lost = found
    record.repairs = _counted(entity_offset=num_moved, entity_without_place=num_lost)


def _read_question(record: RawRecord, values: dict[str, Any], source: TaskSource) -> None:
    _fill_text(record, values["question"])
    _fill_text(record, values["context"], "text_pair")
    if record.fault is not None or record.text_pair is None:
        return
    answers = answers_of(values["answers"])
    if answers is None:
        record.fault = "answers not of the form [{text, answer_start}]"
        return
    record.answers, num_moved, num_lost = mend_answers(record.text_pair, answers)
    record.repairs = _counted(answer_offset=num_moved, answer_without_place=num_lost)
    record.group = f"context {record.text_pair}"
    if answers and not record.answers:
        record.fault = "no answer stands in the context"


def _counted(**repairs: int) -> dict[str, int]:
    return {name: number for name, number in repairs.items() if number}


_READERS: dict[str, Callable[[RawRecord, dict[str, Any], TaskSource], None]] = {
    "single_sentence": _read_class,
    "sentence_pair": _read_pair,
    "sequence_labelling": _read_entities,
    "extractive_qa": _read_question,
}


def _missing(column: str, columns: Iterable[str]) -> str:
    """Say that a column is missing, what is there, and which one was probably meant."""
    known = [str(name) for name in columns]
    near = difflib.get_close_matches(column, known, n=1, cutoff=0.5)
    remedy = f"; did you mean {near[0]!r}?" if near else ""
    return f"no column {column!r}, got {known}{remedy}"
