"""The examples of one set, planned run by run and copied out by several threads. `pairs.py` tells the rules.

One group of documents is in memory at once. Nothing is written here.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from bert_core.config import ExamplesConfig
from bert_core.examples.token_documents import DocumentIndex, TokenDocuments
from bert_core.randomness import key_of
from bert_core.store.schemas import NEXT, NO_PAIR, RANDOM, SWAPPED
from bert_core.store.shards import list_array, token_type
from bert_core.tokens.ordered_threads import map_in_order

if TYPE_CHECKING:
    from bert_core.tokens.tokenizer import WordPieceTokenizer

TOKENS_PER_PLAN = 1 << 20
ROWS_PER_TABLE = 1 << 13
COUNTS = ("examples", "pairs", "next", "random", "swapped", "single", "tokens", "cut_tokens", "without_negative")


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
class SetBuilder:
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
        return {name: int(self.counts[name]) for name in COUNTS}

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
                for num_documents, plan in self._plans(documents, pieces, round_):
                    for row in range(0, len(plan), ROWS_PER_TABLE):
                        yield documents, plan[row : row + ROWS_PER_TABLE], round_
                    self.advance(num_documents)

    def _plans(self, documents: TokenDocuments, pieces: "_Pieces", round_: int) -> Iterator[tuple[int, np.ndarray]]:
        """Plan a group run by run, each in a thread while the one before is copied out; yield documents and plan."""
        wanted = np.arange(0, documents.offsets[-1], TOKENS_PER_PLAN)
        borders = np.append(np.unique(np.searchsorted(documents.offsets[:-1], wanted)), len(documents.doc_ids))
        runs = list(pairwise(borders.tolist()))
        with ThreadPoolExecutor(1) as planner:

            def begun(number: int) -> Future[tuple[np.ndarray, dict[str, int]]]:
                return planner.submit(self._plan, documents, pieces, *runs[number], round_, self.counts["pairs"])

            waiting = begun(0)
            for number, (first, stop) in enumerate(runs):
                plan, counts = waiting.result()
                self.counts.update(counts)
                self._count(plan)
                if number + 1 < len(runs):  # it goes on with the labels where this one ends
                    waiting = begun(number + 1)
                yield stop - first, plan

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

    def _plan(
        self, documents: TokenDocuments, pieces: "_Pieces", first: int, stop: int, round_: int, num_pairs: int
    ) -> tuple[np.ndarray, dict[str, int]]:
        """Plan the examples of documents `first` to `stop` of a group in one round, after `num_pairs` pairs."""
        from bert_core.examples import pair_kernels

        key = key_of(self.seed, "pairs", round_)
        longest_tokens, short_probability = pieces.longest_tokens, self.examples.short_sequence_probability
        if not pieces.is_paired:
            plan = pair_kernels.plan_packs(
                first, stop, documents.doc_keys, pieces.starts, pieces.offsets, key, longest_tokens, short_probability
            )
            return plan, {}
        plan, pairs, num_cut, num_without_negative = pair_kernels.plan_pairs(
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
            num_pairs,
            longest_tokens,
            short_probability,
            self.examples.objective == "sop",
        )
        return plan, {"pairs": pairs, "cut_tokens": num_cut, "without_negative": num_without_negative}

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
