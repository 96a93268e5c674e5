"""Training steps of one side in one process: forward, backward, clipping, AdamW, on fixed random batches.

`own` is bertline's model as its loop trains it; the others are transformers' `BertForPreTraining` in float32, under
bfloat16 autocast, and that compiled. All begin with the same weights and read the same tokens, targets and pair
labels. The first steps, which compile and fill caches, are not timed. Loops, files and evaluation are not here.
"""

import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

VOCAB_SIZE, NUM_TOKENS = 21_128, 128
SIZES = {
    "tiny": (2, 128, 2, 32),
    "mini": (4, 256, 4, 32),
    "small": (4, 512, 8, 32),
    "base": (12, 768, 12, 8),
    "large": (24, 1024, 16, 8),
}
"""Layers, hidden size, heads, examples in a batch."""
NUM_BATCHES = 4
NUM_WARM_STEPS = 5
"""Steps that are not timed. A model of the size base has all its memory after five; until then each step waits for
fresh pages, 100 ms and more."""
PEAK_TFLOPS = {"H100": 989.0, "H200": 989.0, "A100": 312.0}
"""bfloat16 peak of a device whose name holds the key, dense, 10^12 FLOP/s; from the makers' data sheets."""


def measure(
    size: str, side: str, seconds: float, num_tokens: int = NUM_TOKENS, batch_examples: int = 0, device: str = "cpu"
) -> dict[str, Any]:
    """Train for about `seconds` after a warm-up, three steps at least.

    Args:
        size: key of `SIZES`.
        side: "own", "own float32", "float32", "bfloat16" or "bfloat16 compiled".
        seconds: timed, seconds.
        num_tokens: of each example.
        batch_examples: of each batch; 0 for that of `SIZES`.
        device: "cpu" or "cuda".

    Returns:
        median `seconds_per_step`, `examples_per_second`, `tokens_per_second`, the `losses` of the steps, and `mfu`
        where the peak of the device is known.
    """
    import statistics

    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    batch_examples = batch_examples or SIZES[size][3]
    step = step_of(size, side, make_batches(num_tokens, batch_examples), device)
    losses = [step(number) for number in range(NUM_WARM_STEPS)]
    taken: list[float] = []
    until = time.perf_counter() + seconds
    while len(taken) < 3 or time.perf_counter() < until:
        began = time.perf_counter()
        losses.append(step(len(losses)))
        taken.append(time.perf_counter() - began)
    median = statistics.median(taken)
    found = {
        "seconds_per_step": median,
        "examples_per_second": batch_examples / median,
        "tokens_per_second": batch_examples * num_tokens / median,
        "num_steps": len(taken),
        "losses": losses[:3],
    }
    name = torch.cuda.get_device_name() if device == "cuda" else ""
    for key, peak in PEAK_TFLOPS.items():
        if key in name:
            flops = flops_of_step(size, num_tokens, batch_examples)
            found |= {"device": name, "mfu": flops / median / (peak * 1e12)}
    return found


def flops_of_step(size: str, num_tokens: int, batch_examples: int) -> float:
    """Count the FLOPs of the matrix products of one step: forward and twice that backward, MLM head at 15 %.

    Example: one token through one layer of width D takes 24 D^2 forward, and attention over S tokens 4 S D.
    """
    layers, width, _, _ = SIZES[size]
    tokens = num_tokens * batch_examples
    encoder = layers * (24 * width**2 + 4 * num_tokens * width)
    head = 0.15 * (2 * width**2 + 2 * width * VOCAB_SIZE)
    return 3.0 * tokens * (encoder + head)


