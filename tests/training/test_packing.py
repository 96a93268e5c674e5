"""Several examples in one row, and a step in several parts: the same losses and gradients as one example a row."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from bert_core.config import MaskingConfig, TransferConfig
from bert_core.examples.masking import MaskVocabulary
from bert_core.examples.reader import ExampleSet
from bert_core.model.encoder import BertConfig, initialise
from bert_core.model.pretraining import BertForPretraining
from bert_core.training.batches import DrawnBatch, Layout, draw_batch
from bert_core.training.packing import pack

ROWS = np.arange(0, 50, 3)
SEED = 1


@pytest.fixture(scope="module")
def opened(pretraining_folders: tuple[Path, Path]) -> tuple[ExampleSet, MaskVocabulary]:
    examples, vocabulary = pretraining_folders
    return ExampleSet.open(examples, "train"), MaskVocabulary.from_folder(vocabulary)


@pytest.fixture
def model() -> BertForPretraining:
    config = BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=32,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = BertForPretraining(config, with_span_boundary=True)
    initialise(model, SEED, 0.2)
    return model


def drawn(opened: tuple[ExampleSet, MaskVocabulary], layout: Layout, policy: str = "span") -> DrawnBatch:
    masking = MaskingConfig.model_validate({"policy": policy, "mlm_probability": 0.4})
    return draw_batch(opened[0], ROWS, masking, opened[1], SEED, 0, layout)


def step(model: BertForPretraining, batch: DrawnBatch) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Losses, hits and counts of a step, and its gradients."""
    model.zero_grad(set_to_none=True)
    sums = np.zeros(10)
    for part in batch.parts:
        output = model(part, batch.counts)
        output.loss.backward()
        names = ("loss", "mlm_loss", "nsp_loss", "boundary_loss", "mlm_correct", "num_mlm", "nsp_correct", "num_nsp")
        sums += [float(getattr(output, name)) for name in (*names, "boundary_correct", "num_boundary")]
    return sums.tolist(), {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}


@pytest.mark.parametrize(
    "layout",
    [
        Layout(pack_tokens=32, with_spans=True),
        Layout(pack_tokens=128, length_multiple=8, with_spans=True),
        Layout(part_examples=5, with_spans=True),
        Layout(pack_tokens=48, part_examples=7, with_spans=True),
    ],
    ids=["packed", "packed wide", "in parts", "packed in parts"],
)
def test_losses_and_every_gradient_equal_those_of_one_example_a_row(opened, model: BertForPretraining, layout: Layout):
    expected_sums, expected = step(model, drawn(opened, Layout(with_spans=True)))
    sums, gradients = step(model, drawn(opened, layout))
    assert sums == pytest.approx(expected_sums, rel=1e-5)
    assert gradients.keys() == expected.keys() == {name for name, _ in model.named_parameters()}
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6, msg=name)


def test_another_example_in_the_row_is_not_seen(opened, model: BertForPretraining):
    (part,) = drawn(opened, Layout(pack_tokens=64)).parts
    packing = part.packing
    assert packing is not None
    before = model.bert(
        part.input_ids_BS, part.token_type_ids_BS, part.lengths_B, packing.position_ids_BS, packing.examples_BS
    )[0]
    is_first = packing.examples_BS == packing.examples_BS[:, :1]
    changed = torch.where(is_first, part.input_ids_BS, 7)
    after = model.bert(changed, part.token_type_ids_BS, part.lengths_B, packing.position_ids_BS, packing.examples_BS)[0]
    torch.testing.assert_close(after[is_first], before[is_first])
    assert not torch.allclose(after[~is_first], before[~is_first])


def test_positions_begin_anew_and_each_example_has_its_own_first_token(opened):
    (part,) = drawn(opened, Layout(pack_tokens=64)).parts
    packing = part.packing
    assert packing is not None
    assert len(part.input_ids_BS) < len(ROWS) == len(packing.first_places_E)
    assert (part.input_ids_BS.flatten()[packing.first_places_E] == 2).all()
    assert (packing.position_ids_BS.flatten()[packing.first_places_E] == 0).all()
    lengths = opened[0].lengths[ROWS]
    for example, length in enumerate(lengths):
        places = packing.examples_BS == example
        assert packing.position_ids_BS[places].tolist() == list(range(length))


@pytest.mark.parametrize("policy", ["span", "token", "whole_word"])
def test_span_boundary_loss_equals_its_formula_restated(opened, model: BertForPretraining, policy: str):
    batch = drawn(opened, Layout(with_spans=True), policy)
    (part,) = batch.parts
    hidden, _ = model.bert(part.input_ids_BS, part.token_type_ids_BS, part.lengths_B)
    head, width = model.span_boundary, part.input_ids_BS.shape[1]
    assert head is not None
    target_of = dict(zip(part.target_positions_N.tolist(), part.target_ids_N.tolist(), strict=True))

    def layer(values: torch.Tensor, linear: torch.nn.Linear, norm: torch.nn.LayerNorm) -> torch.Tensor:
        return norm(F.gelu(values @ linear.weight.T + linear.bias))

    losses, hits = [], 0
    for place, token in sorted(target_of.items()):
        left, right = place, place
        while left in target_of:
            left -= 1
        while right in target_of:
            right += 1
        row = place // width
        assert row == left // width == right // width
        borders = [hidden[row, left % width], hidden[row, right % width]]
        inner = torch.cat([*borders, head.place_embeddings.weight[place - left - 1]])
        inner = layer(layer(inner, head.first, head.first_LayerNorm), head.second, head.second_LayerNorm)
        logits = model.bert.embeddings.word_embeddings.weight @ inner + head.bias
        losses.append(-logits.log_softmax(0)[token])
        hits += int(logits.argmax() == token)
    output = model(part)
    torch.testing.assert_close(output.boundary_loss, torch.stack(losses).mean().detach())
    assert (int(output.boundary_correct), output.num_boundary) == (hits, len(target_of))
    torch.testing.assert_close(output.loss, output.mlm_loss + output.nsp_loss + output.boundary_loss)


@given(st.lists(st.integers(3, 64), min_size=1, max_size=80))
@settings(max_examples=60, deadline=None)
def test_packed_examples_do_not_overlap_and_rows_stay_within_their_length(lengths: list[int]):
    sizes = np.array(lengths)
    row, column, num_rows, widest = pack(sizes, 64)
    taken = [(int(r), place) for r, c, size in zip(row, column, sizes, strict=True) for place in range(c, c + size)]
    assert len(set(taken)) == sizes.sum()
    assert max(place for _, place in taken) + 1 == widest <= 64
    assert set(row.tolist()) == set(range(num_rows))


def test_short_texts_fill_more_than_nine_tenths_and_eight_hundredths_of_packed_rows():
    lengths = np.clip(np.random.default_rng(0).lognormal(3.2, 0.7, 64), 3, 128).astype(np.int64)
    _, _, num_rows, widest = pack(lengths, 512)
    assert lengths.sum() / (num_rows * widest) > 0.98
    assert lengths.sum() / (len(lengths) * lengths.max()) < 0.35


def test_rows_shorter_than_an_example_are_refused():
    with pytest.raises(ValueError, match=r"pack_tokens is 64, expected at least examples.max_tokens, 128"):
        TransferConfig(corpus="raw", pack_tokens=64)
