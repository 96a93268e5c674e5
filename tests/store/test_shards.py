"""Shards come back as they were written, through our reader and through datasets."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_core.errors import StoreError
from bert_core.store.shards import list_array, list_column, read_shards, shard_paths, token_type, write_shards

SCHEMA = pa.schema([("name", pa.string()), ("ids", pa.list_(pa.uint16())), ("bits", pa.list_(pa.bool_()))])


def table(rows: int, start: int = 0) -> pa.Table:
    names = [f"row {start + row}" for row in range(rows)]
    ids = [list(range(row % 5)) for row in range(rows)]
    return pa.table({"name": names, "ids": ids, "bits": [[i % 2 == 0 for i in row] for row in ids]}, schema=SCHEMA)


def test_rows_come_back_in_order_from_several_shards(tmp_path):
    assert write_shards(tmp_path, "rows", SCHEMA, [table(5000), table(5000, 5000)], shard_bytes=50_000) == 10_000
    paths = shard_paths(tmp_path, "rows")
    assert len(paths) > 1
    assert paths[0].name == f"rows-00000-of-{len(paths):05d}.arrow"
    assert read_shards(tmp_path, "rows").column("name").to_pylist() == [f"row {n}" for n in range(10_000)]


def test_equal_rows_give_equal_bytes(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_shards(tmp_path / name, "rows", SCHEMA, [table(100)])
    first, second = (shard_paths(tmp_path / name, "rows")[0].read_bytes() for name in ("one", "two"))
    assert first == second


def test_no_rows_still_give_a_shard(tmp_path):
    assert write_shards(tmp_path, "rows", SCHEMA, []) == 0
    assert read_shards(tmp_path, "rows").num_rows == 0


def test_datasets_reads_a_shard(tmp_path):
    datasets = pytest.importorskip("datasets")
    write_shards(tmp_path, "rows", SCHEMA, [table(7)])
    assert datasets.Dataset.from_file(str(shard_paths(tmp_path, "rows")[0]))[6]["name"] == "row 6"


def test_a_missing_shard_of_a_set_is_noticed(tmp_path):
    write_shards(tmp_path, "rows", SCHEMA, [table(5000), table(5000)], shard_bytes=50_000)
    shard_paths(tmp_path, "rows")[1].unlink()
    with pytest.raises(StoreError, match="shards of rows, expected"):
        shard_paths(tmp_path, "rows")


def test_a_file_that_is_no_arrow_stream_is_named(tmp_path):
    (tmp_path / "rows-00000-of-00001.arrow").write_bytes(b"no arrow here")
    with pytest.raises(StoreError, match=r"rows-00000-of-00001\.arrow: not a readable Arrow stream"):
        read_shards(tmp_path, "rows")


@given(st.lists(st.lists(st.booleans(), max_size=20), max_size=30), st.integers(0, 5))
def test_lists_of_bits_are_flattened_and_built_again(rows, drop):
    array = pa.array(rows, pa.list_(pa.bool_()))[min(drop, len(rows)) :]
    rows = rows[min(drop, len(rows)) :]
    chunks = pa.chunked_array([array[: len(rows) // 2], array[len(rows) // 2 :]])
    values, offsets = list_column(pa.table({"x": chunks}), "x")
    assert [values[a:b].astype(bool).tolist() for a, b in itertools.pairwise(offsets)] == rows
    assert list_array(values, offsets, pa.bool_()).to_pylist() == rows


@given(st.lists(st.lists(st.integers(0, 60_000), max_size=9), max_size=30))
def test_lists_of_ids_are_flattened_and_built_again(rows):
    column = pa.chunked_array([pa.array(rows, pa.list_(pa.uint16()))])
    values, offsets = list_column(pa.table({"x": column}), "x")
    assert list_array(np.asarray(values), offsets, pa.uint16()).to_pylist() == rows


def test_ids_take_two_bytes_while_the_vocabulary_fits():
    assert token_type(65_536) == pa.uint16()
    assert token_type(65_537) == pa.uint32()
