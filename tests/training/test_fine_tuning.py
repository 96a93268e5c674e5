import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from bert_core.config import FineTuneConfig, ModelConfig, OptimizationConfig, TaskConfig, TaskSource
from bert_core.corpus.tag_schemes import from_bio, tag_names
from bert_core.errors import CheckpointError, RequestError, TaskDataError, TrainingError
from bert_core.model.heads import load_fine_tuned
from bert_core.store.shards import list_array, list_column, read_shards, write_shards
from bert_core.training.fine_tune_job import FineTuneJob
from bert_core.training.fine_tune_start import balanced_weights, starting_model
from bert_core.training.fine_tuning import run_fine_tune
from bert_core.training.predict import Predictor
from bert_core.training.scoring import MAIN_SCORES
from bert_core.training.stopping import StopFlag, TrainingStopped

SIZES = ModelConfig(num_layers=2, hidden_size=32, num_heads=2, intermediate_size=64, max_positions=64)
LABELS = {"single_sentence": ["bad", "good"], "sequence_labelling": ["nr", "ns"]}


def _job(folder: Path, vocabulary: Path, output: Path, family: Any = "single_sentence", **settings: Any) -> FineTuneJob:
    output.mkdir(exist_ok=True)
    rate = settings.pop("learning_rate", 3e-3)
    fine_tune = FineTuneConfig(
        batch_examples=settings.pop("batch_examples", 8),
        max_tokens=32,
        optimization=OptimizationConfig(learning_rate=rate, warmup_fraction=0.1),
        **settings,
    )
    task = TaskConfig(
        family=family, sources=[TaskSource(path="x.jsonl")], labels=LABELS[family], compare=[], fine_tune=fine_tune
    )
    return FineTuneJob(
        labelled_folder=folder,
        vocabulary_folder=vocabulary,
        model=SIZES,
        task=task,
        seed=5,
        output_folder=output,
        num_threads=1,
        precision="float32",
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_classifier_learns_and_writes_its_files(sentiment_folder, task_vocabulary, tmp_path):
    seen: list[int] = []
    job = _job(sentiment_folder, task_vocabulary, tmp_path / "out", epochs=8)
    counts = run_fine_tune(job, lambda done, total, unit, **measures: seen.append(done))
    assert counts["test"]["accuracy"] > 0.9
    assert counts["steps"] == 8 * 12 == seen[-1]
    assert (counts["num_train_examples"], counts["num_dev_examples"], counts["num_test_examples"]) == (96, 24, 24)
    scores = json.loads((tmp_path / "out" / "scores.json").read_text(encoding="utf-8"))
    assert scores["test"] == counts["test"]
    assert scores["dev"] == counts["dev"]
    assert set(scores["test"]) >= {"accuracy", "macro_f1", "mcc", "confusion_matrix"}
    rows = _lines(tmp_path / "out" / "metrics.jsonl")
    assert [row["step"] for row in rows if row["split"] == "train"] == list(range(1, 97))
    assert [row["epoch"] for row in rows if row["split"] == "dev"] == list(range(1, 9))
    predictions = _lines(tmp_path / "out" / "predictions.jsonl")
    assert sum(line["gold"] == line["predicted"] for line in predictions) / 24 == counts["test"]["accuracy"]
    assert all(0.5 <= line["probability"] <= 1 for line in predictions)


def test_a_tagger_learns_and_merges_windows(entity_folder, task_vocabulary, tmp_path):
    job = _job(entity_folder, task_vocabulary, tmp_path / "out", "sequence_labelling", epochs=6)
    counts = run_fine_tune(job)
    assert counts["test"]["f1"] > 0.9
    assert counts["test"]["num_examples"] == 24  # records, though the shard has 28 windows
    assert set(counts["test"]["by_type"]) == {"nr", "ns"}
    predictions = _lines(tmp_path / "out" / "predictions.jsonl")
    assert len(predictions) == 24
    for line in predictions:
        for entity in line["gold"] + line["predicted"]:
            assert entity["text"] == line["text"][entity["start"] : entity["end"]]
    found = sum(entity in line["gold"] for line in predictions for entity in line["predicted"])
    assert found / sum(len(line["gold"]) for line in predictions) == pytest.approx(counts["test"]["recall"])


@pytest.mark.parametrize("family", LABELS)
def test_equal_jobs_give_equal_bytes(family, request, task_vocabulary, tmp_path):
    folder = request.getfixturevalue("sentiment_folder" if family == "single_sentence" else "entity_folder")
    for name in ("first", "second"):
        torch.manual_seed(len(name))  # the state of the global generator must not matter
        run_fine_tune(_job(folder, task_vocabulary, tmp_path / name, family, epochs=2))
    first = sorted((tmp_path / "first").iterdir())
    assert [path.name for path in first] == sorted(path.name for path in (tmp_path / "second").iterdir())
    for path in first:
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name


def test_the_weights_kept_are_those_of_the_best_epoch_on_dev(sentiment_folder, task_vocabulary, tmp_path):
    job = _job(sentiment_folder, task_vocabulary, tmp_path / "out", epochs=6, learning_rate=2e-2)
    counts = run_fine_tune(job)
    dev = [row for row in _lines(tmp_path / "out" / "metrics.jsonl") if row["split"] == "dev"]
    ranks = [(row[MAIN_SCORES["single_sentence"]], -row["loss"]) for row in dev]
    assert counts["best_epoch"] == 1 + ranks.index(max(ranks))
    assert counts["dev"]["macro_f1"] == max(ranks)[0]
    last = run_fine_tune(
        replace(
            _job(
                sentiment_folder,
                task_vocabulary,
                tmp_path / "last",
                epochs=6,
                learning_rate=2e-2,
                keep_best_on_dev=False,
            )
        )
    )
    assert last["best_epoch"] == 6
    assert last["dev"]["macro_f1"] == dev[-1]["macro_f1"]


def test_a_start_gives_its_encoder_and_like_gives_its_sizes(sentiment_folder, task_vocabulary, tmp_path):
    job = _job(sentiment_folder, task_vocabulary, tmp_path / "first", epochs=1)
    run_fine_tune(job)
    first = load_fine_tuned(tmp_path / "first").model
    other_sizes = ModelConfig(num_layers=1, hidden_size=16, num_heads=1)
    going_on = starting_model(replace(job, model=other_sizes, start=str(tmp_path / "first")), 34, 0)
    for name, weight in going_on.bert.state_dict().items():
        assert torch.equal(weight, first.bert.state_dict()[name]), name
    alike = starting_model(replace(job, model=other_sizes, like=str(tmp_path / "first")), 34, 0)
    shapes = {name: weight.shape for name, weight in alike.state_dict().items()}
    assert shapes == {name: weight.shape for name, weight in first.state_dict().items()}
    assert not torch.equal(alike.bert.pooler.dense.weight, first.bert.pooler.dense.weight)
    assert torch.equal(alike.classifier.weight, going_on.classifier.weight)  # the same head for every start


def test_a_tagger_starts_from_a_classifier(sentiment_folder, entity_folder, task_vocabulary, tmp_path):
    run_fine_tune(_job(sentiment_folder, task_vocabulary, tmp_path / "first", epochs=1))
    job = _job(entity_folder, task_vocabulary, tmp_path / "out", "sequence_labelling", epochs=1)
    counts = run_fine_tune(replace(job, start=str(tmp_path / "first")))
    assert counts["steps"] == 14


def test_dropout_of_the_task_goes_before_that_of_the_model(sentiment_folder, task_vocabulary, tmp_path):
    job = _job(sentiment_folder, task_vocabulary, tmp_path / "out", dropout=0.25)
    assert starting_model(job, 34, 0).config.hidden_dropout_prob == 0.25
    job = _job(sentiment_folder, task_vocabulary, tmp_path / "out")
    assert starting_model(job, 34, 0).config.hidden_dropout_prob == SIZES.dropout


def test_a_diverging_run_stops_before_its_weights_are_written(sentiment_folder, task_vocabulary, tmp_path, monkeypatch):
    import bert_core.model.heads as module

    monkeypatch.setattr(module, "classification_loss", lambda logits, labels: logits.sum() * float("nan"))
    job = _job(sentiment_folder, task_vocabulary, tmp_path / "out")
    with pytest.raises(TrainingError, match="step 0 of 36: loss nan"):
        run_fine_tune(job)
    assert list((tmp_path / "out").iterdir()) == []


def test_examples_that_do_not_fit_are_refused(sentiment_folder, entity_folder, task_vocabulary, tmp_path, write_split):
    job = _job(sentiment_folder, task_vocabulary, tmp_path / "out")
    with pytest.raises(TaskDataError, match="labels of train are not those"):
        run_fine_tune(_job(sentiment_folder, task_vocabulary, tmp_path / "out", "sequence_labelling"))
    (entity_folder / "labels.json").unlink()
    with pytest.raises(TaskDataError, match="labels of train are not those"):
        run_fine_tune(_job(entity_folder, task_vocabulary, tmp_path / "out"))
    (sentiment_folder / "labels.json").write_text('{"labels": ["good", "bad"]}', encoding="utf-8")
    with pytest.raises(TaskDataError, match="in this order"):
        run_fine_tune(job)
    (sentiment_folder / "labels.json").unlink()
    with pytest.raises(CheckpointError, match="16 positions"):
        run_fine_tune(replace(job, model=ModelConfig(num_layers=1, hidden_size=16, num_heads=1, max_positions=16)))
    empty = tmp_path / "empty"
    empty.mkdir()
    for split in ("train", "dev", "test"):
        write_split(empty, split, [], labels=[])
    with pytest.raises(TaskDataError, match="no training examples"):
        run_fine_tune(replace(job, labelled_folder=empty))


def test_a_start_of_another_vocabulary_is_refused(sentiment_folder, task_vocabulary, tmp_path):
    run_fine_tune(_job(sentiment_folder, task_vocabulary, tmp_path / "first", epochs=1))
    with pytest.raises(CheckpointError, match="34 entries, expected the 99"):
        starting_model(
            replace(_job(sentiment_folder, task_vocabulary, tmp_path / "out"), start=str(tmp_path / "first")), 99, 0
        )


def test_without_dev_the_last_epoch_is_kept(sentiment_folder, task_vocabulary, tmp_path, write_split):
    (path,) = sentiment_folder.glob("dev-*")
    path.unlink()
    write_split(sentiment_folder, "dev", [], labels=[])
    counts = run_fine_tune(_job(sentiment_folder, task_vocabulary, tmp_path / "out", epochs=2))
    assert counts["best_epoch"] == 2
    assert counts["dev"]["num_examples"] == 0


def test_a_job_survives_its_json_form(sentiment_folder, task_vocabulary, tmp_path):
    job = replace(_job(sentiment_folder, task_vocabulary, tmp_path / "out"), like="somewhere")
    data = json.loads(job.to_json())
    assert data["kind"] == "fine_tune"
    assert FineTuneJob.from_dict(data | {"resume_folder": "x", "runs_folder": "y"}) == job


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"start": "a", "like": "b"}, "random weights alone"), ({"epochs": 3}, "epochs"), ({"task": {}}, "family")],
)
def test_a_job_that_is_wrong_is_refused(changes, message, sentiment_folder, task_vocabulary, tmp_path):
    data = json.loads(_job(sentiment_folder, task_vocabulary, tmp_path / "out").to_json())
    with pytest.raises(RequestError, match=message):
        FineTuneJob.from_dict(data | changes)


