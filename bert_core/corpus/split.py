"""Records of a task into `train`, `dev` and `test`, so that nothing scored was ever trained on.

1. Records of equal normalised text become one; where their labels contradict each other, all of them are dropped.
   A source that is a split stays that split: a text of test is taken out of dev and train, one of dev out of train.
2. Records of `auto` sources are divided by document, each by a draw keyed on (seed, its longest text), so that a record
   that is added or removed moves no other document.
3. Training records that contain a dev or test text, or lie inside one, are taken out (`decontaminate.py`, as corpora
   do; the shorter of the two has 12 characters or more), or hold one with small changes.
4. dev and test are cut down to `max_test_examples` by another keyed draw. train is never cut here: task transfer reads
   all its texts, and the labelled budget belongs to `examples/labelled.py`.

Two near duplicates within train stay.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bert_core.config import TaskConfig
from bert_core.corpus.clean import document_id, normalise
from bert_core.corpus.decontaminate import CLEAN, HeldOutTexts
from bert_core.corpus.records import Record, read_records
from bert_core.errors import TaskDataError
from bert_core.progress import Progress, silent
from bert_core.randomness import key_of, mix64
from bert_core.store.schemas import RECORDS
from bert_core.store.shards import write_shards

SPLITS = ("train", "dev", "test")
QUARANTINE_NAME = "quarantine.jsonl"

_RANKS = {"test": 0, "dev": 1, "train": 2, "auto": 2}  # of equal texts the one of the lowest rank stays


def build_split(task: TaskConfig, seed: int, base: Path, folder: Path, progress: Progress = silent) -> dict[str, Any]:
    """Write the `train`, `dev` and `test` records of a task.

    Args:
        task: its sources, labels and fractions.
        seed: of the run.
        base: folder that relative paths start from.
        folder: empty folder for the shards (schema `RECORDS`).
        progress: called in records.

    Returns:
        Counts: `seen`, `files` and `repairs` (see `RecordSet`), `quarantined`, `duplicates`, `contradictions`,
        `overlaps`, `leaks`, `overlapping_spans`, and under `splits` the records, documents and labels of each split.

    Raises:
        TaskDataError: a split is empty, or train lacks one of the labels; see also `read_records`.
    """
    found = read_records(task, base)
    num_seen = len(found.records)
    texts = [_compared_text_of(record) for record in found.records]
    ids = np.array([record_id(record.text, record.text_pair) for record in found.records], np.uint64)
    progress(num_seen, num_seen, "records")

    counts: dict[str, Any] = {
        "seen": num_seen + sum(found.quarantined.values()),
        "quarantined": found.quarantined,
        "quarantined_places": found.quarantined_places,
        "overlapping_spans": found.num_overlapping_spans,
        "repairs": dict(sorted(found.repairs.items())),
        "files": found.files,
    }
    kept, counts["duplicates"], counts["contradictions"], counts["overlaps"] = _deduplicate(found.records, ids)
    drawn = _draw_splits(found.records, texts, ids, task, seed)
    members = {name: [index for index in kept if drawn[index] == name] for name in SPLITS}

    held_out = HeldOutTexts(texts[index] for name in ("dev", "test") for index in members[name])
    leaks = held_out.kinds_of([texts[index] for index in members["train"]]) != CLEAN
    members["train"] = [index for index, leak in zip(members["train"], leaks, strict=True) if not leak]
    counts["leaks"] = int(leaks.sum())

    counts["splits"] = {}
    for name in SPLITS:
        num_before = len(members[name])
        if name != "train" and task.max_test_examples is not None:
            members[name] = _draw_some(members[name], ids, task.max_test_examples, key_of(seed, "scored", name))
        records = [found.records[index] for index in members[name]]
        counts["splits"][name] = {
            "records": len(records),
            "documents": len({record.group for record in records}),
            "labels": _label_counts(records, task.labels),
            "not_scored": num_before - len(records),
        }
    _check(counts, task)
    with (folder / QUARANTINE_NAME).open("w", encoding="utf-8", newline="\n") as quarantine:
        quarantine.writelines(json.dumps(row, ensure_ascii=True) + "\n" for row in found.quarantine)
    seen_ids = ids[[index for name in SPLITS for index in members[name]]]
    assert len(np.unique(seen_ids)) == len(seen_ids), "a text stands in two splits"
    for name in SPLITS:
        write_shards(folder, name, RECORDS, [_table([found.records[i] for i in members[name]], ids[members[name]])])
    return counts


def _deduplicate(records: Sequence[Record], ids: np.ndarray) -> tuple[list[int], int, int, dict[str, int]]:
    """Keep one record of each text.

    Returns:
        Indices of the records kept, ascending; how many were dropped as duplicates; how many because their labels
        contradict each other; and how many because the text stands in a given dev or test set, by pair of splits.
    """
    best: dict[int, int] = {}
    contradicted: set[int] = set()
    for index, text_id in enumerate(ids.tolist()):
        other = best.setdefault(text_id, index)
        if other == index:
            continue
        if _labelling(records[index]) != _labelling(records[other]):
            contradicted.add(text_id)
        if _RANKS[records[index].split] < _RANKS[records[other].split]:
            best[text_id] = index
    num_duplicates = num_contradictions = 0
    overlaps: Counter[str] = Counter()
    for index, text_id in enumerate(ids.tolist()):
        stays = records[best[text_id]]
        if text_id in contradicted:
            num_contradictions += 1
        elif best[text_id] != index:
            split = records[index].split
            if _RANKS[split] == _RANKS[stays.split]:
                num_duplicates += 1
            else:
                overlaps[f"{split}_in_{stays.split}"] += 1
    kept = sorted(index for text_id, index in best.items() if text_id not in contradicted)
    return kept, num_duplicates, num_contradictions, dict(sorted(overlaps.items()))


def record_id(text: str, text_pair: str | None) -> int:
    """Digest the text of a record, or both of its texts: equal records share it, 64 bits."""
    if text_pair is None:
        return document_id(text)
    first = mix64(np.array([document_id(text)], np.uint64) ^ key_of("second text"))
    return int(first[0]) ^ document_id(text_pair)


def compared_text(text: str, text_pair: str | None, *, is_question: bool) -> str:
    """What training text must not hold of a scored record: its text, both of a pair, the context of a question."""
    if text_pair is None:
        return normalise(text)
    return ("" if is_question else normalise(text)) + normalise(text_pair)


def _compared_text_of(record: Record) -> str:
    is_question = bool(record.answers) or record.label is None
    return compared_text(record.text, record.text_pair, is_question=is_question)


def _labelling(record: Record) -> tuple[Any, ...]:
    """What a record says about its text, whatever spaces and punctuation lie between its entities."""
    answers = sorted({normalise(answer) for _, answer in record.answers})
    return (record.label, *answers, *((normalise(record.text[start:end]), kind) for start, end, kind in record.spans))


def _draw_splits(
    records: Sequence[Record], texts: Sequence[str], ids: np.ndarray, task: TaskConfig, seed: int
) -> list[str]:
    """Give every record its split: that of its source, or the one drawn for its document."""
    longest: dict[str, int] = {}
    for index, record in enumerate(records):
        other = longest.setdefault(record.group, index)
        if len(texts[index]) > len(texts[other]):
            longest[record.group] = index
    keys = ids[[longest[record.group] for record in records]]
    draws = (mix64(keys ^ key_of(seed, "split")) >> np.uint64(11)) * (1.0 / (1 << 53))
    drawn = np.where(draws < task.test_fraction, "test", np.where(draws >= 1 - task.dev_fraction, "dev", "train"))
    return [
        record.split if record.split != "auto" else name for record, name in zip(records, drawn.tolist(), strict=True)
    ]


def _draw_some(members: list[int], ids: np.ndarray, num_wanted: int, key: np.uint64) -> list[int]:
    """Draw records by their own ids, so that a larger draw holds a smaller one; order is kept."""
    order = np.argsort(mix64(ids[members] ^ key), kind="stable")[:num_wanted]
    return [members[position] for position in sorted(order.tolist())]


def _label_counts(records: Sequence[Record], labels: Sequence[str]) -> dict[str, int]:
    """Count records of each class, or entities of each type, in the order of the task's labels."""
    found = Counter(record.label for record in records if record.label is not None)
    found.update(kind for record in records for *_, kind in record.spans)
    return {label: found[label] for label in labels}


