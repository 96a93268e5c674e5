"""The encoder and its pretraining heads against transformers, in float32."""

import pytest
import torch
from torch.nn import functional as F
from transformers import BertConfig as LibraryConfig
from transformers import BertForPreTraining

from bert_core.errors import CheckpointError
from bert_core.model.encoder import BertConfig, BertEncoder, initialise
from bert_core.model.exchange import from_transformers, to_transformers
from bert_core.model.pretraining import BertForPretraining, PretrainingBatch

VOCAB_SIZE = 90
LENGTHS = [12, 7, 1, 10]


def config_of(dropout: float = 0.0) -> BertConfig:
    return BertConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=40,
        max_position_embeddings=32,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )


def batch_of(lengths: list[int], labels: list[int], width: int = 12) -> PretrainingBatch:
    generator = torch.Generator().manual_seed(5)
    lengths_tensor = torch.tensor(lengths)
    is_token = torch.arange(width) < lengths_tensor[:, None]
    ids = torch.randint(5, VOCAB_SIZE, is_token.shape, generator=generator) * is_token
    segments = ((torch.arange(width) >= 5) & is_token).long()
    places = is_token.flatten().nonzero().flatten()[::4]
    targets = torch.randint(5, VOCAB_SIZE, places.shape, generator=generator)
    return PretrainingBatch(ids, segments, lengths_tensor, places, targets, torch.tensor(labels))


def library_model(model: BertForPretraining) -> BertForPreTraining:
    """The library's model with the same weights."""
    config = model.config
    library = BertForPreTraining(
        LibraryConfig(
            vocab_size=VOCAB_SIZE,
            hidden_size=config.hidden_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            intermediate_size=config.intermediate_size,
            max_position_embeddings=config.max_position_embeddings,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )
    missing, unexpected = library.load_state_dict(to_transformers(model.state_dict()), strict=False)
    assert not unexpected
    assert all("decoder" in name for name in missing)
    library.tie_weights()
    return library


def perturbed_model(dropout: float = 0.0) -> BertForPretraining:
    """A model whose biases and layer norms are not at their plain initial values."""
    model = BertForPretraining(config_of(dropout))
    initialise(model, 1, 0.3)
    with torch.no_grad():
        for index, parameter in enumerate(model.parameters()):
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(index))
    return model


