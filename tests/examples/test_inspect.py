"""Views of examples: their values in full, and markdown that hostile text cannot break."""

import re

import pytest

from bert_core.config import MaskingConfig
from bert_core.examples.inspect import markdown_of, sample_view

ENTRIES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "京",
    "东",
    "很",
    "好",
    "<script>",
    "|",
    "`x`",
    "##[a](b)",
    "&",
]
PAIR = {
    "input_ids": [2, 5, 6, 7, 3, 8, 9, 10, 11, 12, 13, 3],
    "length_a": 3,
    "next_sentence_label": 1,
    "word_starts": [True, True, False, True, True, True, True, True, True, False, True, True],
    "entity_starts": [1],
    "entity_lengths": [2],
    "doc_id_a": 21,
    "doc_id_b": 34,
    "token_a": 4,
    "token_b": 9,
    "round": 0,
}


@pytest.fixture
def views(tmp_path, write_examples):
    (tmp_path / "vocab.txt").write_text("\n".join(ENTRIES) + "\n", encoding="utf-8")
    single = PAIR | {
        "next_sentence_label": -100,
        "input_ids": [2, 5, 6, 3],
        "length_a": 2,
        "doc_id_b": 21,
        "token_b": -1,
    }
    single |= {"word_starts": [True, True, False, True]}
    write_examples(tmp_path, len(ENTRIES), {"train": [PAIR, single]})

    def run(rows, *policies, **shares):
        maskings = [MaskingConfig(policy=policy, mlm_probability=0.5, **shares) for policy in policies or ("token",)]
        return sample_view(tmp_path, "train", tmp_path, rows, maskings, 1, [0, 1])

    return run


def test_a_view_tells_the_example_in_full(views):
    [view] = views([0])
    assert view.tokens == ["[CLS]", "京", "东", "很", "[SEP]", "好", "<script>", "|", "`x`", "##[a](b)", "&", "[SEP]"]
    assert view.words == [(0, 1), (1, 3), (3, 4), (4, 5), (5, 6), (6, 7), (7, 8), (8, 10), (10, 11), (11, 12)]
    assert view.entities == [(1, 3)]
    assert (view.row, view.length_a, view.next_sentence_label) == (0, 3, 1)
    assert (view.doc_id_a, view.token_a, view.doc_id_b, view.token_b, view.round) == (21, 4, 34, 9, 0)


def test_epochs_show_what_is_masked_random_and_kept(views):
    other_masks = 0
    for policy in ("token", "whole_word"):
        [view] = views([0], policy)
        assert [shown.epoch for shown in view.masks] == [0, 1]
        for shown in view.masks:
            for token, read, change in zip(view.tokens, shown.tokens, shown.changes, strict=True):
                expected = {"": read == token, "mask": read == "[MASK]", "kept": read == token, "random": read != token}
                assert expected[change]
            assert sum(change != "" for change in shown.changes) in (3, 4)
        other_masks += view.masks[0].changes != view.masks[1].changes
    assert other_masks


def test_policies_stand_side_by_side_each_as_if_alone(views):
    [view] = views([0], "token", "whole_word")
    assert [(shown.policy, shown.epoch) for shown in view.masks] == [
        ("token", 0),
        ("token", 1),
        ("whole_word", 0),
        ("whole_word", 1),
    ]
    [token], [whole_word] = views([0], "token"), views([0], "whole_word")
    assert view.masks == [*token.masks, *whole_word.masks]
    assert token.masks != whole_word.masks


def test_rows_come_in_the_order_asked_for(views):
    first, second = views([0, 1])
    assert first.example_id != second.example_id
    assert [(view.row, view.example_id) for view in views([1, 0])] == [(1, second.example_id), (0, first.example_id)]


def test_markdown_shows_both_epochs_side_by_side(views):
    text = markdown_of(views([0, 1], mask_share=1.0, random_share=0.0))
    assert "### Example 0: B is random" in text
    assert "### Example 1: no pair" in text
    assert "A from token 4 of document `0000000000000015`, B from token 9 of `0000000000000022`" in text
    assert text.count("| words | token, epoch 0 | token, epoch 1 |") == 2
    assert "▢" in text


def test_hostile_text_cannot_become_markup(views):
    text = markdown_of(views([0]))
    row = text.splitlines()[-1]
    assert row.count("|") == 4  # the table's own
    assert not re.search(r"[<>`\[\]()]", row)
    assert "&#60;script&#62;" in row
