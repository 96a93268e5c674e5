"""A moving average of the weights: its numbers, and that it is evaluated, handed on, and restored exactly."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from bert_core.model.exchange import load_pretraining
from bert_core.training import loop
from bert_core.training.averaging import AveragedWeights
from bert_core.training.ranks import ALONE
from tests.training.two_ranks import NUM_STEPS, make_job, train


def layer(value: float) -> nn.Linear:
    made = nn.Linear(1, 1, bias=False)
    nn.init.constant_(made.weight, value)
    return made


def test_the_average_moves_by_a_growing_decay_and_the_weights_come_back():
    model = layer(0.0)
    average = AveragedWeights(model, 0.25)
    seen = []
    for step in range(4):
        nn.init.constant_(model.weight, 1.0)
        average.update(step)
        with average.in_place():
            seen.append(model.weight.item())
        assert model.weight.item() == 1.0
    decays = [1 / 10, 2 / 11, 3 / 12, 0.25]  # (1 + t) / (10 + t), then at most 0.25
    expected, value = [], 0.0
    for decay in decays:
        value = decay * value + (1 - decay)
        expected.append(value)
    assert seen == pytest.approx(expected, rel=1e-6)


def test_without_a_decay_nothing_is_kept():
    model = layer(2.0)
    average = AveragedWeights(model, None)
    average.update(0)
    with average.in_place():
        assert model.weight.item() == 2.0
    assert average.tensors() == {}


def test_the_average_is_what_is_evaluated_and_handed_on_and_the_steps_are_the_same(
    tmp_path: Path, pretraining_folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
):
    plain = make_job(tmp_path, *pretraining_folders, "plain")
    averaged = make_job(tmp_path, *pretraining_folders, "averaged", average_decay=0.9)
    last: list[dict[str, torch.Tensor]] = []
    finish_of = loop._Training.finish

    def finish(training: loop._Training) -> dict:
        last.append({name: weight.clone() for name, weight in training.model.named_parameters()})
        return finish_of(training)

    monkeypatch.setattr(loop._Training, "finish", finish)
    train(plain, ALONE)
    train(averaged, ALONE)
    for name, weight in last[0].items():
        assert torch.equal(last[1][name], weight), name
    weights = [load_file(job.output_folder / "model.safetensors") for job in (plain, averaged)]
    assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    losses = [(job.output_folder / "metrics.jsonl").read_text() for job in (plain, averaged)]
    assert [line for line in losses[0].splitlines() if "train" in line] == [
        line for line in losses[1].splitlines() if "train" in line
    ]
    assert losses[0] != losses[1]  # evaluations differ
    assert load_pretraining(averaged.output_folder)[1].fresh == []


def test_a_run_with_an_average_cut_after_any_step_ends_with_the_same_bytes(
    tmp_path: Path, pretraining_folders: tuple[Path, Path]
):
    undisturbed, cut = (
        make_job(tmp_path, *pretraining_folders, name, average_decay=0.9) for name in ("undisturbed", "cut")
    )
    train(undisturbed, ALONE)
    for step in range(1, NUM_STEPS + 1, 3):
        train(cut, ALONE, step)
    train(cut, ALONE)
    for path in undisturbed.output_folder.iterdir():
        assert (cut.output_folder / path.name).read_bytes() == path.read_bytes(), path.name
