"""How far the gradients of the path that trains are from those of transformers in float32, dropout off."""

import contextlib

import pytest
import torch
from transformers import BertConfig as LibraryConfig
from transformers import BertForPreTraining

from bert_core.model.encoder import BertConfig, initialise
from bert_core.model.exchange import to_transformers
from bert_core.model.pretraining import BertForPretraining, PretrainingBatch

VOCAB_SIZE, NUM_EXAMPLES, NUM_TOKENS = 3000, 16, 96
SIZES = {
    "tiny": {"num_hidden_layers": 2, "hidden_size": 128, "num_attention_heads": 2, "intermediate_size": 512},
    "mini": {"num_hidden_layers": 4, "hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 1024},
}


def autocast(is_bfloat16: bool) -> contextlib.AbstractContextManager:
    return torch.autocast("cpu", torch.bfloat16) if is_bfloat16 else contextlib.nullcontext()


def own_gradient(model: BertForPretraining, batch: PretrainingBatch, *, is_bfloat16: bool) -> torch.Tensor:
    model.zero_grad()
    with autocast(is_bfloat16):
        loss = model(batch).loss
    loss.backward()
    gradients = to_transformers({name: part.grad for name, part in model.named_parameters() if part.grad is not None})
    return torch.cat([gradients[name].flatten() for name in sorted(gradients) if ".decoder." not in name])


def library_gradient(model: BertForPreTraining, batch: PretrainingBatch, *, is_bfloat16: bool) -> torch.Tensor:
    labels = torch.full((NUM_EXAMPLES * NUM_TOKENS,), -100)
    labels[batch.target_positions_N] = batch.target_ids_N
    model.zero_grad()
    with autocast(is_bfloat16):
        loss = model(
            input_ids=batch.input_ids_BS,
            token_type_ids=batch.token_type_ids_BS,
            labels=labels.view(NUM_EXAMPLES, NUM_TOKENS),
            next_sentence_label=batch.next_sentence_labels_B,
        ).loss
    loss.backward()
    gradients = {name: part.grad for name, part in model.named_parameters() if part.grad is not None}
    return torch.cat([gradients[name].flatten() for name in sorted(gradients) if ".decoder." not in name])


@pytest.mark.parametrize("size", SIZES)
def test_gradients_are_those_of_float32_and_of_bfloat16_no_further_than_autocast_of_transformers(size: str):
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = BertForPretraining(BertConfig(vocab_size=VOCAB_SIZE, **SIZES[size], **no_dropout))
    initialise(model, 7)
    library = BertForPreTraining(LibraryConfig(vocab_size=VOCAB_SIZE, **SIZES[size], **no_dropout))
    library.load_state_dict(to_transformers(model.state_dict()), strict=False)
    library.tie_weights()
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(5, VOCAB_SIZE, (NUM_EXAMPLES, NUM_TOKENS), generator=generator)
    places = torch.arange(0, ids.numel(), 7)
    batch = PretrainingBatch(
        ids,
        (torch.arange(NUM_TOKENS) >= 40).long().expand_as(ids).contiguous(),
        torch.full((NUM_EXAMPLES,), NUM_TOKENS),
        places,
        torch.randint(5, VOCAB_SIZE, places.shape, generator=generator),
        torch.arange(NUM_EXAMPLES) % 2,
    )
    expected = library_gradient(library, batch, is_bfloat16=False)

    def distance(gradient: torch.Tensor) -> float:
        assert gradient.shape == expected.shape
        return float((gradient - expected).norm() / expected.norm())

    assert distance(own_gradient(model, batch, is_bfloat16=False)) < 1e-6
    theirs = distance(library_gradient(library, batch, is_bfloat16=True))
    assert 1e-4 < distance(own_gradient(model, batch, is_bfloat16=True)) < 1.5 * theirs