@pytest.mark.parametrize("lengths", [LENGTHS, [12, 12, 12, 12]])
@pytest.mark.parametrize("labels", [[0, 1, 1, 0], [0, -100, 1, -100], [-100, -100, -100, -100]])
def test_logits_losses_and_gradients_equal_those_of_transformers(lengths: list[int], labels: list[int]):
    model, batch = perturbed_model(), batch_of(lengths, labels)
    library = library_model(model)
    output = model(batch)
    output.loss.backward()

    mask = (torch.arange(12) < batch.lengths_B[:, None]).long()
    expected = library(input_ids=batch.input_ids_BS, token_type_ids=batch.token_type_ids_BS, attention_mask=mask)
    expected_mlm = expected.prediction_logits.flatten(0, 1)[batch.target_positions_N]
    mlm_loss = F.cross_entropy(expected_mlm, batch.target_ids_N)
    is_pair = batch.next_sentence_labels_B != -100
    nsp_loss = (
        F.cross_entropy(expected.seq_relationship_logits, batch.next_sentence_labels_B)
        if is_pair.any()
        else torch.tensor(0.0)
    )
    (mlm_loss + nsp_loss).backward()

    mlm_logits, nsp_logits = model.logits(batch)
    torch.testing.assert_close(mlm_logits, expected_mlm, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(nsp_logits, expected.seq_relationship_logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(output.loss, mlm_loss + nsp_loss)
    torch.testing.assert_close((output.mlm_loss, output.nsp_loss), (mlm_loss, nsp_loss))
    assert int(output.mlm_correct) == int((expected_mlm.argmax(-1) == batch.target_ids_N).sum())
    assert (output.num_mlm, int(output.num_nsp)) == (len(batch.target_ids_N), int(is_pair.sum()))

    gradients = to_transformers({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    compared = 0
    for name, parameter in library.named_parameters():
        if parameter.grad is None:
            assert name not in gradients or not gradients[name].any()
            continue
        torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-3, atol=1e-5, msg=name)
        compared += 1
    assert compared >= 50


def test_loss_equals_that_of_transformers_with_its_own_labels():
    model, batch = perturbed_model(), batch_of(LENGTHS, [0, 1, 1, 0])
    labels = torch.full((4 * 12,), -100)
    labels[batch.target_positions_N] = batch.target_ids_N
    expected = library_model(model)(
        input_ids=batch.input_ids_BS,
        token_type_ids=batch.token_type_ids_BS,
        attention_mask=(torch.arange(12) < batch.lengths_B[:, None]).long(),
        labels=labels.view(4, 12),
        next_sentence_label=batch.next_sentence_labels_B,
    )
    torch.testing.assert_close(model(batch).loss, expected.loss)


def test_padding_does_not_change_what_the_model_says():
    model = perturbed_model().eval()
    narrow, wide = batch_of([12, 7, 3, 10], [0, 1, 1, 0]), batch_of([12, 7, 3, 10], [0, 1, 1, 0])
    ids = F.pad(wide.input_ids_BS, (0, 8), value=77)  # whatever stands there
    hidden, pooled = model.bert(ids, F.pad(wide.token_type_ids_BS, (0, 8), value=1), wide.lengths_B)
    expected_hidden, expected_pooled = model.bert(narrow.input_ids_BS, narrow.token_type_ids_BS, narrow.lengths_B)
    is_token = torch.arange(12) < narrow.lengths_B[:, None]
    torch.testing.assert_close(hidden[:, :12][is_token], expected_hidden[is_token], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(pooled, expected_pooled, rtol=1e-4, atol=1e-5)


def test_position_ids_move_tokens_to_other_positions():
    encoder = BertEncoder(config_of()).eval()
    initialise(encoder, 1)
    ids = torch.tensor([[5, 6, 7]])
    plain, _ = encoder(ids, torch.zeros_like(ids))
    same, _ = encoder(ids, torch.zeros_like(ids), position_ids_BS=torch.tensor([[0, 1, 2]]))
    moved, _ = encoder(ids, torch.zeros_like(ids), position_ids_BS=torch.tensor([[3, 4, 5]]))
    assert torch.equal(plain, same)
    assert not torch.allclose(plain, moved)


def test_bfloat16_autocast_stays_near_float32():
    model, batch = perturbed_model(), batch_of(LENGTHS, [0, 1, 1, 0])
    expected = model(batch).loss
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(batch).loss
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=0.02, atol=0.02)


def test_initial_weights_depend_on_the_seed_and_the_name_alone():
    first, second, other = (BertForPretraining(config_of()) for _ in range(3))
    initialise(first, 1)
    torch.rand(7)
    initialise(second, 1)
    initialise(other, 2)
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, second.state_dict()[name]), name
    query = "bert.encoder.layer.0.attention.self.qkv.weight"
    assert not torch.equal(first.state_dict()[query], other.state_dict()[query])
    assert float(first.state_dict()[query].std()) == pytest.approx(0.02, rel=0.1)
    assert not first.state_dict()["bert.embeddings.word_embeddings.weight"][0].any()
    assert bool((first.state_dict()["bert.embeddings.LayerNorm.weight"] == 1).all())


def test_renaming_to_transformers_and_back_gives_the_same_weights():
    state = perturbed_model().state_dict()
    back = from_transformers(to_transformers(state), has_bert_prefix=True)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)


def test_heads_that_do_not_divide_the_hidden_size_are_refused():
    with pytest.raises(CheckpointError, match="hidden_size 24 is not a multiple of num_attention_heads 5"):
        BertConfig(vocab_size=9, hidden_size=24, num_hidden_layers=1, num_attention_heads=5, intermediate_size=8)
