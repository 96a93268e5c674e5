"""The audit measures what is written and finds what is wrong with it."""

import pyarrow as pa
import pytest

from bert_core.examples.audit import audit_examples
from bert_core.store.schemas import examples_schema
from bert_core.store.shards import write_shards

UNK, CLS, SEP = 1, 2, 3


def row(number, label=-100, doc_a=1, doc_b=None, a=(10, 11), b=(12,), **changes):
    ids = [CLS, *a, SEP] + ([*b, SEP] if label != -100 else [])
    return {
        "example_id": number,
        "input_ids": ids,
        "length_a": len(a),
        "next_sentence_label": label,
        "word_starts": [True] * len(ids),
        "entity_starts": [],
        "entity_lengths": [],
        "doc_id_a": doc_a,
        "doc_id_b": doc_a if doc_b is None else doc_b,
        "token_a": 0,
        "token_b": -1 if label == -100 else 2,
        "round": 0,
    } | changes


@pytest.fixture
def audit(tmp_path, vocabulary_folder, entries):
    def run(train, held_out=()):
        schema = examples_schema(len(entries))
        for name, rows in (("train", train), ("held_out", held_out)):
            write_shards(tmp_path, name, schema, [pa.Table.from_pylist(list(rows), schema=schema)])
        return audit_examples(tmp_path, vocabulary_folder)

    return run


def hard_faults(audit):
    return [(fault["subject"], fault["got"]) for fault in audit["faults"] if fault["is_hard"]]


def test_counts_of_three_examples(audit):
    found = audit([row(1, 0, a=(10, UNK)), row(2, 1, doc_b=2, b=(20, 21)), row(3, a=(30, 31, 32))])
    assert found["train"] == {
        "examples": 3,
        "rounds": 1,
        "next": 1,
        "random": 1,
        "single": 1,
        "same_document_negatives": 0,
        "other_document_continuations": 0,
        "repeated_example_ids": 0,
        "duplicates": 0,
        "tokens": 18,
        "mean_tokens": 6.0,
        "longest_tokens": 7,
        "fill": 0.857143,
        "unknown_share": 0.1,
        "length_histogram": {
            "0-15": 3,
            "16-31": 0,
            "32-63": 0,
            "64-95": 0,
            "96-127": 0,
            "128-191": 0,
            "192-255": 0,
            "256-383": 0,
            "384-512": 0,
        },
    }
    assert found["held_out"]["examples"] == 0
    assert set(found["mask_rates"]) == {"token", "whole_word", "ngram", "span", "entity"}
    assert hard_faults(found) == []
    assert "train [UNK] share" in [fault["subject"] for fault in found["faults"]]


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([row(1, 1, doc_b=1), row(2, 0)], ("train same document negatives", "1")),
        ([row(1, 0, doc_b=2), row(2, 1, doc_b=2)], ("train other document continuations", "1")),
        ([row(1, 0), row(2, 0)], ("train label balance", "next and random differ by 2")),
        ([row(1, 1, doc_b=2), row(2, 1, doc_b=3)], ("train label balance", "next and random differ by 2")),
        ([row(5, a=(10,)), row(5, a=(11,))], ("train repeated example ids", "1")),
    ],
)
def test_hard_faults_are_found(audit, rows, fault):
    assert hard_faults(audit(rows)) == [fault]


def test_equal_texts_count_as_duplicates_within_a_round_only(audit):
    assert audit([row(1), row(2)])["train"]["duplicates"] == 1
    assert audit([row(1), row(2, round=1)])["train"]["duplicates"] == 0


def test_mask_rates_are_near_the_setting(audit):
    rows = [row(number, a=tuple(range(5, 105))) for number in range(50)]
    assert set(audit(rows)["mask_rates"].values()) == {0.15}


def test_empty_sets_have_no_faults(audit):
    assert audit([])["faults"] == []
