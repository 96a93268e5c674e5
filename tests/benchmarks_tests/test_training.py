"""The steps that are compared: both sides see the same work; no time is asserted."""

import sys

import pytest

from benchmarks import steps, training
from benchmarks.table import compare
from benchmarks.write_readme import _training


def test_both_sides_begin_with_the_same_loss_on_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "SIZES", {"tiny": (2, 32, 2, 4)})
    batches = steps.make_batches(24, 4)
    losses = {side: steps.step_of("tiny", side, batches)(0) for side in ("own", "own float32", "float32", "bfloat16")}
    for side, loss in losses.items():
        assert loss == pytest.approx(losses["float32"], abs=0.1), side  # dropout differs
    assert batches[0].target_ids_N.tolist() != batches[1].target_ids_N.tolist()
    inputs = steps.library_inputs(batches[0])
    assert inputs["labels"][inputs["labels"] != -100].tolist() == batches[0].target_ids_N.tolist()


def test_gradients_of_both_sides_are_compared_in_float32_and_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "SIZES", {"tiny": (2, 32, 2, 4)})
    distances = steps.gradient_distances("tiny")
    assert distances["own float32"] < 1e-6
    assert 1e-4 < distances["own bfloat16"] < 1.5 * distances["transformers autocast"]


def test_flops_of_a_step_are_counted_for_matrix_products() -> None:
    tokens = 2 * 128
    per_token = 2 * (24 * 128**2 + 4 * 128 * 128) + 0.15 * (2 * 128**2 + 2 * 128 * 21_128)
    assert steps.flops_of_step("tiny", 128, 2) == pytest.approx(3 * tokens * per_token)


def test_cuda_rows_are_left_out_where_there_is_no_device(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["training.py", "--device", "cuda"])
    assert training.main() == 0
    assert "no CUDA device" in capsys.readouterr().out


def test_the_page_says_how_near_gradients_are_and_which_goal_is_missed() -> None:
    row = compare("training step, tiny", 2.0, 1.0, "x", "examples/s", goal=3.0)
    machine = {"versions": {}, "cores": 2, "cpu": "c", "memory_gib": 1, "load_average": 0, "python": "3"}
    facts = {"check gradients tiny": {"own float32": 2e-7, "equal": True}}
    content = {"command": "x", "machine": machine, "facts": facts, "rows": [vars(row)]}
    page = "\n".join(_training(content, "quiet"))
    assert "- training step, tiny: 2 examples/s beside 1 of x (ratio 2, goal 3)" in page
    assert "- tiny: own float32 2e-07." in page
