"""The audit measures what is written and finds what is wrong with it."""

import pytest

from bert_core.config import AuditConfig
from bert_core.examples.audit import audit_examples
from bert_core.tokens.tokenizer import WordPieceTokenizer

UNK, CLS, SEP = 1, 2, 3


def row(number, label=-100, doc_a=1, doc_b=None, a=(10, 11), b=(12,), **changes):
    ids = [CLS, *a, SEP] + ([*b, SEP] if label != -100 else [])
    return {
        "input_ids": ids,
        "length_a": len(a),
        "next_sentence_label": label,
        "word_starts": [True] * len(ids),
        "entity_starts": [],
        "entity_lengths": [],
        "doc_id_a": doc_a,
        "doc_id_b": doc_a if doc_b is None else doc_b,
        "token_a": 10 * number,
        "token_b": -1 if label == -100 else 10 * number + 2,
        "round": 0,
    } | changes


@pytest.fixture
def audit(tmp_path, vocabulary_folder, write_examples):
    def run(train, held_out=(), objective="nsp", **limits):
        tokenizer = WordPieceTokenizer.from_folder(vocabulary_folder)
        write_examples(tmp_path, tokenizer.vocabulary_size, {"train": train, "held_out": held_out})
        return audit_examples(tmp_path, tokenizer, objective, limits=AuditConfig(**limits))

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
        "swapped": 0,
        "single": 1,
        "other_document_continuations": 0,
        "continuations_out_of_order": 0,
        "swapped_in_order": 0,
        "repeated_example_ids": 0,
        "duplicates": 0,
        "duplicate_share": 0.0,
        "tokens": 18,
        "mean_tokens": 6.0,
        "longest_tokens": 7,
        "fill": 0.857143,
        "unknown_share": 0.1,
        "han_tokens": 9,
        "segmenter_coverage": 0.0,
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
    assert set(found["mask_rates"]) == {"token", "whole_word", "ngram", "span", "entity", "similar_word"}
    assert hard_faults(found) == []
    assert "train [UNK] share" in [fault["subject"] for fault in found["faults"]]


OTHER = {"a": (20, 21)}
BALANCE = "labels 0 and 1 differ by 2"


@pytest.mark.parametrize(
    ("objective", "rows", "fault"),
    [
        ("nsp", [row(1, 1, doc_b=1), row(2, 0, **OTHER)], ("train same document negatives", "1")),
        ("nsp", [row(1, 0, doc_b=2), row(2, 1, doc_b=2, **OTHER)], ("train other document continuations", "1")),
        ("nsp", [row(1, 0, token_a=13), row(2, 1, doc_b=2, **OTHER)], ("train continuations out of order", "1")),
        ("nsp", [row(1, 0), row(2, 0, **OTHER)], ("train label balance", BALANCE)),
        ("nsp", [row(1, 1, doc_b=2), row(2, 1, doc_b=3, **OTHER)], ("train label balance", BALANCE)),
        ("nsp", [row(5, a=(10,)), row(5, a=(11,))], ("train repeated example ids", "1")),
        ("nsp", [row(1), row(2)], ("train share of duplicates", "50.0%")),
        ("sop", [row(1, 0), row(2, 1, token_a=23, doc_b=2, **OTHER)], ("train swaps of two documents", "1")),
        ("sop", [row(1, 0), row(2, 1, **OTHER)], ("train swaps in order", "1")),
        ("sop", [row(1, 1, token_a=13), row(2, 1, token_a=23, **OTHER)], ("train label balance", BALANCE)),
        ("none", [row(1, 0)], ("train pairs without an objective", "1")),
        ("none", [row(1, 1, doc_b=2)], ("train random pairs without an objective", "1")),
        ("none", [row(1, 1, doc_b=1)], ("train swapped pairs without an objective", "1")),
    ],
)
def test_hard_faults_are_found(audit, objective, rows, fault):
    assert hard_faults(audit(rows, objective=objective)) == [fault]


def test_an_honest_set_of_each_objective_has_no_hard_fault(audit):
    assert hard_faults(audit([row(1, 0), row(2, 1, doc_b=2, **OTHER)], objective="nsp")) == []
    assert hard_faults(audit([row(1, 0), row(2, 1, token_a=23, **OTHER)], objective="sop")) == []
    assert hard_faults(audit([row(1), row(2, **OTHER)], objective="none")) == []