def _check(counts: dict[str, Any], task: TaskConfig) -> None:
    """Refuse a split that cannot be trained on or scored."""
    splits = counts["splits"]
    sizes = ", ".join(f"{name} {splits[name]['records']:,}" for name in SPLITS)
    remedy = "give more records, other fractions, or a source for that split"
    for name in SPLITS:
        if not splits[name]["records"]:
            raise TaskDataError(f"split {name!r} is empty ({sizes}), expected at least one record; {remedy}")
    absent = [label for label in task.labels if not splits["train"]["labels"][label]]
    if absent:
        raise TaskDataError(
            f"train has no record of {absent} ({sizes}), expected some of each of {task.labels}; give records with "
            "that label or take it out of `labels`"
        )


def _table(records: Sequence[Record], ids: np.ndarray) -> pa.Table:
    """Lay records out as columns."""
    columns: dict[str, Any] = {
        "record_id": ids.astype(np.uint64),
        "text": [record.text for record in records],
        "text_pair": [record.text_pair for record in records],
        "label": [record.label for record in records],
        "span_starts": [[start for start, _, _ in record.spans] for record in records],
        "span_ends": [[end for _, end, _ in record.spans] for record in records],
        "span_labels": [[kind for _, _, kind in record.spans] for record in records],
        "answer_starts": [[start for start, _ in record.answers] for record in records],
        "answer_texts": [[answer for _, answer in record.answers] for record in records],
        "key": [record.key for record in records],
        "file": [record.file for record in records],
        "line": [record.line for record in records],
    }
    return pa.table([pa.array(values, RECORDS.field(name).type) for name, values in columns.items()], schema=RECORDS)
