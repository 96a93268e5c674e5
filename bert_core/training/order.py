"""Which examples make the batch of each step: a function of (seed, stage, step), in bounded memory.

An epoch is a random order of blocks of neighbouring rows, cut into windows of 256 batches. Up to a million rows a block
is one row, and the order is a plain permutation; beyond that a block is as many rows as leave a million blocks, so that
the order never holds more than a million numbers. Only the window in use is laid out row by row: its rows get a random
order, are sorted by length where examples stand one a row, and are cut into batches, which get a random order again. So
examples of one batch are about as long as each other and less than 2 % of a batch is padding; which examples share a
batch changes with every epoch. Packed rows need no sorting, and there the order is random throughout.

Nothing is read but lengths, and nothing remembered but the window in use: a resumed run continues with an integer.
"""

from collections.abc import Sequence

import numpy as np

from bert_core.randomness import key_of, permutation

WINDOW_BATCHES = 256
"""Batches that are sorted together. Of the demo's pairs 3.2 % is padding with 32, 0.5 % with 256."""
MAX_BLOCKS = 1 << 20
"""Numbers that the order of an epoch may hold, 8 bytes each."""


class BatchPlan:
    """Which rows make the batch of each step."""

    def __init__(
        self,
        lengths_tokens: np.ndarray,
        rows_of_rounds: Sequence[np.ndarray],
        batch_examples: int,
        seed: int,
        stage: str,
        *,
        sort_by_length: bool = True,
        max_blocks: int = MAX_BLOCKS,
    ) -> None:
        """Plan batches over all rows.

        Args:
            lengths_tokens: of each row, tokens.
            rows_of_rounds: rows of each pairing round; epoch e reads round e mod their number.
            batch_examples: largest batch.
            seed: seed of the run.
            stage: name that keeps the orders of two stages apart.
            sort_by_length: batch examples of like length; False where they are packed.
            max_blocks: numbers that the order of an epoch may hold.
        """
        self._lengths = np.asarray(lengths_tokens)
        self._rows_of_round = list(rows_of_rounds)
        self._batch_examples = batch_examples
        self._names = (seed, stage)
        self._sort_by_length = sort_by_length
        self._max_blocks = max_blocks
        self._epoch_blocks: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))
        self._window: tuple[tuple[int, int], list[np.ndarray]] = ((-1, -1), [])

    def num_batches(self, epoch: int) -> int:
        """Return the batches of an epoch."""
        num_rows, window_rows = self._num_rows(epoch), self._window_rows(epoch)
        whole, rest = divmod(num_rows, window_rows)
        return whole * self._batches_in(window_rows) + self._batches_in(rest)

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
        window, index = divmod(index, self._batches_in(self._window_rows(epoch)))
        if self._window[0] != (epoch, window):
            self._window = ((epoch, window), self._batches_of(epoch, window))
        return epoch, self._window[1][index]

    def _num_rows(self, epoch: int) -> int:
        return len(self._rows_of_round[epoch % len(self._rows_of_round)])

    def _batches_in(self, num_rows: int) -> int:
        return -(-num_rows // self._batch_examples)

    def _block_rows(self, epoch: int) -> int:
        return max(1, -(-self._num_rows(epoch) // self._max_blocks))

    def _window_rows(self, epoch: int) -> int:
        """Rows of a full window: as many whole blocks as 256 batches hold, at least one."""
        block_rows = self._block_rows(epoch)
        return max(1, WINDOW_BATCHES * self._batch_examples // block_rows) * block_rows

    def _blocks(self, epoch: int) -> np.ndarray:
        """Return the order of the epoch's blocks; a last block that is not full stays last."""
        if self._epoch_blocks[0] != epoch:
            num_rows, block_rows = self._num_rows(epoch), self._block_rows(epoch)
            blocks = permutation(num_rows // block_rows, key_of(*self._names, "order", epoch))
            if num_rows % block_rows:
                blocks = np.append(blocks, num_rows // block_rows)
            self._epoch_blocks = (epoch, blocks)
        return self._epoch_blocks[1]

    def _batches_of(self, epoch: int, window: int) -> list[np.ndarray]:
        rows, block_rows = self._rows_of_round[epoch % len(self._rows_of_round)], self._block_rows(epoch)
        num_blocks = self._window_rows(epoch) // block_rows
        blocks = self._blocks(epoch)[window * num_blocks : (window + 1) * num_blocks]
        places = (blocks[:, None] * block_rows + np.arange(block_rows)).ravel()
        taken = rows[places[places < len(rows)]]
        if block_rows > 1:
            taken = taken[permutation(len(taken), key_of(*self._names, "rows of a window", epoch, window))]
        if self._sort_by_length:
            taken = taken[np.argsort(self._lengths[taken], kind="stable")]
        batches = np.array_split(taken, self._batches_in(len(taken)))
        order = permutation(len(batches), key_of(*self._names, "batch order", epoch, window))
        return [batches[index] for index in order]
