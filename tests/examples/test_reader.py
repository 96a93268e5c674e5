"""Random access: gathered rows are the written rows, over shards, batches and rounds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_core.errors import StoreError
from bert_core.examples.reader import ExampleSet


def rows_of(num_rows, seed=0, num_rounds=2):
    random = np.random.default_rng(seed)
    rows = []
    for number in range(num_rows):
        length, num_entities = int(random.integers(3, 20)), int(random.integers(0, 3))
        rows.append(
            {
                "input_ids": random.integers(0, 21_128, length).tolist(),
                "length_a": int(random.integers(1, length - 1)),
                "next_sentence_label": int(random.choice([0, 1, -100])),
                "word_starts": random.integers(0, 2, length).astype(bool).tolist(),
                "entity_starts": list(range(num_entities)),
                "entity_lengths": [2] * num_entities,
                "doc_id_a": number,
                "doc_id_b": number + 1,
                "token_a": 3 * number,
                "token_b": 3 * number + 1,
                "round": number * num_rounds // num_rows,
            }
        )
    return rows


@pytest.fixture(scope="session")
def write(write_examples):
    def run(folder, rows, vocabulary_size=21_128, **layout):
        write_examples(folder, vocabulary_size, {"train": rows}, **layout)
        return ExampleSet.open(folder, "train")

    return run


def assert_taken(taken, rows):
    assert taken.length_a.tolist() == [row["length_a"] for row in rows]
    assert taken.next_sentence_labels.tolist() == [row["next_sentence_label"] for row in rows]
    for index, row in enumerate(rows):
        tokens = slice(taken.offsets[index], taken.offsets[index + 1])
        entities = slice(taken.entity_offsets[index], taken.entity_offsets[index + 1])
        assert taken.input_ids[tokens].tolist() == row["input_ids"]
        assert taken.word_starts[tokens].astype(bool).tolist() == row["word_starts"]
        assert taken.entity_starts[entities].tolist() == row["entity_starts"]
        assert taken.entity_lengths[entities].tolist() == row["entity_lengths"]


ROWS = rows_of(500)


@pytest.fixture(scope="module")
def spread(tmp_path_factory, write):
    """500 rows over several shards with several record batches each."""
    folder = tmp_path_factory.mktemp("spread")
    examples = write(folder, ROWS, rows_per_table=37, shard_bytes=18_000)
    assert len(list(folder.glob("*.arrow"))) > 3
    return examples


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 499), max_size=40))
def test_any_rows_in_any_order_come_as_they_were_written(spread, rows):
    assert_taken(spread.take(np.array(rows, np.int64)), [ROWS[row] for row in rows])


def test_types_and_sizes_are_those_promised(spread):
    taken = spread.take(np.array([3, 1]))
    types = {name: getattr(taken, name).dtype.name for name in taken.__dataclass_fields__}
    assert types == {
        "example_ids": "uint64",
        "input_ids": "int32",
        "offsets": "int64",
        "length_a": "int32",
        "next_sentence_labels": "int32",
        "word_starts": "uint8",
        "entity_starts": "int32",
        "entity_lengths": "int32",
        "entity_offsets": "int64",
    }
    assert spread.lengths.tolist() == [len(row["input_ids"]) for row in ROWS]
    assert spread.lengths.dtype == np.int64
    assert spread.num_examples == 500


def test_rows_of_a_round_are_those_written_in_it(spread):
    assert spread.rounds == 2
    assert spread.rows_of_round(0).tolist() == list(range(250))
    assert spread.rows_of_round(1).tolist() == list(range(250, 500))


def test_sources_say_where_rows_come_from(spread):
    sources = spread.sources(np.array([7, 400]))
    assert {name: column.tolist() for name, column in sources.items()} == {
        "doc_id_a": [7, 400],
        "doc_id_b": [number + (ROWS[number]["next_sentence_label"] >= 0) for number in (7, 400)],
        "token_a": [21, 1200],
        "token_b": [3 * number + 1 if ROWS[number]["next_sentence_label"] >= 0 else -1 for number in (7, 400)],
        "round": [0, 1],
    }


def test_ids_differ_and_depend_on_corpus_and_places_alone(tmp_path, write, spread):
    ids = spread.take(np.arange(500)).example_ids
    assert len(set(ids.tolist())) == 500
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    assert write(tmp_path / "one", ROWS).take(np.arange(500)).example_ids.tolist() == ids.tolist()
    other = [row | {"doc_id_a": row["doc_id_a"] + 9_000, "doc_id_b": row["doc_id_b"] + 9_000} for row in ROWS]
    assert not set(write(tmp_path / "other", other).take(np.arange(500)).example_ids.tolist()) & set(ids.tolist())


def test_without_words_they_begin_at_each_token_but_continuations_and_where_a_side_begins(tmp_path, write):
    pair = ROWS[0] | {
        "input_ids": [2, 7, 7, 8, 3, 7, 8, 7, 3],
        "length_a": 3,
        "next_sentence_label": 0,
        "entity_starts": [],
        "entity_lengths": [],
    }
    single = pair | {"input_ids": [2, 8, 7, 3], "length_a": 2, "next_sentence_label": -100}
    examples = write(tmp_path, [pair, single], with_words=False, continuation_ids=[7])
    assert examples.take(np.arange(2)).word_starts.tolist() == [1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 1, 0, 1]


def test_wide_vocabulary_is_read_as_well(tmp_path, write):
    rows = rows_of(20)
    rows[3]["input_ids"][0] = 99_999
    assert_taken(write(tmp_path, rows, vocabulary_size=100_000).take(np.arange(20)), rows)


def test_no_entities_anywhere(tmp_path, write):
    rows = [row | {"entity_starts": [], "entity_lengths": []} for row in rows_of(10)]
    assert_taken(write(tmp_path, rows).take(np.array([9, 0])), [rows[9], rows[0]])


def test_empty_set_opens_and_takes_nothing(tmp_path, write):
    examples = write(tmp_path, [])
    assert examples.num_examples == 0
    assert examples.rounds == 0
    assert len(examples.take(np.zeros(0, np.int64)).input_ids) == 0


@pytest.mark.parametrize("row", [-1, 500])
def test_rows_outside_the_set_are_refused(spread, row):
    with pytest.raises(IndexError, match="expected 0 to 499"):
        spread.take(np.array([row]))


def test_rounds_out_of_order_are_refused(tmp_path, write):
    rows = rows_of(4)
    rows[0]["round"] = 3
    with pytest.raises(StoreError, match="not ordered by round"):
        write(tmp_path, rows)


def test_file_that_is_no_shard_is_refused(tmp_path):
    (tmp_path / "train-00000-of-00001.arrow").write_bytes(b"not arrow at all")
    with pytest.raises(StoreError, match=r"train-00000-of-00001\.arrow: not a readable shard"):
        ExampleSet.open(tmp_path, "train")
