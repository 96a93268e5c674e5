"""Which examples make which batch, and how a batch is laid out."""

import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_core.config import MaskingConfig
from bert_core.examples.masking import MaskVocabulary
from bert_core.examples.reader import ExampleSet
from bert_core.training.batches import LENGTH_MULTIPLE, Layout, draw_batch, prefetch
from bert_core.training.order import BatchPlan


def plan_of(
    num_rows: list[int], batch_examples: int, seed: int = 1, stage: str = "pretrain", max_blocks: int = 1 << 20
) -> BatchPlan:
    bounds = np.cumsum([0, *num_rows])
    lengths = np.random.default_rng(0).integers(5, 128, bounds[-1])
    rounds = [np.arange(start, stop) for start, stop in pairwise(bounds)]
    return BatchPlan(lengths, rounds, batch_examples, seed, stage, max_blocks=max_blocks)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=3), st.integers(1, 9), st.sampled_from([3, 40, 1 << 20]))
@settings(max_examples=60, deadline=None)
def test_every_epoch_reads_every_row_of_its_round_once(num_rows: list[int], batch_examples: int, max_blocks: int):
    plan = plan_of(num_rows, batch_examples, max_blocks=max_blocks)
    step, bounds = 0, np.cumsum([0, *num_rows])
    for epoch in range(2 * len(num_rows)):
        read = []
        for index in range(plan.num_batches(epoch)):
            assert plan.locate(step) == (epoch, index)
            found_epoch, rows = plan.rows(step)
            assert found_epoch == epoch
            assert 1 <= len(rows) <= batch_examples
            read += rows.tolist()
            step += 1
        each = epoch % len(num_rows)
        assert sorted(read) == list(range(bounds[each], bounds[each + 1]))


def test_a_step_gives_the_same_rows_whatever_was_read_before():
    steps = [0, 41, 3, 97, 42]
    jumping = plan_of([200, 150], 8)
    for step in steps:
        fresh = plan_of([200, 150], 8)
        assert np.array_equal(jumping.rows(step)[1], fresh.rows(step)[1])


def test_orders_differ_between_epochs_seeds_and_stages():
    per_epoch = plan_of([64], 8).num_batches(0)
    first = plan_of([64], 8).rows(0)[1].tolist()
    assert first != plan_of([64], 8).rows(per_epoch)[1].tolist()
    assert first != plan_of([64], 8, seed=2).rows(0)[1].tolist()
    assert first != plan_of([64], 8, stage="domain_transfer").rows(0)[1].tolist()


def lengths_of_reviews(random: np.random.Generator, num_rows: int) -> np.ndarray:
    """Single sentences and pairs: a third short and skewed, the rest up to the limit of 128."""
    short = np.clip(random.lognormal(3.3, 0.7, num_rows), 3, 128)
    return np.where(random.random(num_rows) < 0.35, short, np.clip(random.normal(100, 40, num_rows), 8, 128)).astype(
        int
    )