def step_of(size: str, side: str, batches: list[Any], device: str = "cpu") -> Callable[[int], float]:
    """Return a function that takes step `number` on the batches in turn and returns its loss."""
    import torch

    from bert_core.config import OptimizationConfig
    from bert_core.model.dropout import seed_dropout
    from bert_core.training.optimization import build_optimizer, clip_gradients

    own, batches = own_model(size).to(device), [batch.to(torch.device(device)) for batch in batches]
    model: Any = own if side.startswith("own") else library_model(own).to(device)
    inputs = [] if model is own else [library_inputs(batch) for batch in batches]
    model.train()
    optimizer, _ = build_optimizer(model, OptimizationConfig(), 1000)
    call = torch.compile(model) if side.endswith("compiled") else model

    def loss_of(number: int) -> Any:
        if model is own:
            seed_dropout(model, number)
            return model(batches[number % len(batches)]).loss
        return call(**inputs[number % len(inputs)]).loss

    def step(number: int) -> float:
        narrow = contextlib.nullcontext() if side.endswith("float32") else torch.autocast(device, torch.bfloat16)
        with narrow:
            loss = loss_of(number)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        clip_gradients(model, 1.0)
        optimizer.step()
        return float(loss.detach())

    return step


def own_model(size: str, dropout: float = 0.1) -> Any:
    """Build our model with weights that depend on the size alone."""
    from bert_core.model.encoder import BertConfig, initialise
    from bert_core.model.pretraining import BertForPretraining

    layers, width, heads, _ = SIZES[size]
    config = BertConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    model = BertForPretraining(config)
    initialise(model, 1)
    return model


def library_model(own: Any) -> Any:
    """Build the library's model with the same weights and dropout."""
    from dataclasses import asdict

    from transformers import BertConfig, BertForPreTraining

    from bert_core.model.exchange import to_transformers

    library = BertForPreTraining(BertConfig(**asdict(own.config)))
    library.load_state_dict(to_transformers(own.state_dict()), strict=False)
    library.tie_weights()
    return library


def make_batches(num_tokens: int, batch_examples: int) -> list[Any]:
    """Draw full batches: random tokens, two segments, 15 % of the places predicted, a label for each pair."""
    import numpy as np
    import torch

    from bert_core.model.pretraining import PretrainingBatch

    batches = []
    for number in range(NUM_BATCHES):
        generator = np.random.default_rng(number)
        ids = generator.integers(200, VOCAB_SIZE, (batch_examples, num_tokens))
        places = np.flatnonzero(generator.random(ids.size) < 0.15)
        targets = ids.reshape(-1)[places].copy()
        ids.reshape(-1)[places] = 103
        segments = np.zeros_like(ids)
        segments[:, num_tokens // 2 :] = 1
        arrays = (ids, segments, np.full(batch_examples, num_tokens), places, targets)
        labels = generator.integers(0, 2, batch_examples)
        batches.append(PretrainingBatch(*(torch.from_numpy(array) for array in (*arrays, labels))))
    return batches


def library_inputs(batch: Any) -> dict[str, Any]:
    """Return a batch as transformers takes it."""
    import torch

    labels = torch.full_like(batch.input_ids_BS, -100)
    labels.view(-1)[batch.target_positions_N] = batch.target_ids_N
    return {
        "input_ids": batch.input_ids_BS,
        "token_type_ids": batch.token_type_ids_BS,
        "labels": labels,
        "next_sentence_label": batch.next_sentence_labels_B,
    }


def gradient_distances(size: str) -> dict[str, float]:
    """Return how far gradients are from transformers' float32, relative L2, dropout off: ours and theirs."""
    import torch

    from bert_core.model.exchange import to_transformers

    own, batch = own_model(size, 0.0), make_batches(NUM_TOKENS, 8)[0]
    library = library_model(own)

    def flat(model: Any, loss: Any) -> Any:
        loss.backward()
        gradients = {name: part.grad for name, part in model.named_parameters() if part.grad is not None}
        gradients = to_transformers(gradients) if model is own else gradients
        model.zero_grad()
        return torch.cat([gradients[name].flatten() for name in sorted(gradients) if ".decoder." not in name])

    expected = flat(library, library(**library_inputs(batch)).loss)
    found = {"own float32": flat(own, own(batch).loss)}
    with torch.autocast("cpu", torch.bfloat16):
        own_loss, library_loss = own(batch).loss, library(**library_inputs(batch)).loss
    found |= {"own bfloat16": flat(own, own_loss), "transformers autocast": flat(library, library_loss)}
    return {name: float((gradient - expected).norm() / expected.norm()) for name, gradient in found.items()}
