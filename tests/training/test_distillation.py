"""Teachers beside the labels: their outputs worked out by hand, and training without them bit for bit."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from bert_core.config import DistillationConfig, FineTuneConfig, ModelConfig, OptimizationConfig, TaskConfig, TaskSource
from bert_core.errors import CheckpointError
from bert_core.model.heads import load_fine_tuned
from bert_core.tokens.tokenizer import WordPieceTokenizer
from bert_core.training.device import choose_device
from bert_core.training.distillation import Distillation, EarlierWeights, distance, matched_layers
from bert_core.training.fine_tune_job import FineTuneJob
from bert_core.training.fine_tune_start import starting_model
from bert_core.training.fine_tuning import run_fine_tune
from bert_core.training.inference import logits_of
from bert_core.training.labelled_batches import padded_batches, read_labelled

SIZES = ModelConfig(num_layers=2, hidden_size=16, num_heads=2, intermediate_size=32, max_positions=64)
LABELS = {"single_sentence": ["bad", "good"], "sequence_labelling": ["nr", "ns"]}


def _job(folder: Path, vocabulary: Path, output: Path, family: Any = "single_sentence", **settings: Any) -> FineTuneJob:
    output.mkdir(exist_ok=True)
    fine_tune = FineTuneConfig(
        epochs=settings.pop("epochs", 1),
        batch_examples=settings.pop("batch_examples", 32),
        max_tokens=32,
        optimization=OptimizationConfig(learning_rate=3e-3),
        distillation=DistillationConfig(**settings.pop("distillation", {})),
        **settings,
    )
    return FineTuneJob(
        labelled_folder=folder,
        vocabulary_folder=vocabulary,
        model=SIZES,
        task=TaskConfig(
            family=family, sources=[TaskSource(path="x")], labels=LABELS[family], compare=[], fine_tune=fine_tune
        ),
        seed=5,
        output_folder=output,
        num_threads=1,
        precision="float32",
    )


def _rows(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["split"] == "train"]


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _batch(folder: Path):
    train = read_labelled(folder, "train")
    return next(padded_batches(train, [np.arange(8)], pad_id=0))


def test_the_teacher_has_the_mean_of_the_last_weights(sentiment_folder, task_vocabulary, tmp_path):
    model = starting_model(_job(sentiment_folder, task_vocabulary, tmp_path / "out"), 34, 0)
    earlier, seen = EarlierWeights(model, 3), []
    for step in range(5):
        with torch.no_grad():
            for number, parameter in enumerate(model.parameters()):
                parameter.add_(0.1 * step + 0.01 * number)
        seen.append([parameter.detach().clone() for parameter in model.parameters()])
        earlier.remember(model)
        last = seen[-3:]
        for number, parameter in enumerate(earlier.take_mean().parameters()):
            expected = torch.stack([weights[number] for weights in last]).double().mean(0)
            torch.testing.assert_close(parameter.double(), expected, rtol=1e-6, atol=1e-6)
        for weights, each in zip(last, earlier.take_each(), strict=True):
            assert all(torch.equal(*pair) for pair in zip(weights, each.parameters(), strict=True))
        assert all(torch.equal(*pair) for pair in zip(model.parameters(), seen[-1], strict=True))


def test_averaged_predictions_are_the_mean_of_the_logits(sentiment_folder, task_vocabulary, tmp_path):
    distillation = {"teacher": "averaged_predictions", "last_steps": 2, "weight": 0.5}
    job = _job(sentiment_folder, task_vocabulary, tmp_path / "out", distillation=distillation)
    tokenizer, device = WordPieceTokenizer.from_folder(task_vocabulary), choose_device("float32")
    model = starting_model(job, 34, 0).eval()
    teacher = Distillation(job, model, tokenizer, device)
    batch, logits = _batch(sentiment_folder), []
    assert teacher.losses(logits_of(model, batch, device), {}, batch) == {}
    for _ in range(3):
        logits.append(logits_of(model, batch, device).detach())
        teacher.remember(model)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.1)
    own = logits_of(model, batch, device)
    expected = 0.5 * ((own - (logits[1] + logits[2]) / 2) ** 2).mean()
    torch.testing.assert_close(teacher.losses(own, {}, batch)["distillation_loss"], expected)


def test_distances_by_hand():
    student, teacher = torch.tensor([[0.0, 2.0], [1.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    assert float(distance(student, teacher, DistillationConfig())) == pytest.approx((1 + 4) / 4)
    soft = DistillationConfig(loss="kl", temperature=2.0)
    p = np.exp([0.5, 0.0]) / np.exp([0.5, 0.0]).sum()
    q = np.exp([0.0, 1.0]) / np.exp([0.0, 1.0]).sum()
    assert float(distance(student, teacher, soft)) == pytest.approx(4 * (p * np.log(p / q)).sum() / 2)
    assert float(distance(student[:0], teacher[:0], soft)) == 0.0


def test_layers_are_matched_by_their_share_of_the_depth():
    assert matched_layers(2, 6, every=True) == [(0, 2), (1, 5)]
    assert matched_layers(4, 4, every=True) == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert matched_layers(3, 2, every=True) == [(0, 0), (1, 1), (2, 1)]
    assert matched_layers(2, 6, every=False) == [(1, 5)]


@pytest.mark.parametrize("family", LABELS)
def test_weight_zero_is_plain_training_bit_for_bit(family, request, task_vocabulary, tmp_path):
    folder = request.getfixturevalue("sentiment_folder" if family == "single_sentence" else "entity_folder")
    run_fine_tune(_job(folder, task_vocabulary, tmp_path / "plain", family))
    off = {"teacher": "averaged_weights", "last_steps": 2, "weight": 0.0}
    run_fine_tune(_job(folder, task_vocabulary, tmp_path / "off", family, distillation=off))
    assert _files(tmp_path / "off") == _files(tmp_path / "plain")
    # a teacher that is there and weighs nothing: the weights are those of plain training
    teacher = {"teacher": "model", "path": str(tmp_path / "plain"), "weight": 0.0, "hidden_states": "last"}
    run_fine_tune(
        _job(folder, task_vocabulary, tmp_path / "tiny", family, distillation=teacher | {"hidden_weight": 1e-30})
    )
    assert _files(tmp_path / "tiny")["model.safetensors"] == _files(tmp_path / "plain")["model.safetensors"]
    assert all(row["distillation_loss"] == 0.0 for row in _rows(tmp_path / "tiny"))


@pytest.mark.parametrize("teacher", ["averaged_weights", "averaged_predictions"])
def test_its_own_teacher_is_logged_apart_and_repeats_exactly(teacher, entity_folder, task_vocabulary, tmp_path):
    distillation = {"teacher": teacher, "last_steps": 2, "loss": "kl", "temperature": 2.0}
    for name in ("first", "second"):
        job = _job(entity_folder, task_vocabulary, tmp_path / name, "sequence_labelling", distillation=distillation)
        run_fine_tune(job)
    assert _files(tmp_path / "first") == _files(tmp_path / "second")
    rows = _rows(tmp_path / "first")
    assert "distillation_loss" not in rows[0]  # no step before it
    assert all(row["distillation_loss"] > 0 for row in rows[1:])
    assert all(row["loss"] == row["label_loss"] + row.get("distillation_loss", 0.0) for row in rows)
    run_fine_tune(_job(entity_folder, task_vocabulary, tmp_path / "plain", "sequence_labelling"))
    assert rows[0]["label_loss"] == _rows(tmp_path / "plain")[0]["loss"]
    assert _files(tmp_path / "first")["model.safetensors"] != _files(tmp_path / "plain")["model.safetensors"]


def test_a_larger_teacher_pulls_the_student_towards_its_outputs(sentiment_folder, task_vocabulary, tmp_path):
    wide = ModelConfig(num_layers=3, hidden_size=24, num_heads=2, intermediate_size=32, max_positions=64)
    job = _job(sentiment_folder, task_vocabulary, tmp_path / "teacher", epochs=6, batch_examples=8)
    run_fine_tune(replace(job, model=wide))
    settings = {"teacher": "model", "path": str(tmp_path / "teacher"), "weight": 20.0, "hidden_states": "all"}
    also: dict[str, Any] = {"epochs": 6, "batch_examples": 8, "fgm_epsilon": 0.1}
    run_fine_tune(_job(sentiment_folder, task_vocabulary, tmp_path / "student", distillation=settings, **also))
    rows = _rows(tmp_path / "student")
    assert rows[-1]["distillation_loss"] < 0.5 * rows[0]["distillation_loss"]
    assert rows[-1]["hidden_loss"] < rows[0]["hidden_loss"]
    saved = load_fine_tuned(tmp_path / "student").model
    assert saved.config.hidden_size == 16
    assert not [name for name in saved.state_dict() if "projection" in name]


def test_a_teacher_of_another_task_is_refused(sentiment_folder, entity_folder, task_vocabulary, tmp_path):
    run_fine_tune(_job(sentiment_folder, task_vocabulary, tmp_path / "teacher"))
    settings = {"teacher": "model", "path": str(tmp_path / "teacher")}
    job = _job(entity_folder, task_vocabulary, tmp_path / "out", "sequence_labelling", distillation=settings)
    with pytest.raises(CheckpointError, match=r"family 'single_sentence', expected 'sequence_labelling'; labels"):
        run_fine_tune(job)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"teacher": "model"}, "path is empty and teacher is model"),
        ({"path": "a"}, "path is 'a' and teacher is none"),
        (
            {"teacher": "averaged_weights", "hidden_states": "all"},
            "hidden_states is all and teacher is averaged_weights",
        ),
        ({"temperature": 2.0}, "temperature is 2 and loss is mse, expected kl"),
        ({"last_steps": 4}, "last_steps is 4 and teacher is none"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        DistillationConfig(**settings)