def test_a_signal_while_dev_is_scored_stops_as_well(sentiment_folder, task_vocabulary, tmp_path):
    stop = StopFlag()

    def after_the_last_step(done: int, total: int, unit: str, **measures: float) -> None:
        if done == total:
            stop.ask(signal.SIGTERM)

    with pytest.raises(TrainingStopped, match="after 12 of 12 steps") as caught:
        run_fine_tune(_job(sentiment_folder, task_vocabulary, tmp_path / "out", epochs=1), after_the_last_step, stop)
    assert caught.value.exit_code == 143


def test_sigterm_ends_the_process_with_143(sentiment_folder, task_vocabulary, tmp_path):
    job = _job(sentiment_folder, task_vocabulary, tmp_path / "out", epochs=100_000)
    path = tmp_path / "job.json"
    path.write_text(job.to_json(), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "bert_core.training", str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert "progress" in process.stdout.readline()
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert time.monotonic() - began < 10
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("scheme", ["bio", "bioes"])
@pytest.mark.parametrize("crf", [False, True])
def test_a_tagger_of_either_scheme_learns_with_and_without_a_crf(scheme, crf, entity_folder, task_vocabulary, tmp_path):
    retag(entity_folder, scheme)
    job = _job(entity_folder, task_vocabulary, tmp_path / "out", "sequence_labelling", epochs=6, tags=scheme, crf=crf)
    counts = run_fine_tune(job)
    assert counts["test"]["f1"] > 0.9
    lines = _lines(tmp_path / "out" / "predictions.jsonl")
    predictor = Predictor.load(tmp_path / "out")
    found = predictor.predict([line["text"] for line in lines])
    short = [(one["entities"], line["predicted"]) for one, line in zip(found, lines, strict=True)]
    assert sum(one == other for one, other in short) >= 0.8 * len(short)  # windows of the fixture are its own
    model = load_fine_tuned(tmp_path / "out")
    assert (model.tags, model.model.crf is not None) == (scheme, crf)


def retag(folder: Path, scheme: Any) -> None:
    """Rewrite the BIO tags of a labelled folder, whose windows are tagged as wholes, in another scheme."""
    for path in folder.glob("*.arrow"):
        split = path.name.split("-")[0]
        table = read_shards(folder, split)
        ids, offsets = list_column(table, "token_labels")
        values = list_array(from_bio(ids, offsets, scheme), offsets, pa.int32())
        index = table.schema.get_field_index("token_labels")
        path.unlink()
        write_shards(folder, split, table.schema, [table.set_column(index, table.schema.field(index), values)])
    content = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    content["tags"] = tag_names(content["labels"], scheme)
    (folder / "labels.json").write_text(json.dumps(content), encoding="utf-8")


def test_frozen_layers_keep_their_weights_and_the_others_move(sentiment_folder, task_vocabulary, tmp_path):
    job = _job(sentiment_folder, task_vocabulary, tmp_path / "out", epochs=1, frozen_layers=1)
    before = starting_model(job, 34, 0).state_dict()
    run_fine_tune(job)
    after = load_fine_tuned(tmp_path / "out").model.state_dict()
    kept = {name for name in before if torch.equal(before[name], after[name])}
    expected = {name for name in before if ".embeddings." in name or ".layer.0." in name}
    assert kept == expected
    with pytest.raises(RequestError, match="frozen_layers is 3, expected at most the 2"):
        starting_model(_job(sentiment_folder, task_vocabulary, tmp_path / "out", frozen_layers=3), 34, 0)


def test_training_stops_once_dev_gains_nothing(sentiment_folder, task_vocabulary, tmp_path):
    settings: dict[str, Any] = {"epochs": 40, "learning_rate": 1e-9, "patience_epochs": 2}
    counts = run_fine_tune(_job(sentiment_folder, task_vocabulary, tmp_path / "out", **settings))
    dev = [row for row in _lines(tmp_path / "out" / "metrics.jsonl") if row["split"] == "dev"]
    assert counts["epochs"] == len(dev) < 40
    assert counts["epochs"] == counts["best_epoch"] + 2
    assert counts["steps"] == 12 * counts["epochs"]


def test_balanced_weights_are_those_of_scikit_learn():
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.array([0, 0, 0, 1, 2, 2])
    theirs = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(balanced_weights(labels, 3), theirs, rtol=1e-6)
    assert balanced_weights(np.array([0, 0, 2]), 3).tolist() == [0.75, 0.0, 1.5]


def test_class_weights_and_adversarial_passes_change_what_is_learned(sentiment_folder, task_vocabulary, tmp_path):
    def weight(name: str, **settings: Any) -> torch.Tensor:
        run_fine_tune(_job(sentiment_folder, task_vocabulary, tmp_path / name, epochs=1, **settings))
        return load_fine_tuned(tmp_path / name).model.classifier.weight.detach()

    plain = weight("plain")
    assert not torch.equal(plain, weight("adversarial", fgm_epsilon=1.0))
    assert torch.equal(plain, weight("balanced", class_weights="balanced"))  # the fixture's classes are even
