"""Pretraining batches: examples of a step read, masked, and laid out in rows of tokens.

Masks are drawn here, when a batch is read, and differ in every epoch. Examples stand one a row, or several (`Layout`).
The examples of a step are cut into parts, which are worked off one after the other, and those of several ranks beside
each other. Losses are averaged over the predicted tokens and pairs of the whole step, so the step is the same however
it is cut. Every rank masks the whole step and lays out its own parts, so that nothing has to be told.

Which examples make a step is decided in `order.py`.
"""
# ruff: noqa: N806 -- capitals at the end of a name are axes

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from bert_core.config import MaskingConfig
from bert_core.examples.masking import MaskVocabulary, mask_examples
from bert_core.examples.reader import ExampleSet, RaggedExamples
from bert_core.model.pretraining import IGNORED_LABEL, Packing, PretrainingBatch, TargetCounts
from bert_core.model.span_boundary import MAX_SPAN_TOKENS, SpanTargets
from bert_core.training.packing import pack

LENGTH_MULTIPLE = {"cpu": 1, "cuda": 8}
"""Batches are padded to a multiple of this many tokens, by type of device. A CPU is as fast with odd lengths; the
matrix units of a GPU are not."""

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How the examples of a step become rows of tokens."""

    pad_id: int = 0
    """Id of [PAD]."""
    length_multiple: int = 1
    """Rows are as wide as the longest, up to the next multiple of this, tokens."""
    pack_tokens: int | None = None
    """Several examples share a row of up to so many tokens; None for one example a row."""
    part_examples: int | None = None
    """Most examples of one part of a step; None for one part."""
    with_spans: bool = False
    """Lay out the targets of the span-boundary objective too."""
    rank: int = 0
    """Whose parts are laid out."""
    num_ranks: int = 1
    """Ranks that share a step."""


@dataclass(frozen=True, slots=True)
class DrawnBatch:
    """The examples of a step with what is to be known about them beside their tensors."""

    parts: list[PretrainingBatch]
    """The tensors of each part of this rank, at least one."""
    first_part: int
    """Number in the step of the first of them."""
    counts: TargetCounts
    """Of the whole step."""
    example_ids: np.ndarray
    """Of the whole step, uint64, (examples,)."""
    num_tokens: int
    """Of the whole step, without padding."""
    masked_ids: np.ndarray
    """Masked ids of all examples one after the other, to describe the step where it does harm."""
    offsets: np.ndarray
    """First token of each example in `masked_ids`, and the end, int64, (examples + 1,)."""


def draw_batch(
    examples: ExampleSet,
    rows: np.ndarray,
    masking: MaskingConfig,
    vocabulary: MaskVocabulary,
    seed: int,
    epoch: int,
    layout: Layout | None = None,
) -> DrawnBatch:
    """Read, mask and lay out `rows`.

    Args:
        examples: where they lie.
        rows: row numbers, at least one.
        masking: the policy.
        vocabulary: ids that masking needs.
        seed: seed of the run.
        epoch: masks are a function of (seed, epoch, example id).
        layout: how they become rows of tokens; None for one example a row, all in one part.
    """
    layout = layout or Layout()
    ragged = examples.take(rows)
    masked_ids, is_target = mask_examples(ragged, seed, epoch, masking, vocabulary)
    targets = np.flatnonzero(is_target)
    span_starts = _span_starts(targets) if layout.with_spans else targets
    in_reach = targets - span_starts < MAX_SPAN_TOKENS
    counts = TargetCounts(
        mlm=len(targets),
        pairs=int(np.count_nonzero(ragged.next_sentence_labels != IGNORED_LABEL)),
        boundary=int(np.count_nonzero(in_reach)) if layout.with_spans else 0,
    )
    cuts = _parts(len(rows), layout.part_examples or len(rows), layout.num_ranks)
    first_part = layout.rank * len(cuts) // layout.num_ranks
    own = cuts[first_part : (layout.rank + 1) * len(cuts) // layout.num_ranks]
    parts = [
        _lay_out(ragged, masked_ids, is_target, targets, span_starts, start, stop, layout)
        for start, stop in own
        if start < stop
    ]
    if not parts:
        parts = [_without_targets(_lay_out(ragged, masked_ids, is_target, targets, span_starts, 0, 1, layout))]
    return DrawnBatch(parts, first_part, counts, ragged.example_ids, len(masked_ids), masked_ids, ragged.offsets)


def _parts(num_examples: int, largest: int, num_ranks: int) -> list[tuple[int, int]]:
    """Cut a step into parts of about equal size, the first ones larger, equally many for each rank.

    Example: 10 examples, 4 at most, make 4 + 3 + 3 for one rank and 3 + 3 + 2 + 2 for two.
    """
    num_parts = -(-num_examples // (largest * num_ranks)) * num_ranks
    size, rest = divmod(num_examples, num_parts)
    bounds = [part * size + min(part, rest) for part in range(num_parts + 1)]
    return list(pairwise(bounds))


def _without_targets(batch: PretrainingBatch) -> PretrainingBatch:
    """Return a batch that has a loss and gradients of zero, for a rank that got no example of a step."""
    nothing = torch.zeros(0, dtype=torch.int64)
    return replace(
        batch,
        target_positions_N=nothing,
        target_ids_N=nothing,
        next_sentence_labels_B=torch.full_like(batch.next_sentence_labels_B, IGNORED_LABEL),
        spans=SpanTargets(nothing, nothing, nothing, nothing) if batch.spans is not None else None,
    )


def _span_starts(targets: np.ndarray) -> np.ndarray:
    """Return for each predicted token the first of its run of neighbouring predicted tokens."""
    begins = np.diff(targets, prepend=-2) != 1
    return targets[begins][np.cumsum(begins) - 1] if len(targets) else targets


def _lay_out(
    ragged: RaggedExamples,
    masked_ids: np.ndarray,
    is_target: np.ndarray,
    targets: np.ndarray,
    span_starts: np.ndarray,
    start: int,
    stop: int,
    layout: Layout,
) -> PretrainingBatch:
    """Make the tensors of examples `start .. stop - 1`."""
    from bert_core.examples.padding_kernel import pad_examples

    first_token, end_token = ragged.offsets[start], ragged.offsets[stop]
    lengths = np.diff(ragged.offsets[start : stop + 1])
    labels = torch.from_numpy(ragged.next_sentence_labels[start:stop].astype(np.int64))
    if layout.pack_tokens is None and not layout.with_spans:  # nothing but padding, in one compiled pass
        inside = slice(first_token, end_token)
        tensors = pad_examples(
            ragged.input_ids[inside],
            masked_ids[inside],
            is_target[inside],
            ragged.offsets[start : stop + 1] - first_token,
            ragged.length_a[start:stop],
            -(-int(lengths.max()) // layout.length_multiple) * layout.length_multiple,
            layout.pad_id,
        )
        input_ids_BS, token_type_ids_BS, positions_N, ids_N = (torch.from_numpy(each) for each in tensors)
        return PretrainingBatch(input_ids_BS, token_type_ids_BS, torch.from_numpy(lengths), positions_N, ids_N, labels)
    if layout.pack_tokens is None:
        row_of_example, first_column = np.arange(len(lengths)), np.zeros(len(lengths), np.int64)
        num_rows, widest = len(lengths), int(lengths.max())
    else:
        row_of_example, first_column, num_rows, widest = pack(lengths, layout.pack_tokens)
    width = -(-widest // layout.length_multiple) * layout.length_multiple
    first_place = row_of_example * width + first_column
    position = np.arange(end_token - first_token) - np.repeat(ragged.offsets[start:stop] - first_token, lengths)
    place_of_token = np.repeat(first_place, lengths) + position
    is_second = position >= np.repeat(ragged.length_a[start:stop].astype(np.int64) + 2, lengths)

    def filled(values: np.ndarray, empty: int) -> Tensor:
        out = np.full(num_rows * width, empty, np.int64)
        out[place_of_token] = values
        return torch.from_numpy(out.reshape(num_rows, width))

    packing = None
    if layout.pack_tokens is not None:
        packing = Packing(
            filled(position, 0),
            filled(np.repeat(np.arange(len(lengths)), lengths), -1),
            torch.from_numpy(first_place),
        )
    low, high = np.searchsorted(targets, (first_token, end_token))
    own, starts = targets[low:high], span_starts[low:high]
    target_ids = ragged.input_ids[own].astype(np.int64)
    return PretrainingBatch(
        filled(masked_ids[first_token:end_token], layout.pad_id),
        filled(is_second, 0),
        torch.from_numpy(np.bincount(row_of_example, lengths, num_rows).astype(np.int64)),
        torch.from_numpy(place_of_token[own - first_token]),
        torch.from_numpy(target_ids),
        labels,
        packing,
        _spans(own, starts, target_ids, place_of_token, int(first_token)) if layout.with_spans else None,
    )


def _spans(
    targets: np.ndarray, starts: np.ndarray, target_ids: np.ndarray, place_of_token: np.ndarray, first_token: int
) -> SpanTargets:
    """Find for each predicted token the two tokens around its run, which [CLS] and [SEP] make sure of."""
    ends = targets[np.append(np.flatnonzero(np.diff(starts)), len(starts) - 1)] if len(starts) else targets
    end_of_target = np.repeat(ends, np.unique(starts, return_counts=True)[1])
    offsets = targets - starts
    kept = offsets < MAX_SPAN_TOKENS
    return SpanTargets(
        torch.from_numpy(place_of_token[starts[kept] - 1 - first_token]),
        torch.from_numpy(place_of_token[end_of_target[kept] + 1 - first_token]),
        torch.from_numpy(offsets[kept]),
        torch.from_numpy(target_ids[kept]),
    )


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
