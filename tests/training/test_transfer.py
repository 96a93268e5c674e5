"""Pretraining end to end on a small set: what it writes, and that a run cut anywhere ends with the same bits."""

import dataclasses
import json
import logging
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bert_core.config import ExamplesConfig, ModelConfig, OptimizationConfig, TransferConfig
from bert_core.errors import CheckpointError, RequestError, TrainingError
from bert_core.examples.reader import ExampleSet
from bert_core.model.exchange import load_pretraining
from bert_core.progress import silent
from bert_core.training import loop
from bert_core.training.evaluation import evaluate_pretraining, evaluation_batches
from bert_core.training.job import TransferJob
from bert_core.training.loop import train_transfer
from bert_core.training.stopping import StopFlag, TrainingStopped

MakeJob = Callable[..., TransferJob]
NUM_STEPS = 14


@pytest.fixture
def make_job(tmp_path: Path, pretraining_folders: tuple[Path, Path]) -> MakeJob:
    """Return a job with folders of its own; 60 examples in batches of 8, so 14 steps pass through four epochs."""

    def make(name: str, *, transfer: dict | None = None, **changes) -> TransferJob:
        folders = {part: tmp_path / name / part for part in ("output", "resume", "runs")}
        folders["output"].mkdir(parents=True)
        settings = {
            "corpus": "raw",
            "examples": ExamplesConfig(max_tokens=32),
            "steps": NUM_STEPS,
            "batch_examples": 8,
            "optimization": OptimizationConfig(learning_rate=1e-2),
            "evaluate_every_steps": 5,
            "save_every_steps": 3,
        }
        job = TransferJob(
            examples_folder=pretraining_folders[0],
            vocabulary_folder=pretraining_folders[1],
            model=ModelConfig(num_layers=2, hidden_size=16, num_heads=2, intermediate_size=32, max_positions=32),
            transfer=TransferConfig(**{**settings, **(transfer or {})}),
            seed=3,
            output_folder=folders["output"],
            resume_folder=folders["resume"],
            runs_folder=folders["runs"],
            precision="float32",
        )
        return dataclasses.replace(job, **changes)

    return make


def output_bytes(job: TransferJob) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in job.output_folder.iterdir()}


class Cut(Exception):  # noqa: N818 -- it is no error
    """Stands for a death without notice."""


def cut_at(step: int) -> Callable[..., None]:
    """Return a progress listener that ends everything once `step` steps are done."""

    def listen(done: int, total: int, unit: str, **measures: float) -> None:
        if done == step:
            raise Cut

    return listen


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_cut_after_any_step_ends_with_the_same_bytes(make_job: MakeJob, precision):
    undisturbed = make_job("undisturbed", precision=precision)
    train_transfer(undisturbed, silent, StopFlag())
    cut = make_job("cut", precision=precision)
    for step in range(1, NUM_STEPS + 1):  # each attempt goes on from a checkpoint at most 3 steps old
        with pytest.raises(Cut):
            train_transfer(cut, cut_at(step), StopFlag())
    counts = train_transfer(cut, silent, StopFlag())
    assert counts["resumed_at_step"] == 12
    assert output_bytes(cut) == output_bytes(undisturbed)


def test_a_run_asked_to_stop_saves_says_so_and_goes_on_to_the_same_bytes(make_job: MakeJob):
    undisturbed, stopped = make_job("undisturbed"), make_job("stopped")
    train_transfer(undisturbed, silent, StopFlag())
    flag = StopFlag()

    def ask_after_7(done: int, total: int, unit: str, **measures: float) -> None:
        if done == 7:
            flag.ask(signal.SIGTERM)

    with pytest.raises(TrainingStopped, match="stopped by signal 15 after step 7 of 14; saved as step-7") as caught:
        train_transfer(stopped, ask_after_7, flag)
    assert caught.value.exit_code == 143
    assert sorted(path.name for path in stopped.resume_folder.iterdir()) == ["step-6", "step-7"]
    assert train_transfer(stopped, silent, StopFlag())["resumed_at_step"] == 7
    assert output_bytes(stopped) == output_bytes(undisturbed)


