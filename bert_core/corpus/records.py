"""Labelled files to records: one text with its class, or with its entities as character spans.

Texts are cleaned exactly as corpora are (half-width letters and digits, NFC), so that a labelled text and an equal raw
one give equal tokens; spans move along with their characters. Faults are of two kinds:

- the file is not what the recipe says (a label outside the task's set, a missing column): an error that lists the
  first ten places, because training on the rest would answer another question than the one asked;
- one record cannot be read (bytes that are no text, broken JSON, an empty text, a span outside its text): it is set
  aside and counted, and the run stops only where more than a tenth of a file's records are so.

Nothing is deduplicated or divided here (`split.py`), and nothing is tokenized.
"""

import difflib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from bert_core.config import CorpusConfig, TaskConfig, TaskSource
from bert_core.corpus.clean import clean
from bert_core.corpus.decode import read_lines
from bert_core.corpus.entities import Span, clean_with_spans, without_overlaps
from bert_core.corpus.labelled_files import NUM_PLACES_SHOWN, Faults, RawRecord, read_raw_records
from bert_core.corpus.paths import resolve_paths
from bert_core.errors import TaskDataError

MAX_QUARANTINED_FRACTION = 0.1

_FORMATS = {".txt": "txt_line", ".jsonl": "jsonl", ".json": "jsonl", ".csv": "csv", ".tsv": "tsv"}
_LIKE_A_CORPUS = CorpusConfig(paths=["-"])


@dataclass(frozen=True, slots=True)
class Record:
    """One labelled text."""

    text: str
    """Cleaned text."""
    label: str | None
    """single_sentence: its class; otherwise None."""
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


@dataclass(slots=True)
class RecordSet:
    """All records of a task, and what was set aside on the way."""

    records: list[Record] = field(default_factory=list)
    """In the order of the sources and their lines."""
    quarantined: dict[str, int] = field(default_factory=dict)
    """Records set aside, by reason."""
    quarantined_places: list[str] = field(default_factory=list)
    """`file:line: reason` of the first of them."""
    num_overlapping_spans: int = 0
    """Entities left out because a longer one covers some of their characters."""


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
            num_before, num_bad = len(found.records), faults.quarantined.total()
            faults.file = file.name
            lines = read_lines(file.path, source.encoding)
            for raw in read_raw_records(lines, kind, task, source, faults):
                _accept(raw, task, source, faults, found)
            _check_share(len(found.records) - num_before, faults.quarantined.total() - num_bad, faults)
    if faults.errors:
        shown = faults.errors[:NUM_PLACES_SHOWN]
        if len(faults.errors) > len(shown):
            shown.append(f"... and {len(faults.errors) - len(shown):,} more")
        raise TaskDataError("\n".join(shown))
    if not found.records:
        paths = ", ".join(repr(source.path) for source in task.sources)
        raise TaskDataError(f"sources {paths}: no labelled record, expected at least one; check paths and formats")
    found.quarantined = dict(sorted(faults.quarantined.items()))
    found.quarantined_places = faults.places
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
    elif has_entities and kind not in ("tagged_words", "jsonl"):
        fault = f"format {kind!r} holds no entities, expected 'tagged_words' or 'jsonl'"
    elif has_entities and source.label is not None:
        fault = f"label {source.label!r} is one for whole texts, expected none for sequence_labelling; remove it"
    elif not has_entities and kind == "tagged_words":
        fault = "format 'tagged_words' holds no class of a text; give another format"
    elif kind == "txt_line" and source.label is None:
        fault = "lines of plain text carry no label, expected one for the whole file; set `label`"
    if fault is not None:
        raise TaskDataError(f"source {name!r}: {fault}")
    return kind


def _accept(raw: RawRecord, task: TaskConfig, source: TaskSource, faults: Faults, found: RecordSet) -> None:
    """Check and clean one record and add it to `found`, or note what is wrong with it."""
    label = source.label if source.label is not None else raw.label
    labels = [label] if task.family == "single_sentence" else [kind for *_, kind in raw.spans]
    wrong = [label for label in labels if label not in task.labels]
    if wrong:
        near = difflib.get_close_matches(str(wrong[0]), task.labels, n=1, cutoff=0.6)
        remedy = f"did you mean {near[0]!r}?" if near else "add it to `labels` or correct the data"
        faults.error(raw.line, f"label {wrong[0]!r} is not among labels {task.labels}; {remedy}")
        return
    if any(not 0 <= start < end <= len(raw.text) for start, end, _ in raw.spans):
        faults.quarantine(raw.line, "span outside the text")
        return
    cleaned = clean_with_spans(raw.text, raw.spans, _clean)
    if cleaned is None:
        faults.quarantine(raw.line, "span without a place in the cleaned text")
        return
    text, spans = cleaned
    if not text:
        faults.quarantine(raw.line, "empty text")
        return
    kept = without_overlaps(spans)
    found.num_overlapping_spans += len(spans) - len(kept)
    group = f"{faults.file}:{raw.group or raw.line}"
    found.records.append(Record(text, label, tuple(kept), faults.file, raw.line, group, source.split))


def _clean(text: str) -> str:
    return clean(text, _LIKE_A_CORPUS)[0]


def _check_share(num_records: int, num_quarantined: int, faults: Faults) -> None:
    """Stop where so much of a file cannot be read that it is probably read in the wrong way."""
    num_seen = num_records + num_quarantined
    if num_quarantined > MAX_QUARANTINED_FRACTION * num_seen and not faults.errors:
        places = [place for place in faults.places if place.startswith(f"{faults.file}:")]
        raise TaskDataError(
            f"{faults.file}: {num_quarantined:,} of {num_seen:,} records cannot be read, expected at most "
            f"{MAX_QUARANTINED_FRACTION:.0%}; check its format and encoding\n" + "\n".join(places)
        )
