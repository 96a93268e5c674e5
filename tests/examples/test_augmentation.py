"""Copies of training records: whole results on small sets, alignment of labels, nothing of dev or test in them."""

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bert_core.config import AugmentationConfig, TaskConfig, TaskSource
from bert_core.corpus.split import record_id
from bert_core.errors import RequestError
from bert_core.examples.augmentation import Augmented, augment_records
from bert_core.examples.labelled import build_labelled
from bert_core.examples.thesaurus import synonyms_of_words
from bert_core.store.schemas import RECORDS
from bert_core.store.shards import read_shards, write_shards
from bert_core.tokens.vocabulary_files import SPECIAL_ENTRIES, write_vocabulary

THESAURUS = "A01= 老师 先生 教师\nA02= 喜欢 喜爱\nA03# 北京 上海\nA04= 我们 咱们\nA05= 很好 极好\nA06@ 独\n"


@pytest.fixture(scope="module")
def thesaurus(tmp_path_factory):
    path = tmp_path_factory.mktemp("thesaurus") / "words.txt"
    path.write_text(THESAURUS, encoding="utf-8")
    return path


def records(*rows: dict[str, Any]) -> pa.Table:
    filled = [
        {
            "record_id": record_id(row["text"], row.get("text_pair")),
            "span_starts": [],
            "span_ends": [],
            "span_labels": [],
            "answer_starts": [],
            "answer_texts": [],
            "key": "",
            "file": "a",
            "line": number + 1,
            **row,
        }
        for number, row in enumerate(rows)
    ]
    return pa.Table.from_pylist(filled, schema=RECORDS)


def augment(train: pa.Table, path, *held_out: dict[str, Any], seed: int = 1, **settings: Any) -> Augmented:
    config = AugmentationConfig(**{"copies": 4, "thesaurus": str(path), **settings})
    return augment_records(train, [records(*held_out)], config, path, "rjieba", seed)


def test_synonyms_come_from_groups_of_synonyms_alone(thesaurus):
    assert synonyms_of_words(thesaurus, "x") == {
        "先生": ("教师", "老师"),
        "咱们": ("我们",),
        "喜欢": ("喜爱",),
        "喜爱": ("喜欢",),
        "很好": ("极好",),
        "我们": ("咱们",),
        "教师": ("先生", "老师"),
        "极好": ("很好",),
        "老师": ("先生", "教师"),
    }


def test_a_thesaurus_without_synonyms_is_refused_by_the_name_of_its_setting(tmp_path):
    (tmp_path / "few.txt").write_text("A01# 北京 上海\n", encoding="utf-8")
    with pytest.raises(RequestError, match=r"few\.txt: no line with two synonyms.*augmentation\.thesaurus"):
        synonyms_of_words(tmp_path / "few.txt", "augmentation.thesaurus")
    with pytest.raises(RequestError, match=r"none\.txt: no such thesaurus; correct augmentation\.thesaurus"):
        synonyms_of_words(tmp_path / "none.txt", "augmentation.thesaurus")


def test_copies_of_a_class_are_counted_and_shown(thesaurus):
    train = records({"text": "我们喜欢老师", "label": "good"}, {"text": "!", "label": "bad"})
    made = augment(train, thesaurus)
    assert made.counts == {
        "records": 2,
        "copies": 4,
        "by_operation": {"synonym": 1, "insert": 1, "swap": 1, "delete": 1},
        "unchanged": 4,
        "repeated": 0,
        "held_out": 0,
    }
    copies = made.copies.to_pylist()
    assert made.copies.schema == RECORDS
    assert {copy["label"] for copy in copies} == {"good"}
    assert {copy["line"] for copy in copies} == {1}
    assert [copy["record_id"] for copy in copies] == [record_id(copy["text"], None) for copy in copies]
    assert {sample["after"] for sample in made.samples} == {copy["text"] for copy in copies}
    assert {sample["before"] for sample in made.samples} == {"我们喜欢老师"}
    assert {sample["operation"] for sample in made.samples} == {"synonym", "insert", "swap", "delete"}


def test_a_copy_depends_on_its_record_alone(thesaurus):
    one, other = {"text": "我们喜欢老师", "label": "a"}, {"text": "学生说很好的老师", "label": "b"}
    alone = augment(records(one), thesaurus).copies.column("text").to_pylist()
    both = augment(records(other, one), thesaurus).copies.column("text").to_pylist()
    assert both[-len(alone) :] == alone
    assert augment(records(one), thesaurus, seed=2).copies.column("text").to_pylist() != alone


def test_only_the_labels_that_are_named_are_copied(thesaurus):
    train = records({"text": "我们喜欢老师", "label": "a"}, {"text": "学生说很好的老师", "label": "b"})
    made = augment(train, thesaurus, labels=["b"])
    assert set(made.copies.column("label").to_pylist()) == {"b"}
    assert made.counts["records"] == 1
    named = records(
        {"text": "我们喜欢老师", "span_starts": [4], "span_ends": [6], "span_labels": ["x"]}, {"text": "我们喜欢他"}
    )
    assert augment(named, thesaurus, labels=["x"]).counts["records"] == 1


def test_copies_equal_to_records_or_near_scored_texts_are_left_out(thesaurus):
    settings = {"operations": ["synonym"], "copies": 20}
    train = records({"text": "我们很喜欢它", "label": "a"}, {"text": "咱们很喜欢它", "label": "a"})
    made = augment(train, thesaurus, {"text": "我们很喜爱它", "label": "a"}, **settings)
    assert made.copies.column("text").to_pylist() == ["咱们很喜爱它"]
    assert made.counts["repeated"] == 39
    long = "昨天下午他和朋友在河边的小店里喝了一壶茶"
    train = records({"text": f"我们说{long}", "label": "a"})
    made = augment(train, thesaurus, {"text": f"咱们说{long}了又走", "label": "a"}, **settings)
    assert (made.counts["copies"], made.counts["held_out"]) == (0, 1)


