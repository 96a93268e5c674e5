import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bert_core.config import MaskingConfig
from bert_core.examples.masking import MaskVocabulary, mask_batch
from bert_core.examples.reader import ExampleSet
from bert_core.report.cards import count_facts, data_cards, waterfall, written
from bert_core.report.collect import collect_run, group_of
from bert_core.report.explore import document_places, readable, sample_examples
from bert_core.report.outcomes import NUM_WRONG_ANSWERS, task_views
from bert_core.report.view import Bar, Entity, Fact
from bert_core.store.schemas import DOCUMENTS
from bert_core.store.shards import write_shards

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"山高水长天地人和春秋"]


def test_a_run_is_collected_whole(collected):
    run = collected
    assert run.name == "shop_reviews"
    assert (run.num_built, run.num_reused) == (8, len(run.plan) - 8)
    assert run.seconds_saved > run.plan[0].seconds > 0
    assert [task.name for task in run.tasks] == ["sentiment", "entities"]
    assert {card.kind for card in run.data} == {
        "records", "corpus", "vocabulary", "tokens", "examples", "labelled examples",
    }  # fmt: skip
    assert [curve.stage for curve in run.curves][:3] == ["pretrain", "domain_transfer", "task_transfer"]
    assert Fact(name="numpy", value="2.1.0") in run.versions


def test_slices_are_shown_as_one_stage(collected):
    run = collected
    (row,) = [row for row in run.plan if row.stage == "slices/news"]
    assert row.num_rows == 9800 + 9684 - 2 * 231
    assert row.seconds == pytest.approx(4.8)
    nodes = {node.id: node for node in run.nodes}
    assert "slices/news/0000" not in nodes
    assert nodes["documents/news"].parents == ("slices/news", "split/sentiment", "split/entities")
    assert group_of("slices/news/0003") == "slices/news"
    assert group_of("fine_tune/a/tfidf") == "fine_tune/a/tfidf"


def test_decisions_may_carry_their_own_numbers(fake_run):
    decision = {"stage": "vocabulary", "action": "run", "reason": "asked for", "seconds": 3.0, "num_rows": 1}
    outputs = {"vocabulary": fake_run.outputs["vocabulary"]}
    run = collect_run("a", "", [decision], outputs, {})
    assert (run.plan[0].action, run.plan[0].seconds, run.plan[0].num_rows) == ("built", 3.0, 1)


def test_a_run_without_outputs_is_a_run():
    run = collect_run("a", "name: a", [{"stage": "vocabulary", "action": "run"}], {})
    assert (run.tasks, run.nodes, run.data, run.examples) == ((), (), (), ())
    assert run.plan[0].seconds is None


def test_a_waterfall_falls_from_read_to_kept():
    bars = list(waterfall(10, [("too_short", 2), ("no case", 0), ("duplicates", 3)]))
    assert bars == [
        Bar(name="read", num_rows=10, kind="all", start_fraction=0.0, fraction=1.0),
        Bar(name="too short", num_rows=2, kind="dropped", start_fraction=0.8, fraction=1.0 - 0.8),
        Bar(name="duplicates", num_rows=3, kind="dropped", start_fraction=0.5, fraction=0.3),
        Bar(name="kept", num_rows=5, kind="kept", start_fraction=0.0, fraction=0.5),
    ]
    assert list(waterfall(0, [("x", 1)])) == []


def test_a_waterfall_whose_counts_do_not_add_up_stays_in_its_frame():
    assert all(0 <= bar.start_fraction + bar.fraction <= 1.0 for bar in waterfall(3, [("a", 5), ("b", 5)]))


def test_waterfalls_of_the_run_end_at_what_is_there(fake_run):
    for card in data_cards(fake_run.outputs):
        manifest = fake_run.outputs[card.name][1]
        if card.name in ("documents/news", "documents/reviews"):
            assert card.bars[-1].num_rows == manifest.counts["documents"]
        if card.kind == "records":
            splits = manifest.counts["splits"]
            assert card.bars[-1].num_rows == sum(split["records"] for split in splits.values())


def test_documents_cut_in_pieces_end_at_what_is_there(make_manifest, tmp_path):
    counts = {"seen": 10, "dropped": {"min_characters": 1}, "cut": 2, "documents": 14}
    (card,) = data_cards({"documents/a": (tmp_path, make_manifest("documents/a", counts))})
    assert [(bar.name, bar.num_rows) for bar in card.bars] == [
        ("read, long ones cut", 15), ("min characters", 1), ("kept", 14),
    ]  # fmt: skip