@pytest.mark.parametrize("step", [5, NUM_STEPS])
def test_an_evaluation_that_a_stop_cut_short_is_done_after_the_resume(make_job: MakeJob, step: int):
    undisturbed, stopped = make_job("undisturbed"), make_job("stopped")
    train_transfer(undisturbed, silent, StopFlag())
    flag = StopFlag()

    def ask(done: int, total: int, unit: str, **measures: float) -> None:
        if done == step:  # progress is told before the evaluation of that step
            flag.ask(signal.SIGINT)

    with pytest.raises(TrainingStopped) as caught:
        train_transfer(stopped, ask, flag)
    assert caught.value.exit_code == 130
    train_transfer(stopped, silent, StopFlag())
    assert output_bytes(stopped) == output_bytes(undisturbed)


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors", "history.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "missing", "flipped"])
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(
    make_job: MakeJob, file: str, damage: str, caplog: pytest.LogCaptureFixture
):
    job = make_job("job")
    with pytest.raises(Cut):
        train_transfer(job, cut_at(8), StopFlag())
    path = job.resume_folder / "step-6" / file
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 255
        path.write_bytes(content)
    with caplog.at_level(logging.WARNING), pytest.raises(Cut):
        train_transfer(job, cut_at(4), StopFlag())
    assert "step-6 is passed over" in caplog.text


def test_a_checkpoint_of_another_job_is_not_taken(make_job: MakeJob, caplog: pytest.LogCaptureFixture):
    job = make_job("job")
    with pytest.raises(Cut):
        train_transfer(job, cut_at(8), StopFlag())
    with caplog.at_level(logging.WARNING):
        counts = train_transfer(dataclasses.replace(job, seed=4), silent, StopFlag())
    assert counts["resumed_at_step"] == 0
    assert "belongs to a job with other settings" in caplog.text


def test_what_was_left_half_written_does_not_matter(make_job: MakeJob):
    job = make_job("job")
    with pytest.raises(Cut):
        train_transfer(job, cut_at(8), StopFlag())
    (job.resume_folder / "writing-9").mkdir()
    (job.resume_folder / "writing-9" / "model.safetensors").write_bytes(b"half")
    assert train_transfer(job, silent, StopFlag())["resumed_at_step"] == 6


def test_counts_and_metrics_say_the_same_and_training_learns(make_job: MakeJob):
    job = make_job("job", transfer={"steps": 120, "evaluate_every_steps": 40})
    counts = train_transfer(job, silent, StopFlag())
    rows = [json.loads(line) for line in (job.output_folder / "metrics.jsonl").read_text().splitlines()]
    train = [row for row in rows if row["split"] == "train"]
    held_out = [row for row in rows if row["split"] == "held_out"]
    assert [row["step"] for row in train] == list(range(1, 121))
    assert [row["step"] for row in held_out] == [40, 80, 120]
    assert counts["steps"] == 120
    assert counts["examples"] == train[-1]["examples"] == 900  # 30 examples in 4 steps
    assert counts["train_loss"] == pytest.approx(sum(row["loss"] for row in train[-12:]) / 12)
    assert counts["held_out_mlm_loss"] == held_out[-1]["mlm_loss"]
    assert held_out[-1]["examples"] == 12
    assert held_out[-1]["loss"] == pytest.approx(held_out[-1]["mlm_loss"] + held_out[-1]["nsp_loss"])
    first, last = (sum(row["mlm_loss"] for row in part) / 12 for part in (train[:12], train[-12:]))
    assert last < first - 0.2
    assert counts["tokens_per_second"] > 0
    assert not any("second" in key for row in rows for key in row)


def test_held_out_numbers_do_not_depend_on_the_batch_size_or_on_when_they_are_taken(make_job: MakeJob):
    job = make_job("job")
    train_transfer(job, silent, StopFlag())
    training = loop._Training(job)
    model, _ = load_pretraining(job.output_folder)
    last = json.loads((job.output_folder / "metrics.jsonl").read_text().splitlines()[-1])
    for batch_examples in (1, 5, 12):
        batches = evaluation_batches(
            ExampleSet.open(job.examples_folder, "held_out"),
            batch_examples,
            job.transfer.masking,
            training.batches.vocabulary,
            job.seed,
        )
        values = evaluate_pretraining(model, batches, training.device, StopFlag())
        assert values is not None
        for name, value in values.items():
            assert value == pytest.approx(last[name], rel=1e-4), name