def warnings(audit):
    return {fault["subject"]: fault["got"] for fault in audit["faults"] if not fault["is_hard"]}


def test_warnings_are_listed(audit):
    short = [row(number, a=(5 + number,)) for number in range(60)]
    long = row(100, a=tuple(range(5, 105)))
    found = warnings(audit([*short, long, row(101, a=(UNK, 9)), row(102, a=(6,))]))
    assert found == {
        "train share of duplicates": "1.6%",
        "train fill of the longest example": "0.04",
        "train segmenter coverage": "0% of the Han tokens in words of several tokens",
    }


def test_unknown_tokens_above_one_in_a_hundred_are_a_warning(audit):
    text = tuple(range(5, 104))
    words = [True] * 2 + [False, True] * 49 + [False, True]
    assert len(words) == 102
    assert warnings(audit([row(1, a=(*text, UNK), word_starts=words)])) == {}
    assert warnings(audit([row(1, a=(*text[1:], UNK, UNK), word_starts=words)])) == {"train [UNK] share": "2.0%"}


def test_segmenter_coverage_counts_han_tokens_in_words_of_several(audit):
    words = [True, True, False, True, True, False, False, True]  # 2 + 1 + 3 tokens
    found = audit([row(1, a=(10, 11, 12, 13, 14, 15), word_starts=words)])
    assert (found["train"]["han_tokens"], found["train"]["segmenter_coverage"]) == (6, 0.833333)


MIXED = [row(1, a=(10, UNK, 12, 13)), row(2, a=(10, UNK, 12, 13)), row(3, a=tuple(range(20, 40)))]
"""2 of 28 tokens unknown, 1 of 3 examples a duplicate, 34 of 66 places filled; each Han token is a word."""


@pytest.mark.parametrize(
    ("limits", "fault"),
    [
        ({"max_unknown_share": 0.07}, ("train [UNK] share", "7.1%")),
        ({"max_duplicate_share": 0.3}, ("train share of duplicates", "33.3%")),
        ({"min_fill": 0.6}, ("train fill of the longest example", "0.52")),
        (
            {"min_segmenter_coverage": 0.01},
            ("train segmenter coverage", "0% of the Han tokens in words of several tokens"),
        ),
    ],
)
def test_each_threshold_is_a_setting_whose_breach_is_hard(audit, limits, fault):
    assert hard_faults(audit(MIXED)) == []
    found = audit(MIXED, **limits)
    assert hard_faults(found) == [fault]
    (name,) = limits
    (told,) = [one for one in found["faults"] if one["is_hard"]]
    assert told["expected"].endswith(f"{100 * limits[name]:g}%; the limit is examples.audit.{name}")


def test_a_mask_rate_that_is_off_is_hard_where_the_setting_says_so(audit):
    word = row(1, a=tuple(range(5, 25)), word_starts=[True, True, *[False] * 9, True, *[False] * 9, True])
    assert audit([word])["mask_rates"]["whole_word"] == 0.5  # one of two words, where 3 of 20 tokens were asked for
    subjects = [f"train mask rate of {policy}" for policy in ("whole_word", "ngram", "span", "entity", "similar_word")]
    assert [subject for subject, _ in hard_faults(audit([word]))] == subjects
    assert hard_faults(audit([word], max_mask_rate_error=0.35)) == []


def test_unknown_characters_are_carried_on(tmp_path, vocabulary_folder, write_examples):
    tokenizer = WordPieceTokenizer.from_folder(vocabulary_folder)
    write_examples(tmp_path, tokenizer.vocabulary_size, {"train": [], "held_out": []})
    found = audit_examples(tmp_path, tokenizer, unknown_characters=[["\u5733", 95]])
    assert found["unknown_characters"] == [["\u5733", 95]]


def test_equal_texts_count_as_duplicates_within_a_round_only(audit):
    assert audit([row(1), row(2)])["train"]["duplicates"] == 1
    assert audit([row(1), row(2, round=1)])["train"]["duplicates"] == 0


def test_mask_rates_are_near_the_setting(audit):
    rows = [row(number, a=tuple(range(5, 105))) for number in range(50)]
    assert set(audit(rows)["mask_rates"].values()) == {0.15}


def test_empty_sets_have_no_faults(audit):
    assert audit([])["faults"] == []
