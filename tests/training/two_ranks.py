"""What one of two processes does for test_ranks.py: trains alone and together, is cut, meets a NaN; no test itself.

RANK=0 WORLD_SIZE=2 python two_ranks.py FOLDER EXAMPLES VOCABULARY
"""

import dataclasses
import json
import sys
from pathlib import Path

import torch

from bert_core.config import ExamplesConfig, ModelConfig, OptimizationConfig, TransferConfig
from bert_core.errors import TrainingError
from bert_core.model.dropout import seed_dropout
from bert_core.progress import silent
from bert_core.training import loop
from bert_core.training.gradients import SummedGradients
from bert_core.training.job import TransferJob
from bert_core.training.ranks import ALONE, Ranks, joined_ranks
from bert_core.training.stopping import StopFlag

NUM_STEPS = 10


class Cut(Exception):  # noqa: N818 -- it is no error
    """Stands for a death without notice."""


def make_job(folder: Path, examples: Path, vocabulary: Path, name: str, **changes) -> TransferJob:
    """Return a job; 60 examples in batches of 8, so 10 steps pass through three epochs."""
    folders = {f"{part}_folder": folder / name / part for part in ("output", "resume", "runs")}
    folders["output_folder"].mkdir(parents=True, exist_ok=True)
    settings = {
        "corpus": "raw",
        "examples": ExamplesConfig(max_tokens=32),
        "steps": NUM_STEPS,
        "batch_examples": 8,
        "optimization": OptimizationConfig(learning_rate=1e-2),
        "evaluate_every_steps": 4,
        "save_every_steps": 2,
        "processes": 2,
        **changes,
    }
    return TransferJob(
        examples_folder=examples,
        vocabulary_folder=vocabulary,
        model=ModelConfig(num_layers=1, hidden_size=16, num_heads=2, intermediate_size=32, max_positions=32),
        transfer=TransferConfig.model_validate(settings),
        seed=3,
        **folders,
        num_threads=1,
        precision="float32",
    )


def train(job: TransferJob, ranks: Ranks, cut_at: int | None = None) -> int:
    """Train to the end or to a step; return the step that it went on from."""

    def listen(done: int, total: int, unit: str, **measures: float) -> None:
        if done == cut_at:
            raise Cut

    try:
        return loop.train_transfer(job, listen, StopFlag(), ranks)["resumed_at_step"]
    except Cut:
        return -1


def train_until_nan(job: TransferJob, ranks: Ranks) -> dict:
    """Let the second rank meet a NaN in its weights in step 5, and say what each saw."""
    seen: dict = {}
    step_of = loop._Training._step

    def poisoned(training: loop._Training, batch, runs) -> None:
        if training.steps_done == 4 and not ranks.is_first:
            with torch.no_grad():
                training.model.cls.predictions.bias[9] = float("nan")
        seen["training"] = training
        step_of(training, batch, runs)

    loop._Training._step = poisoned
    try:
        loop.train_transfer(job, silent, StopFlag(), ranks)
    except TrainingError as error:
        weights = seen["training"].model.state_dict()
        is_finite = all(bool(weight.isfinite().all()) for weight in weights.values())
        return {"message": str(error), "steps_done": seen["training"].steps_done, "is_finite": is_finite}
    finally:
        loop._Training._step = step_of
    return {}


def compare_buckets(job: TransferJob, ranks: Ranks) -> int:
    """Return how many gradients in small buckets differ from the plain sum over the ranks."""
    training = loop._Training(dataclasses.replace(job), ranks)
    (part,) = training._draw(0).parts
    seed_dropout(training.model, 1)
    training.model(part).loss.backward()
    expected = [ranks.total(each.grad.clone()) for each in training.model.parameters() if each.grad is not None]
    small = SummedGradients(training.model, ranks, bucket_bytes=1000)
    for overlaps in (False, True):  # with the last backward pass, or after it
        small.begin()
        for is_last in (False, True):  # gradients of two parts add up
            if is_last and overlaps:
                small.begin_last_part()
            seed_dropout(training.model, 1)
            training.model(part).loss.backward()
        small.finish()
        assert len(small._buckets) > 5
    return sum(
        not torch.equal(2 * before, after.grad)
        for before, after in zip(expected, training.model.parameters(), strict=True)
        if after.grad is not None
    )


def main(folder: Path, examples: Path, vocabulary: Path) -> None:
    """Do everything and write what is to be compared."""
    report: dict = {}
    with joined_ranks(f"file://{folder}/meeting") as ranks:

        def job(name: str, **changes) -> TransferJob:
            return make_job(folder, examples, vocabulary, name, **changes)

        train(job("together"), ranks)
        train(job("together_in_parts", part_examples=2, pack_tokens=64, span_boundary=True), ranks)
        train(job("few", batch_examples=1, part_examples=1, steps=3), ranks)
        if ranks.is_first:
            train(job("alone", part_examples=4), ALONE)
            train(job("alone_in_parts", part_examples=2, pack_tokens=64, span_boundary=True), ALONE)
            train(job("few_alone", batch_examples=1, part_examples=1, steps=3), ALONE)
        report["resumed_at"] = [train(job("cut"), ranks, step) for step in range(1, NUM_STEPS + 1)]
        report["resumed_at"].append(train(job("cut"), ranks))
        report["nan"] = train_until_nan(job("nan", save_every_steps=1), ranks)
        report["wrong_buckets"] = compare_buckets(job("buckets"), ranks)
    (folder / f"report-{ranks.rank}.json").write_text(json.dumps(report), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
