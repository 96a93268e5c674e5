"""Tokens to pretraining examples: sentence pairs (nsp, sop), or packed sentences without a pair (none).

Documents are divided into `train` and `held_out`; the rules for both are the same. Per example (so that a document
never gives short examples alone) a target length is drawn: `max_tokens - 3`, or with `short_sequence_probability` a
number from 2 to that. Then, walking along a document as the reference does:

1. Sentences are taken until the target is reached or the next one does not fit, two at least. A lone last sentence
   becomes an example without pair.
2. A is the first of them up to a drawn sentence boundary.
3. "next" (0): B is the rest. "random" (1): B comes from another document, begins at a sentence, and has about the
   length of the rest, so that length does not give the label away; the rest is put back and walked over next.
4. Two sentences that do not fit together are cut to `max_tokens`, from the longer side: from A at its front, from B at
   its back, so that a "next" B always adjoins its A, and every B begins at a sentence. These `cut_tokens` are counted;
   all other tokens of a document come in every round, in their order.

For sentence order (sop) both sides are as in a "next" pair, and label 1 swaps them. Nothing but the order tells the
labels apart: a pair that is too long is cut after the swap, both sides at their back, and where both sides are the same
text there is no pair.

Labels are no coin flips: of the pairs 2k and 2k + 1 one has label 1, by a keyed draw which. So half of the pairs are
random (or swapped) after every document, exactly or but for one. A random B is proved: its document's id differs, and
it does not begin with the sentence that follows A. It is looked for in the same group of documents, which is one shard
of tokens (a shard with fewer than two documents to train on joins its neighbour), so memory is bounded by a shard;
held-out documents of all shards are one group.

A sentence longer than `max_tokens - 3` is cut at words into even pieces of at most half of that; pieces are walked over
like sentences, and B may then begin at a piece, but only where it is the true one. Duplicates of a document, where the
corpus keeps them, draw on their own.

What the reference does and this does not: a short chunk is always random there (so short documents give no honest
label), its tenth try at another document may be the same document, sentences are taken until they are too many and then
cut (an eighth of a text in sentences of 40 tokens is lost so), often where A and B meet, and the target is drawn once
for a document.

Source: Devlin et al. 2019 (arXiv:1810.04805), create_pretraining_data.py; Liu et al. 2019 (arXiv:1907.11692)
DOC-SENTENCES for examples without pairs; Lan et al. 2020 (arXiv:1909.11942) for sentence order; Shoeybi et al. 2019
(arXiv:1909.08053) for the target drawn anew.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from bert_core.config import ExamplesConfig
from bert_core.errors import CorpusError
from bert_core.examples.sources import schema_of, unknown_characters_of, write_sources
from bert_core.examples.token_documents import DocumentIndex, TokenDocuments, is_held_out
from bert_core.progress import Progress, silent
from bert_core.randomness import key_of
from bert_core.store.schemas import NEXT, NO_PAIR, RANDOM, SWAPPED
from bert_core.store.shards import list_array, shard_paths, token_type, write_shards
from bert_core.tokens.ordered_threads import available_threads, map_in_order

if TYPE_CHECKING:
    from bert_core.tokens.tokenizer import WordPieceTokenizer

_TOKENS_PER_PLAN = 1 << 20
_ROWS_PER_TABLE = 1 << 13
_COUNTS = ("examples", "pairs", "next", "random", "swapped", "single", "tokens", "cut_tokens", "without_negative")
_NO_PAIRS = "set examples.objective: none"


def build_examples(
    tokens_folder: Path,
    vocabulary_folder: Path,
    examples: ExamplesConfig,
    seed: int,
    folder: Path,
    progress: Progress = silent,
    num_threads: int | None = None,
) -> dict:
    """Write `train-*.arrow` (rounds in order), `held_out-*.arrow` (round 0 alone), `sources-*.arrow`, `audit.json`.

    Args:
        tokens_folder: holds `tokens-*.arrow`.
        vocabulary_folder: vocabulary of these tokens.
        examples: lengths, pairing and division.
        seed: of the run.
        folder: empty folder to write into.
        progress: told of documents walked over.
        num_threads: threads that copy examples out, empty for all processors; the result does not depend on it.

    Returns:
        Plain JSON values by set: documents, examples, pairs, next (or in order), random, swapped, single, tokens,
        cut_tokens, without_negative, rounds, bytes, bytes_a_round (disk for each round), for `train` and `held_out`.

    Raises:
        CorpusError: no tokens; no honest negative or no pair to be had for the objective; or a hard threshold of the
            audit fails (`examples.audit`, and what is no setting).
    """
    from bert_core.examples.audit import audit_examples
    from bert_core.tokens.tokenizer import WordPieceTokenizer

    objective, num_threads = examples.objective, num_threads or available_threads()
    tokenizer = WordPieceTokenizer.from_folder(vocabulary_folder)
    index = DocumentIndex.read(tokens_folder)
    if not len(index.doc_ids):
        raise CorpusError(f"{tokens_folder}: no document has tokens; check the corpus and its filters")
    held_out = is_held_out(index.doc_ids, examples.held_out_fraction, seed, at_least=2 if objective == "nsp" else 1)
    train = index.select(~held_out)
    if objective == "nsp" and train.num_distinct < 2:
        raise CorpusError(
            f"{tokens_folder}: {train.num_distinct} document to train on, expected at least 2, because a random next "
            f"sentence must come from another document; give more documents, or {_NO_PAIRS}"
        )
    write_sources(index, folder)
    sets = {"train": (train, examples.pairing_rounds), "held_out": (index.select(held_out), 1)}
    total = sum(len(documents.doc_ids) * num_rounds for documents, num_rounds in sets.values())
    walked, counts = 0, {}

    def advance(num_documents: int) -> None:
        nonlocal walked
        walked += num_documents
        progress(walked, total, "documents")

    for name, (documents, num_rounds) in sets.items():
        builder = _SetBuilder(examples, seed, name, tokenizer, schema_of(index, tokenizer), advance, num_threads)
        groups = documents.by_shard() if name == "train" else [documents] if len(documents.doc_ids) else []
        write_shards(folder, name, builder.schema, builder.tables(groups, num_rounds))
        num_bytes = sum(path.stat().st_size for path in shard_paths(folder, name))
        counts[name] = {"documents": len(documents.doc_ids)} | builder.counts_by_name()
        counts[name] |= {"rounds": num_rounds, "bytes": num_bytes, "bytes_a_round": round(num_bytes / num_rounds)}
    if objective != "none" and counts["train"]["pairs"] == 0:
        raise CorpusError(
            f"{tokens_folder}: no pair of sentences among {len(train.doc_ids)} documents, expected documents of two "
            f"sentences and texts that differ; check the corpus format, or {_NO_PAIRS}"
        )
    unknown = unknown_characters_of(tokens_folder)
    audit = audit_examples(folder, tokenizer, objective, unknown, num_threads, examples.audit)
    (folder / "audit.json").write_text(json.dumps(audit, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    hard = [fault for fault in audit["faults"] if fault["is_hard"]]
    if hard:
        told = "; ".join(f"{fault['subject']}: {fault['got']}, expected {fault['expected']}" for fault in hard)
        raise CorpusError(f"{tokens_folder}: its examples fail the audit: {told}; see {folder / 'audit.json'}")
    return counts


@dataclass(frozen=True)
class _Pieces:
    """Sentences of a group of documents, or the parts of those that are too long."""

    starts: np.ndarray
    """First token of each piece and the end, int64."""
    offsets: np.ndarray
    """First piece of each document and the end, int64."""
    begins: np.ndarray
    """Whether a piece begins a sentence, bool."""
    is_paired: bool
    """Whether examples are pairs."""
    longest_tokens: int
    """Most tokens of an example without its special tokens."""


@dataclass
class _SetBuilder:
    """Builds the examples of one set and counts them on the way."""

    examples: ExamplesConfig
    seed: int
    name: str
    tokenizer: "WordPieceTokenizer"
    schema: pa.Schema
    advance: Callable[[int], None]
    num_threads: int
    counts: Counter[str] = field(default_factory=Counter)

    def counts_by_name(self) -> dict[str, int]:
        """Return all counts, zeros included."""
        return {name: int(self.counts[name]) for name in _COUNTS}

    def tables(self, groups: list[DocumentIndex], num_rounds: int) -> Iterator[pa.Table]:
        """Yield the examples of all rounds, in order, copied out by several threads."""
        return map_in_order(lambda planned: self._table(*planned), self._planned(groups, num_rounds), self.num_threads)

    def _planned(
        self, groups: list[DocumentIndex], num_rounds: int
    ) -> Iterator[tuple[TokenDocuments, np.ndarray, int]]:
        """Plan and count examples, in order, a run of documents at a time; a single group is read once."""
        documents, pieces = None, None
        for round_ in range(num_rounds):
            for group in groups:
                if documents is None or pieces is None or len(groups) > 1:
                    documents, pieces = None, None  # one group in memory at once
                    documents = TokenDocuments.load(group, self.num_threads)
                    pieces = self._pieces(documents, group.num_distinct)
                wanted = np.arange(0, documents.offsets[-1], _TOKENS_PER_PLAN)
                borders = np.append(np.unique(np.searchsorted(documents.offsets[:-1], wanted)), len(documents.doc_ids))
                for first, stop in pairwise(borders.tolist()):
                    plan = self._plan(documents, pieces, first, stop, round_)
                    self._count(plan)
                    for row in range(0, len(plan), _ROWS_PER_TABLE):
                        yield documents, plan[row : row + _ROWS_PER_TABLE], round_
                    self.advance(stop - first)

    def _pieces(self, documents: TokenDocuments, num_distinct: int) -> "_Pieces":
        """Cut what is too long for an example; a lone held-out document is packed without pairs."""
        from bert_core.examples.pair_kernels import cut_sentences

        objective = self.examples.objective
        is_paired = objective == "sop" or (objective == "nsp" and num_distinct >= 2)
        longest_tokens = self.examples.max_tokens - (3 if is_paired else 2)
        starts, offsets, begins = cut_sentences(
            documents.sentence_lengths,
            documents.sentence_offsets,
            documents.offsets,
            documents.word_starts,
            documents.ids,
            self.tokenizer.continuation_entries,
            longest_tokens,
            longest_tokens // 2 if is_paired else longest_tokens,
        )
        return _Pieces(starts, offsets, begins, is_paired, longest_tokens)

    def _plan(self, documents: TokenDocuments, pieces: "_Pieces", first: int, stop: int, round_: int) -> np.ndarray:
        """Plan the examples of documents `first` to `stop` of a group in one round."""
        from bert_core.examples import pair_kernels

        key = key_of(self.seed, "pairs", round_)
        longest_tokens, short_probability = pieces.longest_tokens, self.examples.short_sequence_probability
        if not pieces.is_paired:
            return pair_kernels.plan_packs(
                first, stop, documents.doc_keys, pieces.starts, pieces.offsets, key, longest_tokens, short_probability
            )
        plan, num_pairs, num_cut, num_without_negative = pair_kernels.plan_pairs(
            first,
            stop,
            documents.doc_ids,
            documents.doc_keys,
            documents.ids,
            pieces.starts,
            pieces.offsets,
            pieces.begins,
            key,
            key_of(self.seed, "labels", self.name),
            self.counts["pairs"],
            longest_tokens,
            short_probability,
            self.examples.objective == "sop",
        )
        self.counts.update(pairs=num_pairs, cut_tokens=num_cut, without_negative=num_without_negative)
        return plan

    def _count(self, plan: np.ndarray) -> None:
        """Add planned examples to the counts."""
        from bert_core.examples import pair_kernels as kernels

        labels, is_same = plan[:, kernels.LABEL], plan[:, kernels.DOC_A] == plan[:, kernels.DOC_B]
        num_single = int(np.count_nonzero(labels == NO_PAIR))
        text_tokens = plan[:, kernels.LENGTH_A].sum() + plan[:, kernels.LENGTH_B].sum()
        self.counts.update(
            examples=len(plan),
            next=int(np.count_nonzero(labels == NEXT)),
            random=int(np.count_nonzero((labels == RANDOM) & ~is_same)),
            swapped=int(np.count_nonzero((labels == SWAPPED) & is_same)),
            single=num_single,
            tokens=int(text_tokens) + 3 * len(plan) - num_single,
        )

    def _table(self, documents: TokenDocuments, plan: np.ndarray, round_: int) -> pa.Table:
        """Copy planned examples into a table."""
        from bert_core.examples import copy_kernels
        from bert_core.examples import pair_kernels as kernels

        tokens, offsets, words, starts, lengths, spans = copy_kernels.copy_out(
            plan,
            documents.ids,
            documents.word_starts,
            documents.entity_offsets,
            documents.entity_starts,
            documents.entity_lengths,
            self.tokenizer.cls_id,
            self.tokenizer.sep_id,
        )
        labels = plan[:, kernels.LABEL]
        moved = documents.first_tokens - documents.offsets[:-1]  # from places in the group to places in the folder
        first_a = plan[:, kernels.START_A] + moved[plan[:, kernels.DOC_A]]
        first_b = np.where(labels != NO_PAIR, plan[:, kernels.START_B] + moved[plan[:, kernels.DOC_B]], first_a)
        columns = {
            "input_ids": list_array(tokens, offsets, token_type(self.tokenizer.vocabulary_size)),
            "length_a": pa.array(plan[:, kernels.LENGTH_A].astype(np.uint16)),
            "next_sentence_label": pa.array(labels.astype(np.int8)),
            "round": pa.array(np.full(len(plan), round_, np.uint8)),
        }
        place = self.schema.field("first_a").type.to_pandas_dtype()
        columns |= {"first_a": pa.array(first_a.astype(place)), "first_b": pa.array(first_b.astype(place))}
        if "word_starts" in self.schema.names:
            columns["word_starts"] = list_array(words, offsets, pa.bool_())
        if "entity_starts" in self.schema.names:
            columns["entity_starts"] = list_array(starts, spans, pa.uint16())
            columns["entity_lengths"] = list_array(lengths, spans, pa.uint16())
        return pa.table(columns)
