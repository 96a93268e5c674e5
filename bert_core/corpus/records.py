"""Labelled files to records: a text or two with a class, a text with its entities, a question with its answers.

Texts are cleaned exactly as corpora are (half-width letters and digits, NFC), so that a labelled text and an equal raw
one give equal tokens; spans move along with their characters. Faults are of two kinds:

- the file is not what the recipe says (a label outside the task's set, a missing column): an error that lists the
  first ten places, because training on the rest would answer another question than the one asked;
- one record cannot be read (bytes that are no text, broken JSON, an empty text, a span outside its text): it is set
  aside and counted, and the run stops only where more than `max_bad_fraction` of a file's records are so.

Every record seen is used, repaired or quarantined, and the three add up for each file.

Nothing is deduplicated or divided here (`split.py`), and nothing is tokenized.
"""

import difflib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from bert_core.config import CorpusConfig, TaskConfig, TaskSource
from bert_core.corpus.clean import clean, document_id
from bert_core.corpus.decode import read_lines
from bert_core.corpus.entities import Span, clean_with_spans, without_overlaps
from bert_core.corpus.labelled_files import NUM_PLACES_SHOWN, Faults, RawRecord, read_raw_records
from bert_core.corpus.paths import resolve_paths
from bert_core.corpus.squad import Answer
from bert_core.errors import TaskDataError

_FORMATS = {
    ".txt": "txt_line",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".conll": "conll",
    ".bio": "conll",
    ".iob2": "conll",
    ".bmes": "conll",
}
_HOLD_ENTITIES = ("tagged_words", "conll", "jsonl", "json")
_HOLD_ANSWERS = ("jsonl", "json")
_LIKE_A_CORPUS = CorpusConfig(paths=["-"])


@dataclass(frozen=True, slots=True)
class Record:
    """One labelled text."""

    text: str
    """Cleaned text; the question of extractive_qa."""
    label: str | None
    """single_sentence, sentence_pair: its class; otherwise None."""
    spans: tuple[Span, ...]
    """sequence_labelling: (start, end, type) of its entities, ascending, no overlap; offsets into `text`."""
    file: str
    """File as the recipe names it."""
    line: int
    """Line in the file, from 1."""
    group: str
    """Document that it belongs to; records of one group stand in one split."""
    split: str
    """`auto`, or the split that its source is: `train`, `dev`, `test`."""
    text_pair: str | None = None
    """sentence_pair: the second text; extractive_qa: the context; otherwise None."""
    answers: tuple[Answer, ...] = ()
    """extractive_qa: (first character in `text_pair`, text there); none where the question has no answer."""
    key: str = ""
    """Id that the file gives it; empty where it has none."""


@dataclass(slots=True)
class RecordSet:
    """All records of a task, and what was set aside on the way."""

    records: list[Record] = field(default_factory=list)
    """In the order of the sources and their lines."""
    files: dict[str, dict[str, int]] = field(default_factory=dict)
    """By file: `seen`, `used`, `repaired`, `quarantined` records."""
    repairs: Counter[str] = field(default_factory=Counter)
    """How many records each rule of cleaning mended, and how many entities and answers were moved or left out."""
    quarantined: dict[str, int] = field(default_factory=dict)
    """Records set aside, by reason."""
    quarantine: list[dict[str, Any]] = field(default_factory=list)
    """Each of them: file, line, byte_offset, reason, excerpt."""

    @property
    def quarantined_places(self) -> list[str]:
        """`file:line: reason` of the first of them."""
        return [f"{row['file']}:{row['line']}: {row['reason']}" for row in self.quarantine[:NUM_PLACES_SHOWN]]

    @property
    def num_overlapping_spans(self) -> int:
        """Entities left out because others cover some of their characters."""
        return self.repairs["overlapping_entity"]


def read_records(task: TaskConfig, base: Path) -> RecordSet:
    """Read the labelled records of every source of a task.

    Args:
        task: its sources, labels and family.
        base: folder that relative paths start from.

    Returns:
        Records in the order of the sources and their lines, and the counts of what was set aside.

    Raises:
        TaskDataError: labels outside `task.labels`, missing columns, a format that does not fit the family, a file
            that is hardly readable, or no record at all; the first ten places are given as file:line.
        CorpusError: a file is missing or is no text.
    """
    found, faults = RecordSet(), Faults()
    for source in task.sources:
        for file in resolve_paths([source.path], base):
            kind = _format_of(task, source, file.name)
            faults.file = file.name
            books = found.files.setdefault(file.name, dict.fromkeys(("seen", "used", "repaired", "quarantined"), 0))
            for raw in read_raw_records(read_lines(file.path, source.encoding), kind, task, source, faults):
                books["seen"] += 1
                books[_outcome(raw, task, source, faults, found)] += 1
            assert faults.errors or books["used"] + books["repaired"] + books["quarantined"] == books["seen"], books
            if not faults.errors:
                _check_share(file.name, books, task, found)
    if faults.errors:
        shown = faults.errors[:NUM_PLACES_SHOWN]
        if len(faults.errors) > len(shown):
            shown.append(f"... and {len(faults.errors) - len(shown):,} more")
        raise TaskDataError("\n".join(shown))
    if not found.records:
        paths = ", ".join(repr(source.path) for source in task.sources)
        raise TaskDataError(f"sources {paths}: no labelled record, expected at least one; check paths and formats")
    found.quarantined = dict(sorted(Counter(row["reason"] for row in found.quarantine).items()))
    return found


