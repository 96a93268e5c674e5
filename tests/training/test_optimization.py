"""Groups, rates and clipping."""

import pytest
import torch
from torch import nn

from bert_core.config import OptimizationConfig
from bert_core.model.encoder import BertConfig
from bert_core.model.pretraining import BertForPretraining
from bert_core.training.optimization import build_optimizer, clip_gradients, set_learning_rate

CONFIG = BertConfig(vocab_size=20, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16)


@pytest.mark.parametrize(
    ("schedule", "warmup_fraction", "expected"),
    [
        ("linear", 0.5, [0.5, 1.0, 1.0, 0.5]),
        ("linear", 0.0, [1.0, 0.75, 0.5, 0.25]),
        ("constant", 0.5, [0.5, 1.0, 1.0, 1.0]),
        ("cosine", 0.0, [1.0, 0.8535533905932737, 0.5, 0.14644660940672627]),
        ("linear", 1.0, [0.25, 0.5, 0.75, 1.0]),
    ],
)
def test_rate_of_each_step(schedule, warmup_fraction: float, expected: list[float]):
    config = OptimizationConfig(learning_rate=0.1, warmup_fraction=warmup_fraction, schedule=schedule)
    _, rate = build_optimizer(nn.Linear(1, 1), config, 4)
    assert [rate(step) for step in range(4)] == pytest.approx([0.1 * each for each in expected])


def test_biases_and_layer_norms_do_not_decay():
    model = BertForPretraining(CONFIG)
    optimizer, _ = build_optimizer(model, OptimizationConfig(weight_decay=0.03), 10)
    decay_of = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        assert decay_of[id(parameter)] == (0.0 if name.endswith("bias") or "LayerNorm" in name else 0.03), name
    assert len(decay_of) == len(list(model.parameters()))


def test_layer_decay_lowers_the_rate_from_the_head_to_the_embeddings():
    model = BertForPretraining(CONFIG)
    optimizer, _ = build_optimizer(model, OptimizationConfig(layer_decay=0.5), 10)
    set_learning_rate(optimizer, 1e-3)
    rate_of = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    names = {
        "cls.seq_relationship.weight": 1.0,
        "bert.pooler.dense.weight": 1.0,
        "bert.encoder.layer.1.output.dense.weight": 0.5,
        "bert.encoder.layer.0.output.dense.weight": 0.25,
        "bert.embeddings.word_embeddings.weight": 0.125,
    }
    parameters = dict(model.named_parameters())
    for name, factor in names.items():
        assert rate_of[id(parameters[name])] == pytest.approx(1e-3 * factor), name


def test_long_gradients_are_cut_and_short_ones_left():
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.grad = torch.tensor([[3.0, 4.0]])
    assert clip_gradients(layer, 10.0) == 5.0
    assert layer.weight.grad.tolist() == [[3.0, 4.0]]
    assert clip_gradients(layer, 1.0) == 5.0
    assert float(layer.weight.grad.norm()) == pytest.approx(1.0, rel=1e-5)


def test_gradients_that_are_not_finite_are_told_of_and_left():
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.grad = torch.tensor([[float("inf"), 4.0]])
    assert clip_gradients(layer, 1.0) == float("inf")
    assert layer.weight.grad.tolist() == [[float("inf"), 4.0]]


def test_a_step_equals_plain_adamw_with_decay():
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    other = nn.Linear(3, 2)
    other.load_state_dict(model.state_dict())
    config = OptimizationConfig(learning_rate=0.01, weight_decay=0.1, adam_beta2=0.98)
    optimizer, _ = build_optimizer(model, config, 10)
    plain = torch.optim.AdamW(
        [{"params": [other.weight], "weight_decay": 0.1}, {"params": [other.bias], "weight_decay": 0.0}],
        lr=0.01,
        betas=(0.9, 0.98),
        eps=1e-6,
        foreach=False,
    )
    inputs = torch.randn(4, 3)
    for each, step_of in ((model, optimizer), (other, plain)):
        for _ in range(3):
            step_of.zero_grad()
            each(inputs).square().sum().backward()
            step_of.step()
    torch.testing.assert_close(model.weight, other.weight)
    torch.testing.assert_close(model.bias, other.bias)
