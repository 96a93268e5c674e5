import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_core.training.labelled_batches import (
    PAD_MULTIPLE_TOKENS,
    evaluation_order,
    padded_batches,
    read_labelled,
    record_order,
    scored_tokens,
    training_order,
)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(3, 128), min_size=1, max_size=300),
    st.integers(1, 40),
    st.integers(0, 2**63 - 1),
    st.integers(0, 9),
)
def test_an_epoch_shows_every_row_once_in_batches_of_the_asked_size(lengths, batch_examples, seed, epoch):
    order = training_order(np.array(lengths), seed, epoch, batch_examples)
    assert sorted(np.concatenate(order).tolist()) == list(range(len(lengths)))
    assert all(1 <= len(rows) <= batch_examples for rows in order)
    assert len(order) == -(-len(lengths) // batch_examples)


def test_order_depends_on_seed_and_epoch_alone():
    lengths = np.arange(3, 203) % 60 + 3
    first = np.concatenate(training_order(lengths, 7, 0, 8))
    assert np.array_equal(first, np.concatenate(training_order(lengths.copy(), 7, 0, 8)))
    for seed, epoch in ((7, 1), (8, 0)):
        assert not np.array_equal(first, np.concatenate(training_order(lengths, seed, epoch, 8)))


def test_neighbours_change_between_epochs_even_where_all_texts_are_equally_long():
    lengths = np.full(64, 20)
    first, second = (training_order(lengths, 7, epoch, 8) for epoch in (0, 1))
    assert {frozenset(rows.tolist()) for rows in first}.isdisjoint({frozenset(rows.tolist()) for rows in second})


def test_grouping_by_length_leaves_little_padding():
    lengths = np.random.default_rng(0).integers(5, 128, 2000)
    padded = sum(len(rows) * int(lengths[rows].max()) for rows in training_order(lengths, 7, 0, 32))
    assert padded < 1.12 * lengths.sum()


def test_evaluation_goes_by_length_and_keeps_to_its_budget():
    lengths = np.random.default_rng(0).integers(5, 128, 500)
    order = evaluation_order(lengths, 1024)
    flat = np.concatenate(order)
    assert sorted(flat.tolist()) == list(range(500))
    assert np.all(np.diff(lengths[flat]) <= 0)
    for rows in order:
        longest = -(-int(lengths[rows].max()) // PAD_MULTIPLE_TOKENS) * PAD_MULTIPLE_TOKENS
        assert len(rows) * longest <= 1024


def test_evaluation_takes_a_row_that_is_longer_than_the_budget():
    assert [rows.tolist() for rows in evaluation_order(np.array([5, 300]), 100)] == [[1], [0]]


def test_a_padded_batch_of_a_worked_case(tmp_path, write_split):
    write_split(tmp_path, "train", [("好坏", 0, 2, 0, 2), ("这个书", 0, 3, 1, 3)], tags=[[1, 0], [0, 0, 3]])
    (batch,) = padded_batches(read_labelled(tmp_path, "train"), [np.array([1, 0])], pad_id=0)
    assert batch.input_ids_BS.tolist() == [[2, 15, 16, 17, 3, 0], [2, 5, 10, 3, 0, 0]]
    assert batch.labels.tolist() == [[-100, -100, 0, 3, -100, -100], [-100, 1, 0] + [-100] * 3]
    assert batch.token_type_ids_BS.tolist() == [[0] * 6] * 2
    assert batch.lengths_B.tolist() == [5, 4]
    assert batch.source.tolist() == [4, 5, 6, 7, 8, 0, 1, 2, 3]


def test_the_second_segment_begins_behind_the_first_separator(tmp_path, write_split):
    write_split(tmp_path, "train", [("好坏这", 0, 3, 0, 3)], labels=[1])
    examples = read_labelled(tmp_path, "train")
    examples.length_a[0] = 1  # [CLS] 好 [SEP] 这 [SEP]
    (batch,) = padded_batches(examples, [np.array([0])], pad_id=0)
    assert batch.token_type_ids_BS.tolist() == [[0, 0, 0, 1, 1, 0]]
    assert batch.labels.tolist() == [1]


def test_windows_of_a_record_give_each_of_its_tokens_once(tmp_path, write_split):
    # the windows stand apart and in the wrong order, as a shuffled shard may hold them
    windows = [("好坏这个", 2, 4, 3, 4), ("书", 0, 1, 0, 1), ("好坏这个", 0, 3, 0, 3)]
    write_split(tmp_path, "test", windows, tags=[[1, 2, 2, 0], [3], [1, 2, 2, 0]])
    examples = read_labelled(tmp_path, "test")
    tokens, offsets = scored_tokens(examples)
    assert examples.char_starts[tokens].tolist() == [0, 1, 2, 3, 0]
    assert examples.token_labels[tokens].tolist() == [1, 2, 2, 0, 3]
    assert offsets.tolist() == [0, 4, 5]


def test_records_are_numbered_by_their_first_row():
    assert record_order(np.array([9, 9, 4, 9], np.uint64)).tolist() == [0, 0, 1, 0]
