"""Changed copies of training records, by operations over words; dev and test are never touched.

Each copy of a record takes one operation, in turn, from a place drawn for the record. Entities keep their text and
their offsets are carried along; of a question with answers only the context changes, and its answers stay whole; of a
pair both texts change. A copy is left out, and counted, where nothing could be changed (`unchanged`), where its text
stands among the records of the task already (`repeated`), and where it would give a dev or test text away (`held_out`,
by the rule that training records pass in `corpus/split.py`).

Copies depend on (seed, record, number of the copy) alone. How words change is the matter of `word_edits.py`;
substitution by a masked language model needs a checkpoint and belongs to fine-tuning.

Source: Wei and Zou 2019, EDA (arXiv:1901.11196).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bert_core.config import AugmentationConfig
from bert_core.corpus.decontaminate import CLEAN, HeldOutTexts
from bert_core.corpus.split import compared_text, record_id
from bert_core.examples.thesaurus import synonyms_of_words
from bert_core.examples.word_edits import OPERATIONS, Edited, Synonyms, Words, apply_edits, find_words
from bert_core.randomness import key_of, uniforms
from bert_core.store.schemas import RECORDS

SAMPLES_OF_OPERATION = 5
"""Copies of each operation that are shown before and after."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmented:
    """The copies, and what became of those that were tried."""

    copies: pa.Table
    """Records (schema `RECORDS`)."""
    counts: dict[str, Any]
    """`records` copied from, `copies`, `by_operation`, and the copies left out: `unchanged`, `repeated`, `held_out`."""
    samples: list[dict[str, Any]]
    """Some copies: `operation`, `label`, `before`, `after`; of pairs both texts, one line each."""


@dataclass(slots=True)
class _Copy:
    row: int
    operation: str
    edited: Edited | None
    edited_pair: Edited | None


@dataclass(frozen=True, slots=True)
class _Texts:
    """One column of texts with its words; `spans` are protected."""

    rows: list[Any]
    words: list[Words] = field(default_factory=list)

    @classmethod
    def of(cls, rows: list[Any], spans: list[list[tuple[int, int]]], segmenter: str) -> "_Texts":
        return cls(rows, find_words([row or "" for row in rows], spans, segmenter))

    def change(self, row: int, operation: str, synonyms: Synonyms, share: float, key: np.uint64) -> Edited | None:
        """Return the text after one operation; None where nothing changed."""
        text = self.rows[row]
        if not self.words or text is None:
            return None
        edited = apply_edits(text, OPERATIONS[operation](text, self.words[row], synonyms, share, key))
        return edited if edited.text != text else None


def augment_records(
    train: pa.Table,
    held_out: Sequence[pa.Table],
    config: AugmentationConfig,
    thesaurus: Path | None,
    segmenter: str,
    seed: int,
) -> Augmented:
    """Make the copies of the training records.

    Args:
        train: records that are trained on (schema `RECORDS`).
        held_out: records of dev and of test.
        config: how many copies, by which operations, of which labels.
        thesaurus: file of synonyms; needed by synonym and insert.
        segmenter: finds words, "rjieba" or "none".
        seed: of the run.

    Raises:
        RequestError: the thesaurus is not as it must be.
    """
    synonyms: Synonyms = {}
    if thesaurus is not None:
        synonyms = synonyms_of_words(thesaurus, "augmentation.thesaurus")
    eligible = train if not config.labels else train.filter(pa.array(_has_label(train, set(config.labels))))
    eligible = eligible.combine_chunks()
    spans = _ranges(eligible, "span_starts", "span_ends")
    answers = _answers(eligible)
    is_question = any(answers)
    second = eligible.column("text_pair").to_pylist()
    texts = _Texts(eligible.column("text").to_pylist())
    if not is_question:
        texts = _Texts.of(texts.rows, spans, segmenter)
    texts_pair = (
        _Texts.of(second, answers, segmenter) if eligible.column("text_pair").null_count == 0 else _Texts(second)
    )

    counts: Counter[str] = Counter()
    copies: list[_Copy] = []
    ids = [_ids(table) for table in (train, *held_out)]
    seen = set(np.concatenate(ids).tolist())
    new_ids: list[int] = []
    for row, own_id in enumerate(_ids(eligible).tolist()):
        first = int(uniforms(key_of(seed, "augmentation", own_id), 1)[0] * len(config.operations))
        for number in range(config.copies):
            operation = config.operations[(first + number) % len(config.operations)]
            keys = [key_of(seed, "augmentation", own_id, number, part) for part in ("text", "pair")]
            copy = _Copy(
                row,
                operation,
                texts.change(row, operation, synonyms, config.word_share, keys[0]),
                texts_pair.change(row, operation, synonyms, config.word_share, keys[1]),
            )
            if copy.edited is None and copy.edited_pair is None:
                counts["unchanged"] += 1
                continue
            new_id = record_id(*_texts_of(copy, texts, texts_pair))
            if new_id in seen:
                counts["repeated"] += 1
                continue
            seen.add(new_id)
            new_ids.append(new_id)
            copies.append(copy)
    stays = _gives_nothing_away(copies, texts, texts_pair, held_out, is_question)
    counts["held_out"] = len(copies) - int(stays.sum())
    copies = [copy for copy, is_kept in zip(copies, stays, strict=True) if is_kept]
    table = _table(eligible, copies, np.array(new_ids, np.uint64)[stays], texts, texts_pair, spans, answers)
    by_operation = Counter(copy.operation for copy in copies)
    return Augmented(
        copies=table,
        counts={
            "records": eligible.num_rows,
            "copies": len(copies),
            "by_operation": {operation: by_operation[operation] for operation in config.operations},
            **{reason: counts[reason] for reason in ("unchanged", "repeated", "held_out")},
        },
        samples=_samples(eligible, table, copies, config),
    )


