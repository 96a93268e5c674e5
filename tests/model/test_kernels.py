"""Compiled passes of attention and cross-entropy against torch's own operations."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from bert_core.model.attention import attention
from bert_core.model.bfloat16 import exp_of_nonpositive, narrow, widen
from bert_core.model.cross_entropy import cross_entropy
from bert_core.model.dropout import drop
from bert_core.model.kernels import as_numbers, in_threads

KEY = np.uint64(77)


@settings(deadline=None, max_examples=200)
@given(st.floats(width=32, allow_nan=False))
def test_bfloat16_is_rounded_and_widened_as_torch_does(value: float):
    expected = torch.tensor(value).to(torch.bfloat16)
    bits = as_numbers(expected.view(1))[0]
    assert narrow(np.float32(value)) == bits
    assert widen(bits) == float(expected)


def test_exponential_is_exact_to_a_few_ten_millionths_and_zero_far_below():
    x = np.linspace(-87, 0, 20_001, dtype=np.float32)
    found = np.array([exp_of_nonpositive(value) for value in x])
    np.testing.assert_allclose(found, np.exp(x.astype(np.float64)), rtol=2e-7)
    assert [exp_of_nonpositive(np.float32(value)) for value in (-0.0, -87.1, -1e30, -np.inf)] == [1, 0, 0, 0]
    assert math.isnan(exp_of_nonpositive(np.float32(np.nan)))


def test_ranges_of_threads_cover_every_item_once_and_begin_at_multiples():
    found: list[tuple[int, int]] = []
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        in_threads(lambda start, stop: found.append((start, stop)), 100, smallest=30, multiple=8)
        in_threads(lambda start, stop: found.append((start, stop)), 59, smallest=30)
        in_threads(lambda start, stop: found.append((start, stop)), 0, smallest=30)
    finally:
        torch.set_num_threads(before)
    assert sorted(found[:3]) == [(0, 40), (40, 80), (80, 100)]
    assert found[3:] == [(0, 59), (0, 0)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("num_rows", "num_classes"), [(1, 2), (7, 63), (40, 64), (33, 1000)])
def test_cross_entropy_hits_and_gradient_are_those_of_torch(dtype: torch.dtype, num_rows: int, num_classes: int):
    generator = torch.Generator().manual_seed(num_classes)
    logits = (4 * torch.randn(num_rows, num_classes, generator=generator)).to(dtype).requires_grad_()
    labels = torch.randint(0, num_classes, (num_rows,), generator=generator)
    labels[1::3] = -100
    loss, hits = cross_entropy(logits, labels, 5)
    (3 * loss).backward()
    again = logits.detach().float().requires_grad_()
    expected = F.cross_entropy(again, labels, reduction="sum") / 5
    (3 * expected).backward()
    torch.testing.assert_close(loss, expected)
    assert int(hits) == int((again.argmax(-1) == labels).sum())
    assert logits.grad is not None
    assert again.grad is not None
    rtol, atol = (1e-5, 1e-7) if dtype == torch.float32 else (1.2e-2, 1e-4)
    torch.testing.assert_close(logits.grad.float(), again.grad, rtol=rtol, atol=atol)


def test_the_first_of_equal_logits_is_the_one_that_is_right():
    logits = torch.tensor([[1.0, 5.0, 5.0], [1.0, 5.0, 5.0]])
    assert int(cross_entropy(logits, torch.tensor([1, 2]), 2)[1]) == 1


def test_rows_without_a_label_or_no_rows_at_all_have_loss_zero():
    for logits in (torch.randn(3, 4, requires_grad=True), torch.randn(0, 4, requires_grad=True)):
        loss, hits = cross_entropy(logits, torch.full((len(logits),), -100), 0)
        loss.backward()
        assert (float(loss.detach()), int(hits)) == (0.0, 0)
        assert logits.grad is not None
        assert not logits.grad.any()


def test_a_logit_that_is_not_finite_makes_the_loss_not_finite():
    for value in (float("nan"), float("inf")):
        logits = torch.zeros(2, 100)
        logits[1, 70] = value
        assert math.isnan(float(cross_entropy(logits, torch.tensor([0, 1]), 2)[0]))


def test_a_label_beyond_the_classes_is_refused():
    with pytest.raises(IndexError, match="label 4, expected one below the 4 classes"):
        cross_entropy(torch.zeros(2, 4), torch.tensor([0, 4]), 2)


def written_out(qkv: torch.Tensor, bias: torch.Tensor | None, threshold: int) -> torch.Tensor:
    """The formula in torch's operations, with the hash's dropout."""
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])
    weights = (scores if bias is None else scores + bias).softmax(-1)
    if threshold:
        weights = weights * drop(torch.ones_like(weights), KEY, threshold)
    return (weights @ v).transpose(1, 2).flatten(2)


@pytest.mark.parametrize("threshold", [0, 6554])
@pytest.mark.parametrize("mask", ["none", "padding", "packed"])
@pytest.mark.parametrize(("width", "num_heads", "head_size"), [(1, 1, 8), (5, 3, 7), (33, 2, 16), (64, 1, 64)])
def test_attention_and_its_gradient_are_those_of_the_formula(mask, threshold, width, num_heads, head_size):
    generator = torch.Generator().manual_seed(width)
    qkv = torch.randn(3, width, 3, num_heads, head_size, generator=generator)
    outer = torch.randn(3, width, num_heads * head_size, generator=generator)
    bias = None
    if mask == "padding":
        bias = torch.zeros(3, 1, 1, width)
        bias[1, ..., width // 2 + 1 :] = -1e30
    elif mask == "packed":
        example = torch.arange(width) // 3
        bias = torch.where(example[:, None] == example, 0.0, -1e30).expand(3, 1, width, width)
    ours, theirs = qkv.clone().requires_grad_(), qkv.clone().requires_grad_()
    found, expected = attention(ours, bias, KEY, threshold), written_out(theirs, bias, threshold)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    (found * outer).sum().backward()
    (expected * outer).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)


def test_attention_in_bfloat16_is_near_the_formula_and_does_not_depend_on_the_number_of_threads():
    generator = torch.Generator().manual_seed(1)
    qkv = torch.randn(4, 100, 3, 4, 32, generator=generator)
    outer = torch.randn(4, 100, 128, generator=generator)
    before, found = torch.get_num_threads(), []
    try:
        for num_threads in (1, 2, 3):
            torch.set_num_threads(num_threads)
            ours = qkv.to(torch.bfloat16).requires_grad_()
            mixed = attention(ours, None, KEY, 6554)
            (mixed * outer).sum().backward()
            assert ours.grad is not None
            found.append((mixed.detach(), ours.grad))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(mixed, found[0][0]) and torch.equal(grad, found[0][1]) for mixed, grad in found)
    theirs = qkv.to(torch.bfloat16).float().requires_grad_()
    expected = written_out(theirs, None, 6554)
    (expected * outer).sum().backward()
    assert theirs.grad is not None
    for ours, exact in ((found[0][0], expected), (found[0][1], theirs.grad)):
        assert float((ours.float() - exact).norm() / exact.norm()) < 0.01
