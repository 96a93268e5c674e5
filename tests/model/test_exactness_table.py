"""Logits, losses and every gradient beside transformers' `BertForPreTraining` in float32: sizes, lengths, layouts."""

import numpy as np
import pytest
import torch
from transformers import BertConfig as LibraryConfig
from transformers import BertForPreTraining

from bert_core.model.encoder import BertConfig, initialise
from bert_core.model.exchange import to_transformers
from bert_core.model.pretraining import BertForPretraining, Packing, PretrainingBatch
from bert_core.training.packing import pack

VOCAB_SIZE = 300
SIZES = {  # layers, hidden size, heads, intermediate size
    "tiny": (2, 128, 2, 512),
    "mini": (4, 256, 4, 1024),
}
LENGTHS = {
    "full": [48, 48, 48, 48],
    "one long row": [128],
    "shortest": [3, 4, 3],
}


def models(size: str) -> tuple[BertForPretraining, BertForPreTraining]:
    """Ours and the library's with equal weights, biases and norms away from 0 and 1."""
    layers, width, heads, intermediate = SIZES[size]
    sizes = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": intermediate,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    own = BertForPretraining(BertConfig(**sizes))
    initialise(own, 3, 0.05)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in own.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    library = BertForPreTraining(LibraryConfig(**sizes))
    library.load_state_dict(to_transformers(own.state_dict()), strict=False)
    library.tie_weights()
    return own, library


def batch_of(lengths: list[int], *, packed: bool) -> tuple[PretrainingBatch, dict[str, torch.Tensor]]:
    """The same examples for us, one a row or packed, and for the library, one a row."""
    generator, count, width = np.random.default_rng(len(lengths)), len(lengths), max(lengths)
    is_token = np.arange(width) < np.array(lengths)[:, None]
    ids = generator.integers(5, VOCAB_SIZE, is_token.shape) * is_token
    segments = (np.arange(width) >= np.array(lengths)[:, None] // 2) & is_token
    is_target = is_token & (generator.random(is_token.shape) < 0.2)
    is_target[:, 1] = True
    targets = generator.integers(5, VOCAB_SIZE, is_token.shape)
    pairs = generator.integers(0, 2, count)
    for_library = {
        "input_ids": torch.from_numpy(ids),
        "token_type_ids": torch.from_numpy(segments.astype(np.int64)),
        "attention_mask": torch.from_numpy(is_token.astype(np.int64)),
        "labels": torch.from_numpy(np.where(is_target, targets, -100)),
        "next_sentence_label": torch.from_numpy(pairs),
    }
    row, column, num_rows, widest = np.arange(count), np.zeros(count, np.int64), count, width
    if packed:
        row, column, num_rows, widest = pack(np.array(lengths), 2 * width)
    place = (row * widest + column)[:, None] + np.arange(width)
    flat = place[is_token]

    def laid(values: np.ndarray, empty: int = 0) -> torch.Tensor:
        out = np.full(num_rows * widest, empty, np.int64)
        out[flat] = values[is_token]
        return torch.from_numpy(out.reshape(num_rows, widest))

    packing = None
    if packed:
        numbers = np.broadcast_to(np.arange(count)[:, None], is_token.shape)
        positions = np.broadcast_to(np.arange(width), is_token.shape)
        packing = Packing(laid(positions), laid(numbers, -1), torch.from_numpy(place[:, 0].copy()))
    own = PretrainingBatch(
        laid(ids),
        laid(segments),
        torch.from_numpy(np.bincount(row, np.array(lengths), num_rows).astype(np.int64)),
        torch.from_numpy(place[is_target]),
        torch.from_numpy(targets[is_target]),
        torch.from_numpy(pairs),
        packing,
    )
    return own, for_library


@pytest.mark.parametrize("layout", ["padded", "packed"])
@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("size", SIZES)
def test_logits_loss_and_every_gradient_equal_those_of_transformers(size: str, lengths: str, layout: str):
    own, library = models(size)
    batch, for_library = batch_of(LENGTHS[lengths], packed=layout == "packed")
    expected = library(**for_library)
    expected.loss.backward()
    output = own(batch)
    output.loss.backward()
    mlm_logits, pair_logits = own.logits(batch)
    expected_mlm = expected.prediction_logits[for_library["labels"] != -100]
    assert float((mlm_logits - expected_mlm).norm() / expected_mlm.norm()) < 2e-6
    torch.testing.assert_close(pair_logits, expected.seq_relationship_logits, rtol=1e-5, atol=1e-6)
    assert float(output.loss.detach()) == pytest.approx(float(expected.loss.detach()), rel=1e-6)

    gradients = to_transformers({name: part.grad for name, part in own.named_parameters() if part.grad is not None})
    wanted_of = {name: part.grad for name, part in library.named_parameters()}
    whole = torch.cat([grad.flatten() for grad in wanted_of.values() if grad is not None]).norm()
    missing = {name for name, grad in wanted_of.items() if grad is None or name not in gradients}
    assert missing == set()
    for name, wanted in wanted_of.items():
        assert wanted is not None
        # a key's bias shifts all scores of a row alike: its gradient is 0 but for rounding
        size_of = wanted.norm() if "key.bias" not in name else whole
        assert float((gradients[name] - wanted).norm() / size_of) < 1e-5, name
