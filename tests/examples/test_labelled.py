"""Labelled examples: worked cases with whole rows, windows against brute force, budgets that nest."""

import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_core.config import FineTuneConfig, TaskConfig, TaskSource
from bert_core.examples.labelled import build_labelled
from bert_core.store.schemas import RECORDS, labelled_schema
from bert_core.store.shards import read_shards, write_shards

ENTRIES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"甲乙丙丁张三在京店好坏", "abc", "##de", "12"]
ID = {entry: index for index, entry in enumerate(ENTRIES)}
CLS, SEP, UNK = ID["[CLS]"], ID["[SEP]"], ID["[UNK]"]


def sentiment(**settings):
    tuning = FineTuneConfig(max_tokens=settings.pop("max_tokens", 16))
    source = TaskSource(path="a.jsonl")
    return TaskConfig(family="single_sentence", sources=[source], labels=["neg", "pos"], fine_tune=tuning, **settings)


def names(**settings):
    tuning = FineTuneConfig(max_tokens=settings.pop("max_tokens", 16))
    source = TaskSource(path="a.jsonl")
    return TaskConfig(family="sequence_labelling", sources=[source], labels=["nr", "ns"], fine_tune=tuning, **settings)


@pytest.fixture
def vocabulary(tmp_path):
    folder = tmp_path / "vocabulary"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(ENTRIES) + "\n", encoding="utf-8")
    return folder


def write_records(folder, **splits):
    """Write splits of (text, label) or (text, [(start, end, type), ...]); records are numbered from 1."""
    folder.mkdir()
    number = 0
    for name in ("train", "dev", "test"):
        rows = []
        for text, label in splits.get(name, []):
            number += 1
            spans = [] if isinstance(label, str) else label
            rows.append(
                {
                    "record_id": number,
                    "text": text,
                    "label": label if isinstance(label, str) else None,
                    "span_starts": [span[0] for span in spans],
                    "span_ends": [span[1] for span in spans],
                    "span_labels": [span[2] for span in spans],
                    "file": "a.jsonl",
                    "line": number,
                }
            )
        write_shards(folder, name, RECORDS, [pa.Table.from_pylist(rows, schema=RECORDS)])
    return folder


def build(tmp_path, vocabulary, task, seed=1, out="out", **splits):
    records = tmp_path / f"{out}_records"
    write_records(records, **splits)
    folder = tmp_path / out
    folder.mkdir()
    return folder, build_labelled(records, vocabulary, task, seed, folder)


def test_a_single_sentence_becomes_one_example(tmp_path, vocabulary):
    folder, counts = build(tmp_path, vocabulary, sentiment(), train=[("店好abcde", "pos"), ("坏X", "neg")])
    table = read_shards(folder, "train")
    assert table.schema == labelled_schema(len(ENTRIES))
    rows = table.drop_columns(["example_id"]).to_pylist()
    assert rows == [
        {
            "record_id": 1,
            "input_ids": [CLS, ID["店"], ID["好"], ID["abc"], ID["##de"], SEP],
            "length_a": 4,
            "label": 1,
            "token_labels": [],
            "char_starts": [-1, 0, 1, 2, 5, -1],
            "char_ends": [-1, 1, 2, 5, 7, -1],
            "text": "店好abcde",
            "text_pair": None,
        },
        {
            "record_id": 2,
            "input_ids": [CLS, ID["坏"], UNK, SEP],
            "length_a": 2,
            "label": 0,
            "token_labels": [],
            "char_starts": [-1, 0, 1, -1],
            "char_ends": [-1, 1, 2, -1],
            "text": "坏X",
            "text_pair": None,
        },
    ]
    assert counts["train"] == {
        "records": 2,
        "examples": 2,
        "cut": 0,
        "labels": {"neg": 1, "pos": 1},
        "unk_fraction": round(1 / 6, 6),
        "fill_fraction": 0.3125,  # 10 of 2 x 16 tokens
    }


def test_a_long_single_sentence_keeps_its_head_and_is_counted(tmp_path, vocabulary):
    folder, counts = build(tmp_path, vocabulary, sentiment(), train=[("甲乙丙丁" * 5, "pos"), ("好", "neg")])
    first = read_shards(folder, "train").to_pylist()[0]
    assert first["input_ids"] == [CLS] + [ID[c] for c in "甲乙丙丁甲乙丙丁甲乙丙丁甲乙"] + [SEP]
    assert first["length_a"] == 14
    assert counts["train"]["cut"] == 1


def test_entities_become_tags_by_character_offsets(tmp_path, vocabulary):
    folder, counts = build(
        tmp_path, vocabulary, names(), train=[("张三在 京abcde", [(0, 2, "nr"), (4, 5, "ns")]), ("好", [])]
    )
    first, second = read_shards(folder, "train").to_pylist()
    # tags: 0 O, 1 B-nr, 2 I-nr, 3 B-ns, 4 I-ns
    assert first["token_labels"] == [-100, 1, 2, 0, 3, 0, 0, -100]
    assert first["char_starts"] == [-1, 0, 1, 2, 4, 5, 8, -1]
    assert first["label"] == -100
    assert second["token_labels"] == [-100, 0, -100]
    assert counts["train"]["entities"] == 2
    assert counts["train"]["misaligned_entities"] == 0
    assert counts["train"]["labels"] == {"nr": 1, "ns": 1}


