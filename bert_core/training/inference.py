"""A fine-tuned model over a split: probabilities of classes or of tags, and the loss against the gold labels.

Always float32 and without dropout, so that the scores of training are those of `bertline predict`. Nothing is trained
or scored here.
"""

import numpy as np
import torch

from bert_core.model.heads import FineTuneModel
from bert_core.training.labelled_batches import (
    IGNORED,
    LabelledBatch,
    LabelledExamples,
    evaluation_order,
    padded_batches,
)
from bert_core.training.scoring import TokenPredictions

EVALUATION_TOKENS = 8192
"""Size of an evaluation batch, padding included, tokens."""


def logits_of(model: FineTuneModel, batch: LabelledBatch, device: torch.device) -> torch.Tensor:
    """Return the logits of a batch, (B, C) or (B, S, C)."""
    return model(
        torch.from_numpy(batch.input_ids_BS).to(device),
        torch.from_numpy(batch.token_type_ids_BS).to(device),
        torch.from_numpy(batch.lengths_B).to(device),
    )


@torch.inference_mode()
def predict_classes(
    model: FineTuneModel, examples: LabelledExamples, device: torch.device, *, pad_id: int
) -> np.ndarray:
    """Return the probability of every class for every example, float32 shape (num_examples, num_labels)."""
    model.eval()
    found = np.zeros((examples.num_examples, model.classifier.out_features), np.float32)
    for batch in _batches(examples, pad_id):
        found[batch.rows_B] = logits_of(model, batch, device).softmax(-1).cpu().numpy()
    return found


@torch.inference_mode()
def predict_tags(
    model: FineTuneModel, examples: LabelledExamples, device: torch.device, *, pad_id: int
) -> TokenPredictions:
    """Return the most probable tag of every token with its probability, and that of the gold tag."""
    model.eval()
    num_tokens = len(examples.input_ids)
    tags = np.zeros(num_tokens, np.int64)
    probabilities, gold_probabilities = np.zeros(num_tokens, np.float32), np.zeros(num_tokens, np.float32)
    for batch in _batches(examples, pad_id):
        found = logits_of(model, batch, device).softmax(-1)
        best = found.max(-1)
        gold = torch.from_numpy(np.maximum(batch.labels, 0)).to(device)
        present = batch.present_BS
        tags[batch.source] = best.indices.cpu().numpy()[present]
        probabilities[batch.source] = best.values.cpu().numpy()[present]
        gold_probabilities[batch.source] = found.gather(-1, gold[..., None])[..., 0].cpu().numpy()[present]
    return TokenPredictions(tags=tags, probabilities=probabilities, gold_probabilities=gold_probabilities)


def mean_loss(gold_probabilities: np.ndarray) -> float:
    """Return the mean negative log-probability of what is true, nats; 0 where there is nothing."""
    if len(gold_probabilities) == 0:
        return 0.0
    return float(-np.log(np.maximum(gold_probabilities.astype(np.float64), 1e-30)).mean())


def scored(examples: LabelledExamples) -> np.ndarray:
    """Return which tokens are scored, bool shape (num_tokens,)."""
    return examples.token_labels != IGNORED


def _batches(examples: LabelledExamples, pad_id: int):
    return padded_batches(examples, evaluation_order(examples.lengths, EVALUATION_TOKENS), pad_id=pad_id)