def test_the_audit_of_examples_is_told(fake_run):
    (card,) = [card for card in data_cards(fake_run.outputs) if card.name == "examples/domain_transfer"]
    assert card.faults == ("train share of duplicates: 1.3%, expected at most 1%",)
    assert [bar.name for bar in card.histogram] == [
        "16-31 tokens", "32-63 tokens", "64-95 tokens", "96-127 tokens", "128-191 tokens",
    ]  # fmt: skip
    assert card.histogram[-1].fraction == 1.0
    assert Fact(name="share masked by span", value="14.9 %") in card.details
    assert Fact(name="unknown characters", value="圳 1,095, \u202e 2") in card.details


def test_counts_that_no_card_knows_are_listed():
    counts = {"new": {"thing": 3, "deep": {"er": 1.5}}, "unknown_share": 0.0004, "list": [1, 2], "none": None}
    assert count_facts(counts) == (
        Fact(name="new: thing", value="3"),
        Fact(name="new: deep: er", value="1.5"),
        Fact(name="unknown share", value="0.04 %"),
    )


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("unknown_share", 0.0, "0.0 %"),
        ("unknown_share", 0.25, "25.0 %"),
        ("unk_fraction", 0.00123, "0.12 %"),
        ("documents", 19484, "19,484"),
        ("mean_tokens", 88.123456, "88.12"),
        ("device", "cpu", "cpu"),
        ("resumed", True, "True"),
    ],
)
def test_counts_are_written_by_their_kind(name, value, expected):
    assert written(name, value) == expected


def test_worst_errors_come_first_and_entities_are_compared(fake_run):
    sentiment, entities = task_views(fake_run.outputs)
    assert (sentiment.num_wrong, sentiment.num_predictions) == (9, 21)
    given = [answer.gold_probability or 0.0 for answer in sentiment.wrong]
    assert given == sorted(given)
    assert sentiment.labels == ("negative", "正面")
    assert sentiment.confusion == ((442, 38), (48, 472))
    assert sentiment.gain == pytest.approx(0.027)
    assert (entities.num_wrong, entities.num_predictions) == (2, 3)
    assert entities.wrong[0].entities == (
        Entity(text="林小雨", type="PER", verdict="right"),
        Entity(text="青石镇", type="LOC", verdict="missed"),
        Entity(text="白湖", type="LOC", verdict="wrong"),
        Entity(text="白湖公司", type="ORG", verdict="missed"),
    )
    assert [row.name for row in entities.classes] == ["PER", "LOC", "ORG"]


def test_only_the_worst_errors_are_kept(fake_run):
    folder = fake_run.outputs["fine_tune/sentiment"][0]
    lines = [{"text": str(n), "gold": "a", "predicted": "b", "gold_probability": n / 1000} for n in range(500)]
    text = "".join(json.dumps(line) + "\n" for line in reversed(lines))
    (folder / "predictions.jsonl").write_text(text, encoding="utf-8")
    view = next(task_views(fake_run.outputs))
    assert (view.num_wrong, view.num_predictions) == (500, 500)
    assert [answer.text for answer in view.wrong] == [str(n) for n in range(NUM_WRONG_ANSWERS)]


def test_labels_come_from_scores_where_the_settings_have_none(make_manifest, scores_of, tmp_path):
    (tmp_path / "scores.json").write_text(json.dumps({"labels": ["negative", "正面"]}), encoding="utf-8")
    manifest = make_manifest("fine_tune/a", {"test": scores_of(0.9, [[1, 0], [0, 1]])})
    assert next(task_views({"fine_tune/a": (tmp_path, manifest)})).labels == ("negative", "正面")


def test_a_confusion_matrix_without_names_is_numbered(make_manifest, scores_of, tmp_path):
    manifest = make_manifest("fine_tune/a", {"test": scores_of(0.9, [[1, 0], [0, 1]])})
    assert next(task_views({"fine_tune/a": (tmp_path, manifest)})).labels == ("class 0", "class 1")


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (["[CLS]", "play", "##ing", "好", "的", "[SEP]"], "playing好的"),
        (["[CLS]", "the", "lamp", ".", "[SEP]", "it", "is", "[SEP]"], "the lamp . it is"),
        (["好", "ok", "呀"], "好ok呀"),
        ([], ""),
    ],
)
def test_tokens_are_joined_as_a_reader_would_write_them(tokens, expected):
    assert readable(tokens) == expected