def _gives_nothing_away(
    copies: list[_Copy], texts: _Texts, texts_pair: _Texts, held_out: Sequence[pa.Table], is_question: bool
) -> np.ndarray:
    """Say which copies hold no dev or test text and lie in none."""
    scored = HeldOutTexts(
        compared_text(text, second, is_question=is_question)
        for table in held_out
        for text, second in zip(table.column("text").to_pylist(), table.column("text_pair").to_pylist(), strict=True)
    )
    new = [compared_text(*_texts_of(copy, texts, texts_pair), is_question=is_question) for copy in copies]
    return scored.kinds_of(new) == CLEAN


def _texts_of(copy: _Copy, texts: _Texts, texts_pair: _Texts) -> tuple[str, str | None]:
    """Both texts of a copy, the changed and the unchanged."""
    return (
        copy.edited.text if copy.edited else texts.rows[copy.row],
        copy.edited_pair.text if copy.edited_pair else texts_pair.rows[copy.row],
    )


def _table(
    records: pa.Table,
    copies: list[_Copy],
    ids: np.ndarray,
    texts: _Texts,
    texts_pair: _Texts,
    spans: list[list[tuple[int, int]]],
    answers: list[list[tuple[int, int]]],
) -> pa.Table:
    """Lay the copies out as records; what does not change is that of the record."""
    both = [_texts_of(copy, texts, texts_pair) for copy in copies]
    places = [_placed(copy.edited, spans[copy.row]) for copy in copies]
    new = {
        "record_id": ids,
        "text": [text for text, _ in both],
        "text_pair": [second for _, second in both],
        "span_starts": [[start for start, _ in row] for row in places],
        "span_ends": [[end for _, end in row] for row in places],
        "answer_starts": [[start for start, _ in _placed(copy.edited_pair, answers[copy.row])] for copy in copies],
    }
    table = records.take(pa.array([copy.row for copy in copies], pa.int64()))
    for name, values in new.items():
        column = table.schema.get_field_index(name)
        table = table.set_column(column, RECORDS.field(name), pa.array(values, RECORDS.field(name).type))
    return table


def _placed(edited: Edited | None, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return spans if edited is None else [edited.place(start, end) for start, end in spans]


def _samples(
    records: pa.Table, table: pa.Table, copies: list[_Copy], config: AugmentationConfig
) -> list[dict[str, Any]]:
    shown = [
        number
        for operation in config.operations
        for number in [n for n, copy in enumerate(copies) if copy.operation == operation][:SAMPLES_OF_OPERATION]
    ]
    before = records.take(pa.array([copies[number].row for number in shown], pa.int64())).to_pylist()
    after = table.take(pa.array(shown, pa.int64())).to_pylist()
    return [
        {
            "operation": copies[number].operation,
            "label": old["label"] or sorted(set(old["span_labels"])),
            "before": _readable(old),
            "after": _readable(new),
        }
        for number, old, new in zip(shown, before, after, strict=True)
    ]


def _readable(record: dict[str, Any]) -> str:
    return "\n".join(filter(None, [record["text"], record["text_pair"]]))


def _has_label(records: pa.Table, labels: set[str]) -> list[bool]:
    classes, kinds = records.column("label").to_pylist(), records.column("span_labels").to_pylist()
    return [one in labels or not labels.isdisjoint(some or ()) for one, some in zip(classes, kinds, strict=True)]


def _ranges(records: pa.Table, starts: str, ends: str) -> list[list[tuple[int, int]]]:
    both = zip(records.column(starts).to_pylist(), records.column(ends).to_pylist(), strict=True)
    return [list(zip(first or [], last or [], strict=True)) for first, last in both]


def _answers(records: pa.Table) -> list[list[tuple[int, int]]]:
    both = zip(records.column("answer_starts").to_pylist(), records.column("answer_texts").to_pylist(), strict=True)
    return [
        [(start, start + len(text)) for start, text in zip(starts or [], texts or [], strict=True)]
        for starts, texts in both
    ]


def _ids(records: pa.Table) -> np.ndarray:
    return records.column("record_id").to_numpy()
