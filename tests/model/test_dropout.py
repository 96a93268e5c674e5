"""Hash dropout: shares, scale, repetition, gradient."""

import numpy as np
import pytest
import torch
from torch import nn

from bert_core.model.dropout import Dropout, seed_dropout
from bert_core.randomness import draws


def test_kernel_draws_the_numbers_of_the_randomness_module():
    dropout = Dropout(0.25)
    seed_dropout(dropout, 9)
    kept = (dropout(torch.ones(1000)) != 0).numpy()
    parts = draws(dropout.key, 250).view(np.uint16)
    assert np.array_equal(kept, parts >= 16384)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_share_of_zeros_and_mean_are_as_asked(dtype: torch.dtype, probability: float):
    dropout = Dropout(probability)
    seed_dropout(dropout, 3)
    dropped = dropout(torch.ones(400_001, dtype=dtype))
    assert float((dropped == 0).float().mean()) == pytest.approx(probability, abs=0.003)
    assert float(dropped.float().mean()) == pytest.approx(1.0, abs=0.03)
    assert dropped.unique().numel() == 2


def test_bfloat16_products_are_rounded_as_torch_rounds_them():
    values = torch.randn(5000).to(torch.bfloat16)
    values[:4] = torch.tensor([float("inf"), float("-inf"), float("nan"), 3e38])
    dropout = Dropout(0.1)
    dropped = dropout(values)
    expected = (values.float() * (65536 / (65536 - 6554))).to(torch.bfloat16)
    kept = dropped != 0
    assert torch.equal(dropped[kept].nan_to_num(7.0), expected[kept].nan_to_num(7.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradient_is_dropped_where_the_value_was(dtype: torch.dtype):
    values = torch.rand(3, 50, 7, dtype=dtype) + 1
    values.requires_grad_()
    dropped = Dropout(0.4)(values)
    dropped.sum().backward()
    assert values.grad is not None
    scale = torch.tensor(65536 / (65536 - 26214), dtype=dtype)
    assert torch.equal(values.grad, torch.where(dropped != 0, scale, torch.zeros((), dtype=dtype)))


def test_gradient_that_does_not_lie_in_order_gets_the_same_places():
    values = torch.rand(6, 10, requires_grad=True)
    dropped = Dropout(0.5)(values)
    (dropped.t() * torch.ones(10, 6)).sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad != 0, dropped != 0)


def test_equal_seeds_repeat_and_parts_of_a_model_differ():
    model = nn.Sequential(Dropout(0.5), Dropout(0.5))
    ones = torch.ones(64)

    def kept_by_each(seed: int) -> list[torch.Tensor]:
        seed_dropout(model, seed)
        return [part(ones) for part in model]

    first, again, other = kept_by_each(1), kept_by_each(1), kept_by_each(2)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert not torch.equal(first[0], first[1])


def test_nothing_is_dropped_in_evaluation_or_at_probability_zero():
    values = torch.rand(100)
    assert Dropout(0.5).eval()(values) is values
    assert Dropout(0.0)(values) is values


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_draws_do_not_depend_on_the_number_of_threads(dtype: torch.dtype):
    values = torch.randn(3 * 65536 + 777, dtype=dtype)
    dropout, before = Dropout(0.3), torch.get_num_threads()
    try:
        results = []
        for num_threads in (1, 2, 3):
            torch.set_num_threads(num_threads)
            results.append(dropout(values))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])