def test_a_stage_starts_from_the_weights_of_the_one_before(make_job: MakeJob):
    first = make_job("first")
    train_transfer(first, silent, StopFlag())
    second = make_job(
        "second",
        start=str(first.output_folder),
        stage="domain_transfer",
        transfer={"steps": 1, "optimization": OptimizationConfig(learning_rate=1e-9)},
    )
    counts = train_transfer(second, silent, StopFlag())
    assert counts["start"].endswith("0 drawn anew, 0 unused")
    before = load_file(first.output_folder / "model.safetensors")
    after = load_file(second.output_folder / "model.safetensors")
    for name, weight in before.items():
        torch.testing.assert_close(after[name], weight, atol=1e-6, rtol=0)


def test_a_loss_that_is_not_finite_stops_before_the_weights_change(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch):
    job = make_job("job", transfer={"save_every_steps": 1})
    step_of = loop._Training._step

    def poisoned(training: loop._Training, batch, runs) -> None:
        if training.steps_done == 4:
            with torch.no_grad():
                training.model.cls.predictions.bias[9] = float("nan")
        step_of(training, batch, runs)

    monkeypatch.setattr(loop._Training, "_step", poisoned)
    with pytest.raises(TrainingError, match=r"loss nan, gradient norm nan at step 5.*bad-batch-step-5\.json"):
        train_transfer(job, silent, StopFlag())
    dump = json.loads((job.runs_folder / "bad-batch-step-5.json").read_text())
    assert len(dump["example_ids"]) == len(dump["masked_tokens"]) > 0
    assert dump["masked_tokens"][0].startswith("[CLS] ")
    kept = load_file(job.resume_folder / "step-4" / "model.safetensors")
    assert all(bool(weight.isfinite().all()) for weight in kept.values())


def test_a_start_that_does_not_fit_is_refused(make_job: MakeJob):
    long = make_job("long", model=ModelConfig(num_layers=1, hidden_size=16, num_heads=1, max_positions=16))
    with pytest.raises(CheckpointError, match="examples of 32 tokens, but the model knows 16 positions"):
        train_transfer(long, silent, StopFlag())
    first = make_job("first", transfer={"steps": 1})
    train_transfer(first, silent, StopFlag())
    from bert_core.tokens.vocabulary_files import load_vocabulary, write_vocabulary

    larger = first.runs_folder / "vocabulary"
    larger.mkdir()
    own = load_vocabulary(first.vocabulary_folder)
    write_vocabulary([*own[:9], "甲", *own[9:]], True, larger)
    second = make_job("second", start=str(first.output_folder), vocabulary_folder=larger)
    with pytest.raises(CheckpointError, match="as entry 9, the one of 51 entries has '甲'"):
        train_transfer(second, silent, StopFlag())
    for name in ("vocab.txt", "tokenizer.json"):
        (first.output_folder / name).unlink()
    with pytest.raises(CheckpointError, match="50 token embeddings, but the vocabulary has 51 entries"):
        train_transfer(second, silent, StopFlag())


def test_a_job_survives_json_and_says_what_is_wrong_with_it(make_job: MakeJob):
    job = make_job("job", start="models/x")
    data = json.loads(job.to_json())
    assert TransferJob.from_dict(data) == job
    for broken in ({**data, "seeds": 1}, {**data, "model": {"num_layers": 0}}, {"kind": "transfer"}):
        with pytest.raises(RequestError, match="job of kind 'transfer' cannot be read"):
            TransferJob.from_dict(broken)


def test_live_rows_and_tensorboard_events_lie_apart_from_the_output(make_job: MakeJob):
    job = make_job("job")
    train_transfer(job, silent, StopFlag())
    live = [json.loads(line) for line in (job.runs_folder / "live.jsonl").read_text().splitlines()]
    assert all(row["tokens_per_second"] > 0 for row in live if row["split"] == "train")
    assert list((job.runs_folder / "tensorboard").glob("events.*"))
    assert sorted(output_bytes(job)) == [
        "README.md",
        "config.json",
        "metrics.jsonl",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ]


