"""Losses and accuracies on held-out examples, always with the same examples and the same masks."""

from collections.abc import Sequence

import numpy as np
import torch

from bert_core.config import MaskingConfig
from bert_core.examples.masking import MaskVocabulary
from bert_core.examples.reader import ExampleSet
from bert_core.model.pretraining import BertForPretraining
from bert_core.randomness import key_of, permutation
from bert_core.training.batches import DrawnBatch, draw_batch
from bert_core.training.device import Device
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
    pad_id: int,
) -> list[DrawnBatch]:
    """Draw at most 512 held-out examples and their masks, sorted by length so that little is padded."""
    rows = permutation(examples.num_examples, key_of(seed, "evaluation"))[:MAX_EXAMPLES]
    rows = rows[np.argsort(examples.lengths[rows], kind="stable")]
    return [
        draw_batch(examples, rows[start : start + batch_examples], masking, vocabulary, seed, EPOCH, pad_id)
        for start in range(0, len(rows), batch_examples)
    ]


def evaluate_pretraining(
    model: BertForPretraining, batches: Sequence[DrawnBatch], device: Device, stop: StopFlag
) -> dict[str, float] | None:
    """Return loss, mlm_loss, nsp_loss (means over all targets and pairs), mlm_accuracy, nsp_accuracy, examples.

    Without batches all are 0; None where a stop was asked for on the way. The model is left in the mode it was in.
    """
    sums = np.zeros(6)
    was_training = model.training
    model.eval()
    with torch.inference_mode(), device.autocast():
        for batch in batches:
            if stop.signal_number is not None:
                break
            output = model(batch.tensors.to(device.device))
            num_mlm, num_nsp = output.num_mlm, int(output.num_nsp)
            sums += [
                float(output.mlm_loss) * num_mlm,
                float(output.mlm_correct),
                num_mlm,
                float(output.nsp_loss) * num_nsp,
                float(output.nsp_correct),
                num_nsp,
            ]
    model.train(was_training)
    if stop.signal_number is not None:
        return None
    mlm_loss, mlm_correct, num_mlm, nsp_loss, nsp_correct, num_nsp = (float(each) for each in sums)
    mlm_loss, nsp_loss = mlm_loss / max(1.0, num_mlm), nsp_loss / max(1.0, num_nsp)
    return {
        "loss": mlm_loss + nsp_loss,
        "mlm_loss": mlm_loss,
        "nsp_loss": nsp_loss,
        "mlm_accuracy": mlm_correct / max(1.0, num_mlm),
        "nsp_accuracy": nsp_correct / max(1.0, num_nsp),
        "examples": float(sum(len(batch.example_ids) for batch in batches)),
    }