def test_an_entity_that_ends_inside_a_piece_is_counted_as_misaligned(tmp_path, vocabulary):
    folder, counts = build(tmp_path, vocabulary, names(), train=[("在abc", [(1, 3, "ns")])])
    assert read_shards(folder, "train")["token_labels"].to_pylist() == [[-100, 0, 3, -100]]
    assert counts["train"]["misaligned_entities"] == 1


def test_a_long_tagged_text_is_windowed_and_every_token_is_scored_once(tmp_path, vocabulary):
    text = "甲乙丙丁" * 10  # 40 tokens in windows of 14
    folder, counts = build(tmp_path, vocabulary, names(), train=[(text, [(10, 13, "nr")]), ("好", [])])
    rows = read_shards(folder, "train").to_pylist()
    windows = [row for row in rows if row["record_id"] == 1]
    assert len({row["example_id"] for row in rows}) == len(rows)
    assert all(len(row["input_ids"]) == 16 and row["text"] == text for row in windows)
    scored = [
        (start, label)
        for row in windows
        for start, label in zip(row["char_starts"], row["token_labels"], strict=True)
        if label != -100
    ]
    assert scored == [(i, {10: 1, 11: 2, 12: 2}.get(i, 0)) for i in range(40)]
    assert counts["train"]["windowed"] == 1
    assert counts["train"]["examples"] == len(windows) + 1


def test_a_larger_budget_holds_a_smaller_one_and_leaves_dev_alone(tmp_path, vocabulary):
    train = [("甲乙"[i % 2] + "丙" * i, "pos") for i in range(30)]
    kept = {}
    for budget in (5, 12, None):
        task = sentiment(max_train_examples=budget)
        folder, counts = build(tmp_path, vocabulary, task, out=f"out_{budget}", train=train, dev=train[:3])
        kept[budget] = read_shards(folder, "train")["record_id"].to_pylist()
        assert counts["dev"]["records"] == 3
    assert [len(ids) for ids in kept.values()] == [5, 12, 30]
    assert set(kept[5]) < set(kept[12]) < set(kept[None])
    assert all(ids == sorted(ids) for ids in kept.values())


def test_another_seed_draws_another_budget(tmp_path, vocabulary):
    train = [("丙" * (i + 1), "pos") for i in range(40)]
    task = sentiment(max_train_examples=10)
    drawn = [
        read_shards(build(tmp_path, vocabulary, task, seed, f"seed_{seed}", train=train)[0], "train") for seed in (1, 2)
    ]
    assert drawn[0]["record_id"].to_pylist() != drawn[1]["record_id"].to_pylist()


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (sentiment(), {"family": "single_sentence", "labels": ["neg", "pos"]}),
        (
            names(),
            {
                "family": "sequence_labelling",
                "labels": ["nr", "ns"],
                "tags": ["O", "B-nr", "I-nr", "B-ns", "I-ns"],
            },
        ),
    ],
    ids=["classes", "entities"],
)
def test_labels_are_written_beside_the_shards(tmp_path, vocabulary, task, expected):
    folder, _ = build(tmp_path, vocabulary, task)
    assert json.loads((folder / "labels.json").read_text(encoding="utf-8")) == expected


def test_equal_inputs_give_equal_bytes(tmp_path, vocabulary):
    train = [("甲乙丙丁" * 10, [(1, 3, "nr")]), ("在京", [(1, 2, "ns")])]
    folders = [build(tmp_path, vocabulary, names(), out=out, train=train)[0] for out in ("one", "two")]
    one, two = ({path.name: path.read_bytes() for path in sorted(folder.iterdir())} for folder in folders)
    assert one == two


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from("甲乙张三Xa 1"), st.sampled_from([None, "nr", "ns"])), max_size=45),
        min_size=1,
        max_size=4,
    )
)
def test_tags_read_back_through_offsets_are_the_entities_where_all_align(tmp_path_factory, texts):
    """Each character carries the type of the entity it is alone; characters that are spaces carry none."""
    tmp_path = tmp_path_factory.mktemp("tags")
    folder = tmp_path / "vocabulary"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(ENTRIES) + "\n", encoding="utf-8")
    records = [
        (
            "".join(character for character, _ in text),
            [(i, i + 1, kind) for i, (character, kind) in enumerate(text) if kind and character in "甲乙张三"],
        )
        for text in texts
    ]
    out, counts = build(tmp_path, folder, names(), train=records)
    found = {}
    for row in read_shards(out, "train").to_pylist():
        found.setdefault(row["record_id"], []).extend(
            (start, end, "nr" if tag == 1 else "ns")
            for start, end, tag in zip(row["char_starts"], row["char_ends"], row["token_labels"], strict=True)
            if tag > 0
        )
    assert counts["train"]["misaligned_entities"] == 0
    assert list(found.values()) == [spans for _, spans in records]


def test_a_tagged_text_in_bioes_says_where_its_entities_end(tmp_path, vocabulary):
    tuning = FineTuneConfig(max_tokens=16, tags="bioes")
    task = names().model_copy(update={"fine_tune": tuning})
    folder, _ = build(tmp_path, vocabulary, task, train=[("张三在京", [(0, 2, "nr"), (3, 4, "ns")])])
    assert read_shards(folder, "train")["token_labels"].to_pylist() == [[-100, 1, 3, 0, 8, -100]]
    tags = json.loads((folder / "labels.json").read_text(encoding="utf-8"))["tags"]
    assert tags == ["O", "B-nr", "I-nr", "E-nr", "S-nr", "B-ns", "I-ns", "E-ns", "S-ns"]