PACKED = {"pack_tokens": 64, "part_examples": 3, "span_boundary": True}


def test_a_packed_run_in_parts_with_span_borders_cut_after_any_step_ends_with_the_same_bytes(make_job: MakeJob):
    undisturbed, cut = make_job("undisturbed", transfer=PACKED), make_job("cut", transfer=PACKED)
    train_transfer(undisturbed, silent, StopFlag())
    for step in (2, 5, 8, 11):
        with pytest.raises(Cut):
            train_transfer(cut, cut_at(step), StopFlag())
    assert train_transfer(cut, silent, StopFlag())["held_out_boundary_loss"] > 0
    assert output_bytes(cut) == output_bytes(undisturbed)


def test_the_span_boundary_head_lies_apart_and_is_taken_up_by_the_next_stage(make_job: MakeJob):
    first = make_job("first", transfer={**PACKED, "steps": 1})
    train_transfer(first, silent, StopFlag())
    assert not any("span_boundary" in name for name in load_file(first.output_folder / "model.safetensors"))
    again, report = load_pretraining(first.output_folder, with_span_boundary=True)
    assert again.span_boundary is not None
    assert (report.fresh, report.unused) == ([], [])
    stored = load_file(first.output_folder / "span_boundary.safetensors")
    for name, weight in again.span_boundary.state_dict().items():
        assert torch.equal(weight, stored[f"span_boundary.{name}"]), name


def test_evaluating_more_often_changes_nothing_of_the_training(make_job: MakeJob):
    seldom, often = make_job("seldom"), make_job("often", transfer={"evaluate_every_steps": 1})
    for job in (seldom, often):
        train_transfer(job, silent, StopFlag())
    assert output_bytes(seldom)["model.safetensors"] == output_bytes(often)["model.safetensors"]


@pytest.mark.slow
def test_every_step_of_thirty_restored_gives_the_same_losses_weights_and_moments(make_job: MakeJob):
    settings = {"steps": 30, "save_every_steps": 1, "keep_checkpoints": 30}  # 30 examples: epochs of 4 batches
    undisturbed = make_job("undisturbed", transfer=settings)
    train_transfer(undisturbed, silent, StopFlag())
    digests = {
        step: json.loads((undisturbed.resume_folder / f"step-{step}" / "state.json").read_text())["sha256"]
        for step in range(1, 30)
    }
    for step in range(1, 30):
        restored = make_job(f"from-{step}", transfer=settings)
        shutil.copytree(undisturbed.resume_folder / f"step-{step}", restored.resume_folder / f"step-{step}")
        assert train_transfer(restored, silent, StopFlag())["resumed_at_step"] == step
        for later in range(step + 1, 30):
            state = json.loads((restored.resume_folder / f"step-{later}" / "state.json").read_text())
            assert state["sha256"] == digests[later], (step, later)
        assert output_bytes(restored) == output_bytes(undisturbed)


def test_as_many_checkpoints_stay_as_were_asked_for_and_an_older_one_is_taken(make_job: MakeJob):
    job = make_job("job", transfer={"keep_checkpoints": 3})
    with pytest.raises(Cut):
        train_transfer(job, cut_at(13), StopFlag())
    assert sorted(path.name for path in job.resume_folder.iterdir()) == ["step-12", "step-6", "step-9"]
    for newer in ("step-12", "step-9"):
        (job.resume_folder / newer / "optimizer.safetensors").unlink()
    assert train_transfer(job, silent, StopFlag())["resumed_at_step"] == 6


def test_beginning_again_because_no_checkpoint_can_be_taken_is_said(
    make_job: MakeJob, caplog: pytest.LogCaptureFixture
):
    job = make_job("job")
    with pytest.raises(Cut):
        train_transfer(job, cut_at(4), StopFlag())
    (job.resume_folder / "step-3" / "state.json").unlink()
    with caplog.at_level(logging.WARNING):
        assert train_transfer(job, silent, StopFlag())["resumed_at_step"] == 0
    assert "none of 1 checkpoints" in caplog.text