@pytest.fixture
def real_examples(tmp_path: Path, make_manifest, write_examples) -> dict:
    """Two rounds of three examples, with vocabulary, documents and the training stage that reads them."""
    folders = {name: tmp_path / name for name in ("documents", "vocabulary", "examples", "pretrain")}
    for folder in folders.values():
        folder.mkdir()
    (folders["vocabulary"] / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    (folders["vocabulary"] / "tokenizer_config.json").write_text('{"do_lower_case": true}', encoding="utf-8")
    rows = [
        {
            "input_ids": [2, *range(5, 10), 3, *range(10, 15), 3],
            "length_a": 5,
            "next_sentence_label": number % 2,
            "word_starts": [True] * 13,
            "entity_starts": [],
            "entity_lengths": [],
            "doc_id_a": 7,
            "doc_id_b": 7 if number % 2 == 0 else 8,
            "token_a": 10 * number,
            "token_b": 10 * number + 5,
            "round": number // 3,
        }
        for number in range(6)
    ]
    write_examples(folders["examples"], len(VOCABULARY), {"train": rows, "held_out": rows})
    document = {"doc_id": 7, "text": "山高水长", "file": "texts/a.txt", "line": 31, "byte_offset": 0, "repairs": []}
    table = pa.Table.from_pylist([document | {"encoding": "utf-8"}], DOCUMENTS)
    write_shards(folders["documents"], "documents", DOCUMENTS, [table])
    masking = MaskingConfig(mlm_probability=0.3)
    manifests = {name: make_manifest(name, {}) for name in ("documents/a", "vocabulary", "examples/pretrain")}
    parents = {"examples": manifests["examples/pretrain"], "vocabulary": manifests["vocabulary"]}
    transfer = {"transfer": {"masking": masking.model_dump(mode="json")}, "seed": 3}
    manifests["pretrain"] = make_manifest("pretrain", {}, kind="transfer", parents=parents, settings=transfer)
    return {name: (folders[name.split("/")[0]], manifest) for name, manifest in manifests.items()}


def test_examples_are_masked_as_training_masks_them(real_examples):
    views = sample_examples(real_examples)["examples/pretrain"]
    folder = real_examples["examples/pretrain"][0]
    train = ExampleSet.open(folder, "train")
    assert [view.row for view in views] == [0, 1, 2]
    assert [shown.epoch for shown in views[0].masks] == [0, 2, 4], "round 0 of two rounds"
    batch = train.take(np.array([0, 1, 2]))
    masked, targets = mask_batch(
        batch.input_ids, batch.offsets, batch.word_starts, batch.entity_starts, batch.entity_lengths,
        batch.entity_offsets, batch.example_ids, 3, 2, MaskingConfig(mlm_probability=0.3),
        MaskVocabulary.from_folder(real_examples["vocabulary"][0]),
    )  # fmt: skip
    shown = [token for view in views for token in view.masks[1].tokens]
    assert shown == [VOCABULARY[token] for token in masked]
    changed = [bool(change) for view in views for change in view.masks[1].changes]
    assert changed == [bool(target) for target in targets]


def test_examples_are_traced_to_file_and_line(real_examples):
    views = sample_examples(real_examples)["examples/pretrain"]
    assert document_places(real_examples, views) == {7: "texts/a.txt:31"}
    run = collect_run("a", "", [], real_examples)
    assert run.examples[0].origins == ("A: texts/a.txt:31, from token 0", "B: texts/a.txt:31, from token 5")
    assert run.examples[1].origins[1] == "B: document 0000000000000008, from token 15"
    assert [card.label for card in run.examples] == ["next", "random", "next"]
    assert [token.in_b for token in run.examples[0].tokens] == [False] * 7 + [True] * 5 + [False]
    assert run.examples[0].text == "山高水长天 地人和春秋"


def test_wrong_answers_to_questions_are_shown_where_they_stand(make_manifest, tmp_path):
    context = "前" * 80 + "江南" + "后" * 80
    base = {"text": "何处？", "text_pair": context, "gold": "江南", "probability": 0.5, "gold_probability": 0.25}
    lines = [
        base | {"predicted": "江", "start": 80, "end": 81, "exact_match": 0.0, "f1": 0.667},
        base | {"predicted": "江南。", "start": 80, "end": 82, "exact_match": 1.0, "f1": 1.0},
        base | {"predicted": "", "start": -1, "end": -1, "exact_match": 0.0, "f1": 0.0, "gold_probability": 0.0},
    ]
    path = tmp_path / "predictions.jsonl"
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    counts = {"test": {"exact_match": 1 / 3, "f1": 0.556, "num_examples": 3}}
    manifest = make_manifest("fine_tune/asked", counts, settings={"labels": [], "random_weights": True})
    (view,) = task_views({"fine_tune/asked": (tmp_path, manifest)})
    assert (view.num_wrong, view.num_predictions) == (2, 3)
    assert [(one.predicted, one.gold, one.entities) for one in view.wrong] == [
        ("(no answer)", "江南", ()), ("江", "江南", ()),
    ]  # fmt: skip
    assert view.wrong[0].text == "何处？ | " + "前" * 60 + "…"
    assert view.wrong[1].text == "何处？ | …" + "前" * 60 + "江南" + "后" * 59 + "…"
