"""Labelled records to examples: tokens with special ones, a class for each text or pair, or a tag for each token.

A single sentence that is too long keeps its head, and the cuts are counted. A text to be tagged is never cut: a long
one becomes overlapping windows, and each token is scored in the one window where it has most context, with -100 in
the others. Tags follow the character offsets of the tokens, so an entity whose border lies inside a piece is counted
as misaligned and not hidden. Questions about a context are the matter of `questions.py`.

The labelled budget `max_train_examples` is a keyed draw over record ids: a larger budget holds every record of a
smaller one. Nothing is padded or shuffled here (`training/labelled_batches.py`).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bert_core.config import TaskConfig
from bert_core.corpus.tag_schemes import from_bio, tag_names
from bert_core.corpus.tags import spans_to_bio
from bert_core.examples.augmentation import augment_records
from bert_core.examples.questions import write_questions
from bert_core.examples.text_pairs import pair_inputs
from bert_core.examples.windows import cut_windows, heads, ranges
from bert_core.progress import Progress, silent
from bert_core.randomness import key_of, mix64
from bert_core.store.schemas import labelled_schema
from bert_core.store.shards import list_array, list_column, read_shards, write_shards
from bert_core.tokens.tokenizer import WordPieceTokenizer

SPLITS = ("train", "dev", "test")
IGNORED = -100
NUM_SPECIAL_TOKENS = 2
LABELS_NAME = "labels.json"
AUGMENTATION_NAME = "augmentation.json"

_ROWS_AT_ONCE = 8192


def build_labelled(
    split_folder: Path,
    vocabulary_folder: Path,
    task: TaskConfig,
    seed: int,
    folder: Path,
    progress: Progress = silent,
    *,
    thesaurus: Path | None = None,
    segmenter: str = "rjieba",
) -> dict[str, Any]:
    """Write the `train`, `dev` and `test` examples of a task, and `labels.json`; copies by choice behind train.

    Args:
        split_folder: the task's records (schema `RECORDS`).
        vocabulary_folder: with `vocab.txt` and `tokenizer.json`.
        task: its family, labels, `max_train_examples`, `augmentation`, `fine_tune.max_tokens` and `fine_tune.tags`.
        seed: of the run.
        folder: empty folder for the shards (schema `labelled_schema`, or `questions_schema`).
        progress: called in records.
        thesaurus: file of `augmentation.thesaurus`.
        segmenter: finds the words that augmentation changes.

    Returns:
        Counts for each split: `records`, `examples`, `labels`, `cut`, `windowed`, `entities`, `misaligned_entities`,
        `unk_fraction` of the tokens, `fill_fraction` of max_tokens; of questions see `write_questions`. With
        augmentation also `augmentation` (see `Augmented.counts`); some copies are shown in `augmentation.json`.
    """
    tokenizer = WordPieceTokenizer.from_folder(vocabulary_folder)
    tables = {name: read_shards(split_folder, name) for name in SPLITS}
    if task.max_train_examples is not None:
        tables["train"] = _within_budget(tables["train"], task.max_train_examples, seed)
    counts: dict[str, Any] = {}
    if task.augmentation.copies:
        held_out = [tables["dev"], tables["test"]]
        made = augment_records(tables["train"], held_out, task.augmentation, thesaurus, segmenter, seed)
        tables["train"] = pa.concat_tables([tables["train"], made.copies])
        counts["augmentation"] = made.counts
        text = json.dumps({"counts": made.counts, "samples": made.samples}, ensure_ascii=False, indent=1) + "\n"
        (folder / AUGMENTATION_NAME).write_text(text, encoding="utf-8")
    total = sum(table.num_rows for table in tables.values())
    done = 0
    for name, table in tables.items():
        if task.family == "extractive_qa":
            counts[name] = write_questions(folder, name, table, tokenizer, task)
        else:
            tally = _Tally()
            examples = _examples(table, tokenizer, task, tally)
            write_shards(folder, name, labelled_schema(tokenizer.vocabulary_size), examples)
            counts[name] = tally.counts(table, task)
        done += table.num_rows
        progress(done, total, "records")
    content = {"family": task.family, "labels": task.labels}
    if task.family == "sequence_labelling":
        content["tags"] = tag_names(task.labels, task.fine_tune.tags)
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    (folder / LABELS_NAME).write_text(text, encoding="utf-8")
    return counts


def _within_budget(table: pa.Table, max_examples: int, seed: int) -> pa.Table:
    """Draw records by their ids; the order of the table is kept."""
    ids = table.column("record_id").to_numpy()
    drawn = np.argsort(mix64(ids ^ key_of(seed, "budget")), kind="stable")[:max_examples]
    return table.take(np.sort(drawn))


@dataclass(slots=True)
class _Tally:
    """What becomes of one split."""

    examples: int = 0
    example_tokens: int = 0
    tokens: int = 0
    unknown: int = 0
    cut: int = 0
    windowed: int = 0
    entities: int = 0
    misaligned: int = 0

    def counts(self, table: pa.Table, task: TaskConfig) -> dict[str, Any]:
        """Lay it out as plain JSON values."""
        found: dict[str, Any] = {"records": table.num_rows, "examples": self.examples}
        if task.family in ("single_sentence", "sentence_pair"):
            labels = table.column("label").to_pylist()
            found |= {"cut": self.cut}
        else:
            labels = [kind for kinds in table.column("span_labels").to_pylist() for kind in kinds]
            found |= {
                "windowed": self.windowed,
                "entities": self.entities,
                "misaligned_entities": self.misaligned,
            }
        return found | {
            "labels": {label: labels.count(label) for label in task.labels},
            "unk_fraction": round(self.unknown / max(1, self.tokens), 6),
            "fill_fraction": round(self.example_tokens / max(1, self.examples * task.fine_tune.max_tokens), 6),
        }


def _examples(table: pa.Table, tokenizer: WordPieceTokenizer, task: TaskConfig, tally: _Tally) -> Iterator[pa.Table]:
    """Yield the examples of a split, some thousand records at a time."""
    for first in range(0, table.num_rows, _ROWS_AT_ONCE):
        records = table.slice(first, _ROWS_AT_ONCE).combine_chunks()
        yield _examples_of(records, tokenizer, task, tally)


def _pair_examples_of(records: pa.Table, tokenizer: WordPieceTokenizer, task: TaskConfig, tally: _Tally) -> pa.Table:
    texts, texts_pair = records.column("text"), records.column("text_pair")
    inputs = pair_inputs(tokenizer, texts.to_pylist(), texts_pair.to_pylist(), task.fine_tune.max_tokens)
    tally.examples += records.num_rows
    tally.example_tokens += len(inputs.ids)
    tally.tokens += inputs.num_tokens
    tally.unknown += inputs.num_unknown
    tally.cut += inputs.num_cut
    index = {label: number for number, label in enumerate(task.labels)}
    record_ids = records.column("record_id").to_numpy()
    schema = labelled_schema(tokenizer.vocabulary_size)
    none = np.zeros(records.num_rows + 1, np.int64)
    columns = {
        "example_id": mix64(record_ids ^ mix64(np.zeros(len(record_ids), np.uint64))),
        "record_id": record_ids,
        "input_ids": list_array(inputs.ids, inputs.offsets, schema.field("input_ids").type.value_type),
        "length_a": inputs.length_a.astype(np.int32),
        "label": np.array([index[label] for label in records.column("label").to_pylist()], np.int32),
        "token_labels": list_array(np.zeros(0, np.int32), none, pa.int32()),
        "char_starts": list_array(inputs.char_starts, inputs.offsets, pa.int32()),
        "char_ends": list_array(inputs.char_ends, inputs.offsets, pa.int32()),
        "text": texts,
        "text_pair": texts_pair,
    }
    return pa.table(columns).cast(schema)


def _examples_of(records: pa.Table, tokenizer: WordPieceTokenizer, task: TaskConfig, tally: _Tally) -> pa.Table:
    if task.family == "sentence_pair":
        return _pair_examples_of(records, tokenizer, task, tally)
    tokens = tokenizer.encode(records.column("text").to_pylist())
    lengths = np.diff(tokens.row_offsets)
    room = task.fine_tune.max_tokens - NUM_SPECIAL_TOKENS
    tagged = task.family == "sequence_labelling"
    windows = cut_windows(lengths, room) if tagged else heads(lengths, room)

    # Every example is one special token, the tokens of its window, one special token.
    sizes = windows.ends - windows.starts
    offsets = np.concatenate([[0], np.cumsum(sizes + NUM_SPECIAL_TOKENS)])
    inside = ranges(offsets[:-1] + 1, sizes)
    source = ranges(tokens.row_offsets[windows.rows] + windows.starts, sizes)
    ids = np.empty(offsets[-1], np.int32)
    ids[offsets[:-1]], ids[offsets[1:] - 1], ids[inside] = tokenizer.cls_id, tokenizer.sep_id, tokens.ids[source]
    char_starts, char_ends = np.full((2, len(ids)), -1, np.int32)
    char_starts[inside], char_ends[inside] = tokens.char_starts[source], tokens.char_ends[source]

    labels = np.full(len(sizes), IGNORED, np.int32)
    if tagged:
        tags, misaligned = _tags(records, tokens, task.labels)
        tags = from_bio(tags, tokens.row_offsets, task.fine_tune.tags)
        scored = ranges(
            offsets[:-1] + 1 + windows.scored_starts - windows.starts, windows.scored_ends - windows.scored_starts
        )
        token_labels, label_offsets = np.full(len(ids), IGNORED, np.int32), offsets
        token_labels[scored] = tags  # scored ranges of a text follow one another without a gap
        tally.windowed += int((lengths > room).sum())
        tally.entities += len(misaligned)
        tally.misaligned += int(misaligned.sum())
    else:
        token_labels, label_offsets = np.zeros(0, np.int32), np.zeros(len(offsets), np.int64)
        index = {label: number for number, label in enumerate(task.labels)}
        labels[:] = [index[label] for label in records.column("label").to_pylist()]
        tally.cut += int((lengths > room).sum())
    tally.examples += len(sizes)
    tally.example_tokens += len(ids)
    tally.tokens += len(tokens.ids)
    tally.unknown += int((tokens.ids == tokenizer.unk_id).sum())

    record_ids = records.column("record_id").to_numpy()[windows.rows]
    schema = labelled_schema(tokenizer.vocabulary_size)
    columns = {
        "example_id": mix64(record_ids ^ mix64(windows.starts.astype(np.uint64))),
        "record_id": record_ids,
        "input_ids": list_array(ids, offsets, schema.field("input_ids").type.value_type),
        "length_a": sizes.astype(np.int32),
        "label": labels,
        "token_labels": list_array(token_labels, label_offsets, pa.int32()),
        "char_starts": list_array(char_starts, offsets, pa.int32()),
        "char_ends": list_array(char_ends, offsets, pa.int32()),
        "text": records.column("text").take(windows.rows),
        "text_pair": pa.nulls(len(sizes), pa.string()),
    }
    return pa.table(columns).cast(schema)


def _tags(records: pa.Table, tokens: Any, labels: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Tag all tokens of some records, and say which of their entities are misaligned."""
    span_starts, span_offsets = list_column(records, "span_starts")
    span_ends, _ = list_column(records, "span_ends")
    index = {label: number for number, label in enumerate(labels)}
    kinds = [index[kind] for row in records.column("span_labels").to_pylist() for kind in row]
    return spans_to_bio(
        tokens.char_starts,
        tokens.char_ends,
        tokens.row_offsets,
        span_starts,
        span_ends,
        np.array(kinds, np.int64),
        span_offsets,
    )
