"""A stage that ends on long examples: which step reads what, one learning rate, exact resumption across phases."""

import dataclasses
import json
from pathlib import Path

import pytest

from bert_core.config import TransferConfig
from bert_core.errors import CheckpointError, RequestError
from bert_core.training import loop
from bert_core.training.job import TransferJob
from bert_core.training.ranks import ALONE
from bert_core.training.step import phase_and_rows_of_step
from tests.training.two_ranks import NUM_STEPS, make_job, train

LONG = {"max_tokens": 48, "step_share": 0.4}  # the last 4 of 10 steps


@pytest.fixture
def job_of(tmp_path: Path, pretraining_folders: tuple[Path, Path], long_examples_folder: Path):
    """Return a maker of jobs with two phases by name."""

    def make(name: str, **changes) -> TransferJob:
        job = make_job(tmp_path, *pretraining_folders, name, **{"long_phase": LONG, **changes})
        model = job.model.model_copy(update={"max_positions": 48})
        return dataclasses.replace(job, long_examples_folder=long_examples_folder, model=model)

    return make


def rows_of(job: TransferJob, split: str) -> list[dict]:
    lines = (job.output_folder / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["split"] == split]


def test_the_first_steps_read_short_examples_and_the_last_ones_long(job_of, long_examples_folder: Path):
    job = job_of("job")
    training = loop._Training(job)
    for step in range(NUM_STEPS):
        phase, epoch, rows = phase_and_rows_of_step(job, step + 1)
        assert phase.folder == (job.examples_folder if step < 6 else long_examples_folder)
        assert epoch == (step if step < 6 else step - 6) // 4  # 30 examples in batches of 8; each phase has its epochs
        batch = training._draw(step)
        assert batch.example_ids.tolist() == phase.examples.take(rows).example_ids.tolist()
    assert training._draw(6).parts[0].input_ids_BS.shape[1] > 25  # longer than any short example
    assert len(training._draw(6).parts) == 2  # 8 examples of 32 tokens at once are 5 of 48


def test_the_learning_rate_runs_through_both_phases_and_evaluation_is_of_the_phase(job_of):
    two, one = job_of("two"), job_of("one", long_phase=None)
    one = dataclasses.replace(one, long_examples_folder=None)
    train(two, ALONE)
    train(one, ALONE)
    rates = [[row["learning_rate"] for row in rows_of(job, "train")] for job in (two, one)]
    assert rates[0] == rates[1]
    assert [(row["step"], row["max_tokens"]) for row in rows_of(two, "held_out")] == [(4, 32), (8, 48), (10, 48)]
    losses = [[row["loss"] for row in rows_of(job, "train")] for job in (two, one)]
    assert losses[0][:6] == losses[1][:6]
    assert losses[0][6:] != losses[1][6:]


@pytest.mark.parametrize("changes", [{}, {"pack_tokens": 40}])
def test_a_run_cut_in_either_phase_and_between_them_ends_with_the_same_bytes(job_of, changes: dict):
    undisturbed, cut = job_of("undisturbed", **changes), job_of("cut", **changes)
    train(undisturbed, ALONE)
    for step in range(1, NUM_STEPS + 1):
        train(cut, ALONE, step)
    assert train(cut, ALONE) == 8
    for path in undisturbed.output_folder.iterdir():
        assert (cut.output_folder / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_long_phase_has_rows_and_parts_of_as_many_tokens():
    settings = TransferConfig.model_validate(
        {"corpus": "raw", "batch_examples": 32, "pack_tokens": 256, "long_phase": {"max_tokens": 512}}
    )
    long = settings.as_long_phase()
    assert (long.examples.max_tokens, long.pack_tokens, long.part_examples, long.batch_examples) == (512, 512, 8, 32)
    assert settings.first_long_step() == 9_000
    assert settings.model_copy(update={"part_examples": 2}).as_long_phase().part_examples == 1


def test_a_long_phase_that_is_not_longer_or_that_the_model_cannot_read_is_refused(job_of):
    with pytest.raises(ValueError, match=r"long_phase.max_tokens is 128, expected more than examples.max_tokens, 128"):
        TransferConfig.model_validate({"corpus": "raw", "long_phase": {"max_tokens": 128}})
    job = job_of("job")
    with pytest.raises(CheckpointError, match=r"examples of 48 tokens, but .* 32 positions; lower long_phase"):
        train(dataclasses.replace(job, model=job.model.model_copy(update={"max_positions": 32})), ALONE)
    data = json.loads(dataclasses.replace(job, long_examples_folder=None).to_json())
    with pytest.raises(RequestError, match="expected both or neither"):
        TransferJob.from_dict(data)
    assert TransferJob.from_dict(json.loads(job.to_json())) == job
