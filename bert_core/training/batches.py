"""Pretraining batches: which examples, in which order, masked and padded.

The batch of a step is a function of (seed, step) alone, so a resumed run continues with an integer. Within a window of
256 batches examples are sorted by length before they are cut into batches, so that examples of one batch are about as
long as each other and less than 2 % of a batch is padding; the batches then get a random order again. Which examples
share a batch changes with every epoch, because windows are cut from a new random order. Masks are drawn here, when a
batch is read, and differ in every epoch.
"""
# ruff: noqa: N806 -- capitals at the end of a name are axes

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from bert_core.config import MaskingConfig
from bert_core.examples.masking import MaskVocabulary, mask_batch
from bert_core.examples.reader import ExampleSet
from bert_core.model.pretraining import PretrainingBatch
from bert_core.randomness import key_of, permutation

WINDOW_BATCHES = 256
"""Batches that are sorted together. Of the demo's pairs 3.2 % is padding with 32, 0.5 % with 256."""
LENGTH_MULTIPLE = {"cpu": 1, "cuda": 8}
"""Batches are padded to a multiple of this many tokens, by type of device. A CPU is as fast with odd lengths; the
matrix units of a GPU are not."""

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class DrawnBatch:
    """A batch with what is to be known about it beside its tensors."""

    tensors: PretrainingBatch
    example_ids: np.ndarray
    """uint64, (B,)."""
    num_tokens: int
    """Tokens without padding."""


class BatchPlan:
    """Which rows make the batch of each step."""

    def __init__(
        self,
        lengths_tokens: np.ndarray,
        rows_of_rounds: Sequence[np.ndarray],
        batch_examples: int,
        seed: int,
        stage: str,
    ) -> None:
        """Plan batches over all rows.

        Args:
            lengths_tokens: of each row, tokens.
            rows_of_rounds: rows of each pairing round; epoch e reads round e mod their number.
            batch_examples: largest batch.
            seed: seed of the run.
            stage: name that keeps the orders of two stages apart.
        """
        self._lengths = np.asarray(lengths_tokens)
        self._rows_of_round = list(rows_of_rounds)
        self._batch_examples = batch_examples
        self._names = (seed, stage)
        self._epoch_batches: tuple[int, list[np.ndarray]] = (-1, [])

    def num_batches(self, epoch: int) -> int:
        """Return the batches of an epoch."""
        num_rows = len(self._rows_of_round[epoch % len(self._rows_of_round)])
        whole, rest = divmod(num_rows, WINDOW_BATCHES * self._batch_examples)
        return whole * WINDOW_BATCHES + -(-rest // self._batch_examples)

    def locate(self, step: int) -> tuple[int, int]:
        """Return (epoch, batch in the epoch) of a step."""
        num_rounds = len(self._rows_of_round)
        per_cycle = [self.num_batches(epoch) for epoch in range(num_rounds)]
        cycles, left = divmod(step, sum(per_cycle))
        for index, count in enumerate(per_cycle):
            if left < count:
                return cycles * num_rounds + index, left
            left -= count
        raise AssertionError("the remainder is below the sum")

    def rows(self, step: int) -> tuple[int, np.ndarray]:
        """Return (epoch, rows) of the batch of `step`; every row of a round is read once in its epoch."""
        epoch, index = self.locate(step)
        if self._epoch_batches[0] != epoch:
            self._epoch_batches = (epoch, self._batches_of(epoch))
        return epoch, self._epoch_batches[1][index]

    def _batches_of(self, epoch: int) -> list[np.ndarray]:
        rows = self._rows_of_round[epoch % len(self._rows_of_round)]
        rows = rows[permutation(len(rows), key_of(*self._names, "order", epoch))]
        window_rows = WINDOW_BATCHES * self._batch_examples
        batches: list[np.ndarray] = []
        for start in range(0, len(rows), window_rows):
            window = rows[start : start + window_rows]
            window = window[np.argsort(self._lengths[window], kind="stable")]
            batches += np.array_split(window, -(-len(window) // self._batch_examples))
        order = permutation(len(batches), key_of(*self._names, "batch order", epoch))
        return [batches[index] for index in order]


def draw_batch(
    examples: ExampleSet,
    rows: np.ndarray,
    masking: MaskingConfig,
    vocabulary: MaskVocabulary,
    seed: int,
    epoch: int,
    pad_id: int = 0,
    length_multiple: int = 1,
) -> DrawnBatch:
    """Read, mask and pad `rows`.

    Args:
        examples: where they lie.
        rows: row numbers, at least one.
        masking: the policy.
        vocabulary: ids that masking needs.
        seed: seed of the run.
        epoch: masks are a function of (seed, epoch, example id).
        pad_id: id of [PAD].
        length_multiple: the batch is as wide as its longest example, up to the next multiple of this, tokens.
    """
    from bert_core.examples.padding_kernel import pad_examples

    ragged = examples.take(rows)
    masked_ids, is_target = mask_batch(
        ragged.input_ids,
        ragged.offsets,
        ragged.word_starts,
        ragged.entity_starts,
        ragged.entity_lengths,
        ragged.entity_offsets,
        ragged.example_ids,
        seed,
        epoch,
        masking,
        vocabulary,
    )
    lengths = np.diff(ragged.offsets)
    width = -(-int(lengths.max()) // length_multiple) * length_multiple
    input_ids_BS, token_type_ids_BS, target_positions_N, target_ids_N = pad_examples(
        ragged.input_ids, masked_ids, is_target, ragged.offsets, ragged.length_a, width, pad_id
    )
    tensors = PretrainingBatch(
        torch.from_numpy(input_ids_BS),
        torch.from_numpy(token_type_ids_BS),
        torch.from_numpy(lengths),
        torch.from_numpy(target_positions_N),
        torch.from_numpy(target_ids_N),
        torch.from_numpy(ragged.next_sentence_labels.astype(np.int64)),
    )
    return DrawnBatch(tensors, ragged.example_ids, int(lengths.sum()))


def prefetch(make: Callable[[Item], Made], items: Iterable[Item], ahead: int = 4) -> Generator[Made]:
    """Yield `make(item)` in order while a thread works on the next `ahead` items."""
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        waiting: deque[Any] = deque()
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