def test_pairs_change_in_both_texts_and_questions_in_their_context_alone(thesaurus):
    pair = {"text": "我们喜欢老师", "text_pair": "学生说很好的老师", "label": "same"}
    both = [(row["text"], row["text_pair"]) for row in augment(records(pair), thesaurus).copies.to_pylist()]
    assert all(first != pair["text"] or second != pair["text_pair"] for first, second in both)
    assert any(first != pair["text"] and second != pair["text_pair"] for first, second in both)
    question = {
        "text": "我们喜欢谁?",
        "text_pair": "我们喜欢老师和学生,很好。",
        "answer_starts": [4, 4],
        "answer_texts": ["老师", "老师和学生"],
    }
    copies = augment(records(question), thesaurus, copies=8).copies.to_pylist()
    assert copies
    for copy in copies:
        assert copy["text"] == question["text"]
        assert copy["text_pair"] != question["text_pair"]
        assert copy["answer_texts"] == question["answer_texts"]
        for start, answer in zip(copy["answer_starts"], copy["answer_texts"], strict=True):
            assert copy["text_pair"][start : start + len(answer)] == answer


PIECES = st.sampled_from(["我们", "喜欢", "老师", "很好", "good", "北京", "的", ",", "。", "张三", "去"])


@settings(deadline=None, max_examples=80)
@given(
    pieces=st.lists(st.tuples(PIECES, st.sampled_from(["", "", "nr", "ns"])), min_size=1, max_size=14),
    seed=st.integers(0, 100),
    share=st.floats(0, 1),
)
def test_entities_of_a_copy_are_those_of_its_record(thesaurus, pieces, seed, share):
    text, spans = "", []
    for piece, kind in pieces:
        if kind:
            spans.append((len(text), len(text) + len(piece), kind))
        text += piece
    row = {
        "text": text,
        "span_starts": [start for start, _, _ in spans],
        "span_ends": [end for _, end, _ in spans],
        "span_labels": [kind for _, _, kind in spans],
    }
    made = augment(records(row), thesaurus, seed=seed, word_share=share)
    for copy in made.copies.to_pylist():
        found = zip(copy["span_starts"], copy["span_ends"], copy["span_labels"], strict=True)
        assert [(copy["text"][start:end], kind) for start, end, kind in found] == [
            (text[start:end], kind) for start, end, kind in spans
        ]
    assert made.counts["copies"] + made.counts["unchanged"] + made.counts["repeated"] == 4


def test_labelled_examples_hold_the_copies_behind_train_and_nowhere_else(thesaurus, tmp_path):
    task = TaskConfig(
        family="single_sentence",
        sources=[TaskSource(path="x")],
        labels=["a", "b"],
        max_train_examples=2,
        augmentation=AugmentationConfig(copies=2, operations=["synonym", "swap"], thesaurus=str(thesaurus)),
    )
    splits = {
        "train": records(*({"text": f"我们喜欢老师第{n}", "label": "a"} for n in range(4))),
        "dev": records({"text": "学生说很好的老师", "label": "b"}),
        "test": records({"text": "很好很好", "label": "b"}),
    }
    for folder in ("split", "out", "off", "vocabulary"):
        (tmp_path / folder).mkdir()
    for name, table in splits.items():
        write_shards(tmp_path / "split", name, RECORDS, [table])
    characters = sorted(set("".join(THESAURUS.split()) + "第0123学生说的"))
    write_vocabulary([*SPECIAL_ENTRIES, *characters], True, tmp_path / "vocabulary")
    arguments = (tmp_path / "split", tmp_path / "vocabulary", task, 1, tmp_path / "out")
    counts = build_labelled(*arguments, thesaurus=thesaurus)
    off = task.model_copy(update={"augmentation": AugmentationConfig()})
    build_labelled(tmp_path / "split", tmp_path / "vocabulary", off, 1, tmp_path / "off")
    assert counts["augmentation"]["records"] == 2
    assert counts["augmentation"]["copies"] == 4
    with_copies, without = (read_shards(tmp_path / folder, "train") for folder in ("out", "off"))
    assert with_copies.slice(0, 2).equals(without)
    assert with_copies.num_rows == 6 == counts["train"]["records"]
    assert len(set(with_copies.column("text").to_pylist())) == 6
    for name in ("dev", "test"):
        assert read_shards(tmp_path / "out", name).equals(read_shards(tmp_path / "off", name))
    shown = json.loads((tmp_path / "out" / "augmentation.json").read_text(encoding="utf-8"))
    assert shown["counts"] == counts["augmentation"]
    assert len(shown["samples"]) == 4
    assert not (tmp_path / "off" / "augmentation.json").exists()


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ValidationError, match=r"thesaurus is empty and operations has synonym and insert"):
        AugmentationConfig(copies=1)
    assert AugmentationConfig(copies=1, operations=["swap", "delete"]).thesaurus is None
    with pytest.raises(ValidationError, match=r"holds one twice"):
        AugmentationConfig(operations=["swap", "swap"])
    with pytest.raises(ValidationError, match=r"augmentation.labels \['c'\] are not among labels"):
        TaskConfig(
            family="single_sentence",
            sources=[TaskSource(path="x")],
            labels=["a", "b"],
            augmentation=AugmentationConfig(labels=["c"]),
        )
