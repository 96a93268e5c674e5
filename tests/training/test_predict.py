import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bert_core.config import FineTuneConfig, ModelConfig, OptimizationConfig, TaskConfig, TaskSource
from bert_core.errors import CheckpointError
from bert_core.examples.labelled import build_labelled
from bert_core.randomness import key_of
from bert_core.store.schemas import RECORDS
from bert_core.store.shards import write_shards
from bert_core.training.fine_tune_job import FineTuneJob
from bert_core.training.fine_tuning import run_fine_tune
from bert_core.training.predict import Predictor


def _task(family: Any, labels: list[str], max_tokens: int) -> TaskConfig:
    return TaskConfig(
        family=family,
        sources=[TaskSource(path="x.jsonl")],
        labels=labels,
        compare=[],
        fine_tune=FineTuneConfig(
            epochs=6,
            batch_examples=8,
            max_tokens=max_tokens,
            optimization=OptimizationConfig(learning_rate=3e-3, warmup_fraction=0.1),
        ),
    )


def _train(folder: Path, vocabulary: Path, output: Path, family: Any, labels: list[str], max_tokens: int) -> Path:
    output.mkdir()
    job = FineTuneJob(
        labelled_folder=folder,
        vocabulary_folder=vocabulary,
        model=ModelConfig(num_layers=2, hidden_size=32, num_heads=2, intermediate_size=64, max_positions=64),
        task=_task(family, labels, max_tokens),
        seed=5,
        output_folder=output,
        num_threads=1,
        precision="float32",
    )
    run_fine_tune(job)
    return output


@pytest.fixture
def classifier(sentiment_folder, task_vocabulary, tmp_path) -> Path:
    return _train(sentiment_folder, task_vocabulary, tmp_path / "out", "single_sentence", ["bad", "good"], 32)


@pytest.fixture
def tagger(entity_folder, task_vocabulary, tmp_path) -> Path:
    return _train(entity_folder, task_vocabulary, tmp_path / "out", "sequence_labelling", ["nr", "ns"], 32)


def _lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]


def test_a_classifier_says_of_test_texts_what_it_was_scored_by(classifier):
    lines = _lines(classifier)
    found = Predictor.load(classifier).predict([line["text"] for line in lines])
    for line, prediction in zip(lines, found, strict=True):
        assert prediction["text"] == line["text"]
        assert prediction["label"] == line["predicted"]
        assert prediction["probability"] == pytest.approx(line["probability"], abs=1e-5)
        assert sum(prediction["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_texts_are_cleaned_and_cut_to_their_head(classifier):
    predictor = Predictor.load(classifier)
    head, long = predictor.predict(["好" * 30, "好" * 30 + "坏" * 900])
    assert long["probabilities"] == pytest.approx(head["probabilities"], abs=1e-5)
    assert predictor.predict(["　<b>好</b>１　 棒\r\n"])[0]["text"] == "好1 棒"
    assert predictor.predict([""])[0]["label"] in ("bad", "good")
    assert predictor.predict([]) == []


def test_a_prediction_does_not_depend_on_its_neighbours(classifier):
    predictor = Predictor.load(classifier)
    texts = ["好" * n + "坏" * (n % 3) for n in range(1, 30)]
    together = predictor.predict(texts)
    for text, prediction in zip(texts, together, strict=True):
        (alone,) = predictor.predict([text])
        assert alone["probabilities"] == pytest.approx(prediction["probabilities"], abs=1e-5)


@pytest.mark.parametrize("family", ["single_sentence", "sequence_labelling"])
def test_predictions_equal_those_of_scoring_where_the_line_built_the_examples(family, task_vocabulary, tmp_path):
    labels = ["nr", "ns"]
    generator = np.random.default_rng(1)
    split, labelled = tmp_path / "split", tmp_path / "labelled"
    split.mkdir()
    labelled.mkdir()
    for name, num_rows in (("train", 40), ("dev", 8), ("test", 12)):
        rows: dict[str, list] = {column: [] for column in RECORDS.names}
        for row in range(num_rows):
            plain = "".join(generator.choice(list("这个书店一的是了"), generator.integers(1, 60)))  # some need windows
            text = f"{plain}张伟在京{plain[:7]}"
            at = len(plain)
            tagged = family == "sequence_labelling"
            values = {
                "record_id": int(key_of(name, row)),
                "text": text,
                "label": None if tagged else labels[row % 2],
                "span_starts": [at, at + 3] if tagged else [],
                "span_ends": [at + 2, at + 4] if tagged else [],
                "span_labels": labels if tagged else [],
                "text_pair": None,
                "answer_starts": [],
                "answer_texts": [],
                "key": "",
                "file": "x",
                "line": row,
            }
            for column, value in values.items():
                rows[column].append(value)
        write_shards(split, name, RECORDS, [pa.table(rows, schema=RECORDS)])
    task = _task(family, labels, 24)
    build_labelled(split, task_vocabulary, task, 5, labelled)
    lines = _lines(_train(labelled, task_vocabulary, tmp_path / "out", family, labels, 24))
    found = Predictor.load(tmp_path / "out").predict([line["text"] for line in lines])
    key = "entities" if family == "sequence_labelling" else "label"
    assert [prediction[key] for prediction in found] == [line["predicted"] for line in lines]
    assert max(len(line["text"]) for line in lines) > 40


def test_entities_of_a_long_text_are_found_in_all_its_windows(tagger):
    predictor = Predictor.load(tagger)
    text = "这个书店张伟在京" * 40
    empty, short, long = predictor.predict(["", "这个书店张伟在京", text])
    assert empty == {"text": "", "entities": []}
    assert short["entities"] == [
        {"text": "张伟", "type": "nr", "start": 4, "end": 6},
        {"text": "京", "type": "ns", "start": 7, "end": 8},
    ]
    assert [entity["text"] for entity in long["entities"]].count("张伟") >= 36
    for entity in long["entities"]:
        assert entity["text"] == text[entity["start"] : entity["end"]]
    starts = [entity["start"] for entity in long["entities"]]
    assert starts == sorted(set(starts))


def test_a_folder_with_the_wrong_vocabulary_is_refused(classifier):
    path = classifier / "vocab.txt"
    path.write_text(path.read_text(encoding="utf-8") + "外\n", encoding="utf-8")
    with pytest.raises(CheckpointError, match="do not belong together"):
        Predictor.load(classifier)