def _format_of(task: TaskConfig, source: TaskSource, name: str) -> str:
    """Settle the format of one file, and check that it can carry the labels of the family."""
    has_entities = task.family == "sequence_labelling"
    kind: str = source.format
    if kind == "auto":
        suffixes = [suffix for suffix in PurePosixPath(name).suffixes if suffix not in (".gz", ".zst")]
        kind = _FORMATS.get(suffixes[-1].lower() if suffixes else "", "")
        if kind == "txt_line" and has_entities:
            kind = "tagged_words"
    fault = None
    if not kind:
        fault = f"no format is known for this name, expected one of {', '.join(_FORMATS)}; set `format`"
    elif has_entities and kind not in _HOLD_ENTITIES:
        fault = f"format {kind!r} holds no entities, expected one of {', '.join(_HOLD_ENTITIES)}"
    elif task.family == "extractive_qa" and kind not in _HOLD_ANSWERS:
        fault = f"format {kind!r} holds no answers, expected one of {', '.join(_HOLD_ANSWERS)}"
    elif task.family == "sentence_pair" and kind == "txt_line":
        fault = "lines of plain text hold no second text, expected a table or JSON"
    elif has_entities and source.label is not None:
        fault = f"label {source.label!r} is one for whole texts, expected none for sequence_labelling; remove it"
    elif not has_entities and kind in ("tagged_words", "conll"):
        fault = f"format {kind!r} holds no class of a text; give another format"
    elif kind == "txt_line" and source.label is None:
        fault = "lines of plain text carry no label, expected one for the whole file; set `label`"
    if fault is not None:
        raise TaskDataError(f"source {name!r}: {fault}")
    return kind


def _outcome(raw: RawRecord, task: TaskConfig, source: TaskSource, faults: Faults, found: RecordSet) -> str:
    """Check and clean one record, add it to `found`, and say what became of it."""
    fault, repairs = raw.fault, Counter(raw.repairs)
    record: Record | None = None
    if fault is None:
        record, fault = _accepted(raw, task, source, faults, repairs)
    if record is not None:
        found.records.append(record)
        found.repairs += repairs
        return "repaired" if repairs else "used"
    if fault is not None:
        row = {"file": faults.file, "line": raw.line, "byte_offset": raw.byte_offset, "reason": fault}
        found.quarantine.append(row | {"excerpt": raw.excerpt or raw.text[:200]})
    return "quarantined"


def _accepted(
    raw: RawRecord, task: TaskConfig, source: TaskSource, faults: Faults, repairs: Counter[str]
) -> tuple[Record | None, str | None]:
    """Return the record, or why it is set aside; neither where its label stops the run."""
    names = source.label_names
    label = source.label if source.label is not None else _named(raw.label, names)
    spans = [(start, end, _named(kind, names)) for start, end, kind in raw.spans]
    given = {"sequence_labelling": [kind for *_, kind in spans], "extractive_qa": []}.get(task.family, [label])
    wrong = [label for label in given if label not in task.labels]
    if wrong:
        near = difflib.get_close_matches(str(wrong[0]), task.labels, n=1, cutoff=0.6)
        remedy = f"did you mean {near[0]!r}?" if near else "add it to `labels` or correct the data"
        faults.error(raw.line, f"label {wrong[0]!r} is not among labels {task.labels}; {remedy}")
        return None, None
    if any(not 0 <= start < end <= len(raw.text) for start, end, _ in spans):
        return None, "span outside the text"
    cleaned = clean_with_spans(raw.text, spans, lambda text: _clean(text, repairs))
    if cleaned is None:
        return None, "span without a place in the cleaned text"
    text, spans = cleaned
    if not text:
        return None, "empty text"
    kept = without_overlaps(spans, longest=source.overlaps != "first")
    if len(kept) < len(spans):
        if source.overlaps == "quarantine":
            return None, "overlapping entities"
        repairs["overlapping_entity"] += len(spans) - len(kept)
    text_pair, answers = raw.text_pair, raw.answers
    if text_pair is not None:
        places = [(start, start + len(answer), "") for start, answer in answers]
        second = clean_with_spans(text_pair, places, lambda text: _clean(text, repairs))
        if second is None:
            return None, "answer without a place in the cleaned context"
        text_pair, places = second
        if not text_pair:
            return None, "empty second text"
        answers = [(start, text_pair[start:end]) for start, end, _ in places]
    if task.family == "extractive_qa":  # all questions about a context stand in one split
        group = f"context {document_id(text_pair or ''):016x}"
    else:
        group = f"{faults.file}:{raw.group or raw.line}"
    return Record(
        text, label, tuple(kept), faults.file, raw.line, group, source.split, text_pair, tuple(answers), raw.key
    ), None


def _named(label: Any, names: dict[str, str]) -> Any:
    return names.get(label, label) if isinstance(label, str) else label


def _clean(text: str, repairs: Counter[str]) -> str:
    cleaned, rules = clean(text, _LIKE_A_CORPUS)
    for rule in rules:  # once a record, however many of its parts are cleaned
        repairs[rule] = 1
    return cleaned


def _check_share(name: str, books: dict[str, int], task: TaskConfig, found: RecordSet) -> None:
    """Stop where so much of a file cannot be read that it is probably read in the wrong way."""
    if books["quarantined"] > task.max_bad_fraction * books["seen"]:
        rows = [row for row in found.quarantine if row["file"] == name][:NUM_PLACES_SHOWN]
        raise TaskDataError(
            f"{name}: {books['quarantined']:,} of {books['seen']:,} records cannot be read, expected at most "
            f"max_bad_fraction = {task.max_bad_fraction:.0%}; check its format and encoding, or raise "
            "max_bad_fraction\n" + "\n".join(f"{row['file']}:{row['line']}: {row['reason']}" for row in rows)
        )
