"""Losses and accuracies on held-out examples, always with the same examples and the same masks."""

from collections.abc import Sequence

import numpy as np
import torch

from bert_core.config import MaskingConfig
from bert_core.examples.masking import MaskVocabulary
from bert_core.examples.reader import ExampleSet
from bert_core.model.pretraining import BertForPretraining
from bert_core.randomness import key_of, permutation
from bert_core.training.batches import DrawnBatch, Layout, draw_batch
from bert_core.training.device import Device
from bert_core.training.ranks import ALONE, Ranks
from bert_core.training.stopping import StopFlag

MAX_EXAMPLES = 512
EPOCH = -1
"""Held-out masks are drawn under this epoch number, which no training epoch has."""


def evaluation_batches(
    examples: ExampleSet,
    batch_examples: int,
    masking: MaskingConfig,
    vocabulary: MaskVocabulary,
    seed: int,
    layout: Layout | None = None,
) -> list[DrawnBatch]:
    """Draw at most 512 held-out examples and their masks, sorted by length so that little is padded."""
    rows = permutation(examples.num_examples, key_of(seed, "evaluation"))[:MAX_EXAMPLES]
    rows = rows[np.argsort(examples.lengths[rows], kind="stable")]
    return [
        draw_batch(examples, rows[start : start + batch_examples], masking, vocabulary, seed, EPOCH, layout)
        for start in range(0, len(rows), batch_examples)
    ]


def evaluate_pretraining(
    model: BertForPretraining, batches: Sequence[DrawnBatch], device: Device, stop: StopFlag, ranks: Ranks = ALONE
) -> dict[str, float] | None:
    """Return mlm_loss, nsp_loss, boundary_loss (means over all targets), their sum as loss, accuracies, examples.

    Without batches all are 0; None where any rank was asked to stop on the way. Each rank evaluates its parts of the
    batches. The model is left in the mode it was in, and no generator is drawn from, so that evaluating changes nothing
    of the training.
    """
    sums = np.zeros(9)
    is_stopped = False
    was_training = model.training
    model.eval()
    with torch.inference_mode(), device.autocast():
        for batch in batches:
            is_stopped = ranks.agreed_signal(stop) is not None
            if is_stopped:
                break
            for part in batch.parts:
                output = model(part.to(device.device))
                sums += [
                    float(value)
                    for loss, correct, count in (
                        (output.mlm_loss, output.mlm_correct, output.num_mlm),
                        (output.nsp_loss, output.nsp_correct, output.num_nsp),
                        (output.boundary_loss, output.boundary_correct, output.num_boundary),
                    )
                    for value in (loss * count, correct, count)
                ]
    model.train(was_training)
    if is_stopped:
        return None
    sums = ranks.total(torch.from_numpy(sums)).numpy()
    values: dict[str, float] = {}
    for name, (loss, correct, count) in zip(("mlm", "nsp", "boundary"), sums.reshape(3, 3), strict=True):
        values[f"{name}_loss"] = float(loss / max(1.0, count))
        values[f"{name}_accuracy"] = float(correct / max(1.0, count))
    return values | {
        "loss": values["mlm_loss"] + values["nsp_loss"] + values["boundary_loss"],
        "examples": float(sum(len(batch.example_ids) for batch in batches)),
    }
