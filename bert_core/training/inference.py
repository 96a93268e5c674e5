"""A fine-tuned model over a split: probabilities of classes or of tags, spans, and the loss against the gold labels.

Without dropout, in the number format of the device that is handed in. Nothing is trained or scored here.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from bert_core.config.tasks import AnswersConfig
from bert_core.model.heads import BertForSequenceLabelling, BertForSingleSentence, FineTuneModel
from bert_core.model.question_answering import BertForExtractiveQA, best_spans
from bert_core.model.sentence_trees import SentenceTrees
from bert_core.training.answers import SpanPredictions
from bert_core.training.device import Device
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


def logits_of(model: FineTuneModel, batch: LabelledBatch, device: Device) -> torch.Tensor:
    """Return the logits of a batch, (B, C) or (B, S, C), in the device's number format."""
    tensors = (
        torch.from_numpy(values).to(device.device)
        for values in (batch.input_ids_BS, batch.token_type_ids_BS, batch.lengths_B)
    )
    tree = None
    if batch.position_ids_BS is not None and batch.visible_BSS is not None:
        soft, visible = (
            torch.from_numpy(part).to(device.device) for part in (batch.position_ids_BS, batch.visible_BSS)
        )
        tree = SentenceTrees(soft, visible)
    with device.autocast():
        return model(*tensors) if tree is None else model(*tensors, tree)


@torch.inference_mode()
def predict_classes(
    model: BertForSingleSentence,
    examples: LabelledExamples,
    device: Device,
    *,
    pad_id: int,
    before_batch: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """Return the probability of every class for every example, float32 shape (num_examples, num_labels).

    `before_batch` is called before each batch and may raise to stop.
    """
    model.eval()
    found = np.zeros((examples.num_examples, model.classifier.out_features), np.float32)
    for batch in _batches(examples, pad_id, before_batch):
        found[batch.rows_B] = logits_of(model, batch, device).float().softmax(-1).cpu().numpy()
    return found


@torch.no_grad()
def predict_tags(
    model: BertForSequenceLabelling,
    examples: LabelledExamples,
    device: Device,
    *,
    pad_id: int,
    before_batch: Callable[[], None] = lambda: None,
) -> TokenPredictions:
    """Return the chosen tag of every token with its probability, and that of the gold tag.

    `before_batch` as for `predict_classes`.
    """
    model.eval()
    num_tokens = len(examples.input_ids)
    tags = np.zeros(num_tokens, np.int64)
    probabilities, gold_probabilities = np.zeros(num_tokens, np.float32), np.zeros(num_tokens, np.float32)
    for batch in _batches(examples, pad_id, before_batch):
        lengths = torch.from_numpy(batch.lengths_B).to(device.device)
        chosen, found = model.decode(logits_of(model, batch, device), lengths)
        chances = found.gather(-1, chosen[..., None])[..., 0]
        gold = torch.from_numpy(np.maximum(batch.labels, 0)).to(device.device)
        present = batch.present_BS
        tags[batch.source] = chosen.cpu().numpy()[present]
        probabilities[batch.source] = chances.cpu().numpy()[present]
        gold_probabilities[batch.source] = found.gather(-1, gold[..., None])[..., 0].cpu().numpy()[present]
    return TokenPredictions(tags=tags, probabilities=probabilities, gold_probabilities=gold_probabilities)


@torch.inference_mode()
def predict_spans(
    model: BertForExtractiveQA,
    examples: LabelledExamples,
    device: Device,
    *,
    pad_id: int,
    config: AnswersConfig,
    before_batch: Callable[[], None] = lambda: None,
) -> SpanPredictions:
    """Return the best spans of every window; `before_batch` as for `predict_classes`."""
    model.eval()
    questions = examples.questions
    assert questions is not None, "examples of questions"
    shape = (examples.num_examples, config.num_best)
    scores, firsts, lasts = np.full(shape, -np.inf, np.float32), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    none, gold, losses = np.zeros((3, examples.num_examples), np.float32)
    for batch in _batches(examples, pad_id, before_batch):
        rows = batch.rows_B
        logits = logits_of(model, batch, device).float()
        positions = np.arange(logits.shape[1])[None, :]
        may_end = (positions >= examples.length_a[rows][:, None] + 2) & (positions < batch.lengths_B[:, None] - 1)
        may_begin = positions >= questions.scored_starts[rows][:, None]
        may_begin &= positions < questions.scored_ends[rows][:, None]
        begins, ends = (torch.from_numpy(part).to(logits.device) for part in (may_begin, may_end))
        found = [
            part.cpu().numpy() for part in best_spans(logits, begins, ends, config.max_answer_tokens, config.num_best)
        ]
        num_found = found[0].shape[1]
        scores[rows, :num_found], firsts[rows, :num_found], lasts[rows, :num_found] = found
        labels = torch.from_numpy(batch.labels).to(logits.device)
        true = logits.gather(1, labels[:, :, None].expand(-1, -1, 2)).diagonal(dim1=1, dim2=2)
        losses[rows] = (logits.logsumexp(1) - true).mean(1).cpu().numpy()
        none[rows] = logits[:, 0].sum(-1).cpu().numpy()
        may_be_given = may_begin[np.arange(len(rows)), batch.labels[:, 0]]  # position 0, no answer, never begins one
        gold[rows] = np.where(may_be_given, true.sum(-1).cpu().numpy(), -np.inf)
    return SpanPredictions(
        scores=scores,
        firsts=firsts,
        lasts=lasts,
        none_scores=none,
        gold_scores=gold,
        losses=losses,
    )


def mean_loss(gold_probabilities: np.ndarray) -> float:
    """Return the mean negative log-probability of what is true, nats; 0 where there is nothing."""
    if len(gold_probabilities) == 0:
        return 0.0
    return float(-np.log(np.maximum(gold_probabilities.astype(np.float64), 1e-30)).mean())


def scored(examples: LabelledExamples) -> np.ndarray:
    """Return which tokens are scored, bool shape (num_tokens,)."""
    return examples.token_labels != IGNORED


def _batches(examples: LabelledExamples, pad_id: int, before_batch: Callable[[], None]) -> Iterator[LabelledBatch]:
    order = evaluation_order(examples.lengths, EVALUATION_TOKENS)
    for batch in padded_batches(examples, order, pad_id=pad_id):
        before_batch()
        yield batch
