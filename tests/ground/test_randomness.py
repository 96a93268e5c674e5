"""Draws are pure functions of their keys, uniform, and free of order."""

import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bert_core.randomness import draws, key_of, mix64, permutation, seed_of, uniforms


def test_mix64_gives_the_published_stream_of_splitmix64():
    # Reference: first outputs for seed 1234567 of the published C code (Vigna, splitmix64.c).
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert draws(np.uint64(1234567), 4).tolist() == expected


def test_keys_differ_by_every_name_and_by_its_kind():
    keys = {int(key_of(*names)) for names in [(1, "a"), (1, "b"), (2, "a"), ("1", "a"), ("1a",), ("a", 1), ("a", 11)]}
    assert len(keys) == 7


def test_names_do_not_run_into_each_other():
    assert key_of("a", "bc") != key_of("ab", "c")


def test_keys_do_not_depend_on_the_hash_seed_of_the_process():
    code = "from bert_core.randomness import key_of; print(int(key_of(7, 'masks', 3)))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert found == {f"{int(key_of(7, 'masks', 3))}\n"}


@given(st.integers(0, 2**64 - 1), st.integers(0, 50), st.integers(1, 50))
def test_a_draw_does_not_depend_on_where_drawing_began(key, start, count):
    assert draws(np.uint64(key), count, start).tolist() == draws(np.uint64(key), start + count).tolist()[start:]


def test_uniforms_fill_the_unit_interval_evenly():
    values = uniforms(key_of("uniform"), 100_000)
    assert values.min() >= 0.0
    assert values.max() < 1.0
    counts = np.histogram(values, bins=20, range=(0, 1))[0]
    # chi-squared with 19 degrees of freedom: 43.8 is the 99.9 % point
    assert ((counts - 5000) ** 2 / 5000).sum() < 43.8


@given(st.integers(0, 200), st.integers(0, 2**64 - 1))
def test_a_permutation_holds_every_item_once(num_items, key):
    assert sorted(permutation(num_items, np.uint64(key)).tolist()) == list(range(num_items))


def test_other_epochs_give_other_orders():
    assert permutation(50, key_of(1, "order", 0)).tolist() != permutation(50, key_of(1, "order", 1)).tolist()


def test_seeds_fit_the_libraries_that_take_them():
    assert 0 <= seed_of("x") < 2**63


def test_mixing_is_one_to_one_on_a_sample():
    assert len(np.unique(mix64(np.arange(10_000, dtype=np.uint64)))) == 10_000