DISTRIBUTIONS = {
    "even": lambda random, num_rows: random.integers(5, 128, num_rows),
    "single sentences": lambda random, num_rows: np.clip(random.lognormal(3.2, 0.7, num_rows), 3, 128).astype(int),
    "reviews": lengths_of_reviews,
    "full": lambda random, num_rows: np.where(random.random(num_rows) < 0.9, 128, random.integers(5, 128, num_rows)),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("batch_examples", [16, 32, 64])
def test_less_than_two_hundredths_of_the_batches_is_padding(name: str, batch_examples: int):
    lengths = DISTRIBUTIONS[name](np.random.default_rng(0), 16_384)
    plan = BatchPlan(lengths, [np.arange(len(lengths))], batch_examples, 1, "pretrain")
    batches = [plan.rows(step)[1] for step in range(plan.num_batches(0))]
    padded = sum(len(rows) * lengths[rows].max() for rows in batches)
    assert 1.0 - lengths.sum() / padded < 0.02
    in_order = [int(lengths[rows].max()) for rows in batches]
    assert in_order != sorted(in_order)


def test_examples_that_share_a_batch_part_in_the_next_epoch():
    plan = BatchPlan(np.full(2_048, 64), [np.arange(2_048)], 32, 1, "pretrain")
    first, second = (
        {frozenset(plan.rows(step)[1].tolist()) for step in range(epoch * 64, epoch * 64 + 64)} for epoch in (0, 1)
    )
    assert max(len(one & other) for one in first for other in second) < 16


@pytest.fixture
def opened(pretraining_folders: tuple[Path, Path]) -> tuple[ExampleSet, MaskVocabulary]:
    examples, vocabulary = pretraining_folders
    return ExampleSet.open(examples, "train"), MaskVocabulary.from_folder(vocabulary)


@pytest.mark.parametrize("length_multiple", LENGTH_MULTIPLE.values())
def test_tensors_of_a_batch_restate_the_examples(opened: tuple[ExampleSet, MaskVocabulary], length_multiple: int):
    examples, vocabulary = opened
    rows = np.array([4, 0, 17])
    masking = MaskingConfig(policy="token")
    batch = draw_batch(examples, rows, masking, vocabulary, 1, 0, Layout(length_multiple=length_multiple))
    ragged, tensors = examples.take(rows), batch.parts[0]
    width = tensors.input_ids_BS.shape[1]
    assert width % length_multiple == 0
    assert width - int(tensors.lengths_B.max()) < length_multiple
    restored = tensors.input_ids_BS.clone().flatten()
    restored[tensors.target_positions_N] = tensors.target_ids_N
    for index in range(3):
        start, stop = ragged.offsets[index], ragged.offsets[index + 1]
        length = stop - start
        expected = ragged.input_ids[start:stop].tolist()
        assert restored.view(3, width)[index].tolist() == expected + [0] * (width - length)
        num_a = int(ragged.length_a[index]) + 2
        segments = [0] * num_a + [1] * (length - num_a) + [0] * (width - length)
        assert tensors.token_type_ids_BS[index].tolist() == segments
    assert tensors.lengths_B.tolist() == np.diff(ragged.offsets).tolist()
    assert tensors.next_sentence_labels_B.tolist() == ragged.next_sentence_labels.tolist()
    assert batch.num_tokens == len(ragged.input_ids)
    assert batch.example_ids.tolist() == ragged.example_ids.tolist()


def test_masks_follow_the_example_and_the_epoch_and_not_the_batch(opened: tuple[ExampleSet, MaskVocabulary]):
    examples, vocabulary = opened
    masking = MaskingConfig(policy="token")

    def targets_of_row_4(rows: list[int], epoch: int) -> list[int]:
        tensors = draw_batch(examples, np.array(rows), masking, vocabulary, 1, epoch).parts[0]
        width, index = tensors.input_ids_BS.shape[1], rows.index(4)
        places = tensors.target_positions_N
        return (places[places // width == index] % width).tolist()

    assert targets_of_row_4([4], 0) == targets_of_row_4([0, 17, 4], 0)
    assert any(targets_of_row_4([4], 0) != targets_of_row_4([4], epoch) for epoch in (1, 2, 3))


def test_prefetch_keeps_the_order_and_works_in_another_thread():
    made_in = set()

    def make(item: int) -> int:
        made_in.add(threading.get_ident())
        return item * item

    assert list(prefetch(make, range(20))) == [item * item for item in range(20)]
    assert threading.get_ident() not in made_in


def test_prefetch_hands_on_what_was_raised_and_can_be_left_early():
    def make(item: int) -> int:
        if item == 3:
            raise ValueError("the third")
        return item

    made = prefetch(make, range(10), ahead=2)
    assert [next(made), next(made), next(made)] == [0, 1, 2]
    with pytest.raises(ValueError, match="the third"):
        next(made)
    early = prefetch(abs, range(1000))
    assert next(early) == 0
    early.close()
