"""A teacher beside the labels while fine-tuning: earlier weights of the model itself, or another fine-tuned model.

    loss = loss of the labels + weight * distance(logits of the student, logits of the teacher)
                              + hidden_weight * mean squared difference of hidden states (teacher `model` alone)

- `averaged_weights` (SDA): the teacher of step t has the mean of the weights of steps t-1 ... t-K.
- `averaged_predictions` (SDV): its logits are the mean of those that each of these K weights gives.
- `model`: a fine-tuned model of any size; the same tokens go into it.

There is no teacher in the first step of the first two, and an average over fewer while there are fewer. A teacher has
no dropout and gets no gradient, so with weight 0 training is that without one, bit for bit. Every number is a function
of the steps before, so a fine-tuning that starts over ends in the same bytes.

Source: Xu et al. 2020 (arXiv:2002.10345), section 3; Hinton et al. 2015 (arXiv:1503.02531), section 2; Jiao et al. 2020
(arXiv:1909.10351), section 3, for layers by their share of the depth and projections.
"""
# ruff: noqa: N803, N806 -- capitals at the end of a name are axes

import copy
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bert_core.config.distillation import DistillationConfig
from bert_core.errors import CheckpointError
from bert_core.model.encoder import initialise
from bert_core.model.heads import FineTuneModel, load_fine_tuned
from bert_core.randomness import seed_of
from bert_core.tokens.tokenizer import WordPieceTokenizer
from bert_core.training.device import Device
from bert_core.training.fine_tune_job import FineTuneJob
from bert_core.training.inference import logits_of
from bert_core.training.labelled_batches import IGNORED, LabelledBatch

NEVER = -1e4
"""Logit of an answer's end at padding."""


class EarlierWeights:
    """The weights of the last steps, and a model that can take them on."""

    def __init__(self, model: FineTuneModel, last_steps: int) -> None:
        self.model = _without_gradients(copy.deepcopy(model))
        self._weights: deque[list[Tensor]] = deque(maxlen=last_steps)

    def __len__(self) -> int:
        return len(self._weights)

    @torch.no_grad()
    def remember(self, model: nn.Module) -> None:
        """Keep the weights of this moment; the oldest give way."""
        oldest = self._weights.popleft() if len(self._weights) == self._weights.maxlen else None
        current = list(model.parameters())
        if oldest is None:
            oldest = [torch.empty_like(parameter) for parameter in current]
        for kept, parameter in zip(oldest, current, strict=True):
            kept.copy_(parameter)
        self._weights.append(oldest)

    @torch.no_grad()
    def take_mean(self) -> FineTuneModel:
        """Return the model with the mean of all weights kept."""
        for parameter, *kept in zip(self.model.parameters(), *self._weights, strict=True):
            parameter.copy_(kept[0])
            for other in kept[1:]:
                parameter.add_(other)
            parameter.div_(len(kept))
        return self.model

    @torch.no_grad()
    def take_each(self) -> Iterator[FineTuneModel]:
        """Yield the model with each of the weights kept, oldest first."""
        for weights in self._weights:
            for parameter, kept in zip(self.model.parameters(), weights, strict=True):
                parameter.copy_(kept)
            yield self.model


class Distillation:
    """The teacher of one fine-tuning, and what of it the student is to follow."""

    def __init__(self, job: FineTuneJob, student: FineTuneModel, tokenizer: WordPieceTokenizer, device: Device) -> None:
        """Make the teacher.

        Raises:
            CheckpointError: the teacher's folder is no model of this task and vocabulary.
        """
        self.config: DistillationConfig = job.task.fine_tune.distillation
        self.device = device
        self._family: str = student.family
        self.earlier: EarlierWeights | None = None
        self.teacher: FineTuneModel | None = None
        self.projections = nn.ModuleList()
        self._layers: list[tuple[int, int]] = []
        if self.config.teacher != "model":
            self.earlier = EarlierWeights(student, self.config.last_steps)
            return
        self.teacher = _without_gradients(_read_teacher(job, student, tokenizer)).to(device.device)
        if self.config.hidden_states != "none":
            sizes = student.config.num_hidden_layers, self.teacher.config.num_hidden_layers
            self._layers = matched_layers(*sizes, every=self.config.hidden_states == "all")
            shape = student.config.hidden_size, self.teacher.config.hidden_size
            self.projections.extend(nn.Linear(*shape) for _ in self._layers)
            initialise(self.projections, seed_of(job.seed, "fine_tune", "distillation"))
            self.projections.to(device.device)

    def trained_with(self, student: FineTuneModel) -> nn.Module:
        """Return all that is trained: the student, with the projections where there are some."""
        return nn.ModuleList([student, self.projections]) if self._layers else student

    @contextmanager
    def watching(self, student: FineTuneModel) -> Iterator[dict[int, Tensor]]:
        """Collect the hidden states of the student's layers that have a counterpart, by layer, while inside."""
        with _hidden_states(student, [own for own, _ in self._layers]) as found:
            yield found

    def losses(self, logits: Tensor, hidden: dict[int, Tensor], batch: LabelledBatch) -> dict[str, Tensor]:
        """Return the weighted terms of a batch by name; empty while there is no teacher yet.

        Args:
            logits: of the student, with gradients.
            hidden: of the student, as `watching` collected them.
            batch: what the student saw.
        """
        with torch.no_grad(), _hidden_states(self.teacher, [other for _, other in self._layers]) as aims:
            targets = self._teacher_logits(batch)
        if targets is None:
            return {}
        own, aim = (self._followed(values.float(), batch) for values in (logits, targets))
        terms = {"distillation_loss": self.config.weight * distance(own, aim, self.config)}
        if self._layers:
            is_token = torch.from_numpy(batch.present_BS).to(logits.device)
            parts = [
                F.mse_loss(projection(hidden[layer][is_token].float()), aims[other][is_token].float())
                for projection, (layer, other) in zip(self.projections, self._layers, strict=True)
            ]
            terms["hidden_loss"] = self.config.hidden_weight * torch.stack(parts).mean()
        return terms

    def remember(self, student: FineTuneModel) -> None:
        """Keep the student's weights, before a step changes them."""
        if self.earlier is not None:
            self.earlier.remember(student)

    def _followed(self, logits: Tensor, batch: LabelledBatch) -> Tensor:
        """Return the logits to compare, a row for each distribution: texts, scored tokens, or both ends of answers."""
        if logits.dim() == 2:
            return logits
        if self._family != "extractive_qa":
            return logits[torch.from_numpy(batch.labels != IGNORED).to(logits.device)]
        is_token_BS = torch.from_numpy(batch.present_BS).to(logits.device)
        if self.config.loss == "mse":
            return logits[is_token_BS]
        return logits.masked_fill(~is_token_BS[..., None], NEVER).transpose(1, 2).flatten(0, 1)

    def _teacher_logits(self, batch: LabelledBatch) -> Tensor | None:
        if self.teacher is not None:
            return logits_of(self.teacher, batch, self.device)
        earlier = self.earlier
        if not earlier:
            return None
        if self.config.teacher == "averaged_weights":
            return logits_of(earlier.take_mean(), batch, self.device)
        each = [logits_of(model, batch, self.device).float() for model in earlier.take_each()]
        return torch.stack(each).mean(0)


def distance(student_NC: Tensor, teacher_NC: Tensor, config: DistillationConfig) -> Tensor:
    """Return how far the student's logits are from the teacher's, a mean over the rows; 0 where there is none.

    Example: logits `[[0, 2]]` and `[[1, 0]]` differ by mse (1 + 4) / 2 = 2.5; kl at temperature T is T * T times the
    divergence of softmax([0, 2] / T) from softmax([1, 0] / T), nats.
    """
    if not len(student_NC):
        return student_NC.sum()
    if config.loss == "mse":
        return F.mse_loss(student_NC, teacher_NC)
    heat = config.temperature
    log_student_NC, log_teacher_NC = (student_NC / heat).log_softmax(-1), (teacher_NC / heat).log_softmax(-1)
    return heat * heat * F.kl_div(log_student_NC, log_teacher_NC, reduction="batchmean", log_target=True)


def matched_layers(num_student: int, num_teacher: int, *, every: bool) -> list[tuple[int, int]]:
    """Pair layers of the student with those of the teacher at the same share of the depth, from 0.

    Example: 2 and 6 layers -> `[(0, 2), (1, 5)]`, or the last pair alone.
    """
    pairs = [(layer, -(-(layer + 1) * num_teacher // num_student) - 1) for layer in range(num_student)]
    return pairs if every else pairs[-1:]


@contextmanager
def _hidden_states(model: FineTuneModel | None, layers: list[int]) -> Iterator[dict[int, Tensor]]:
    """Collect the outputs of some layers, by number, in the passes made while inside."""
    found: dict[int, Tensor] = {}

    def keep(number: int) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            found[number] = output

        return hook

    handles = []
    if model is not None and layers:
        handles = [model.bert.encoder.layer[number].register_forward_hook(keep(number)) for number in set(layers)]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _read_teacher(job: FineTuneJob, student: FineTuneModel, tokenizer: WordPieceTokenizer) -> FineTuneModel:
    """Read the teacher, and refuse one that does not fit the student."""
    folder = Path(str(job.task.fine_tune.distillation.path))
    found, task = load_fine_tuned(folder), job.task
    wanted = {"family": student.family, "labels": task.labels}
    got: dict[str, Any] = {"family": found.model.family, "labels": found.labels}
    if student.family == "sequence_labelling":
        wanted["tags"], got["tags"] = task.fine_tune.tags, found.tags
    faults = [f"{name} {got[name]!r}, expected {value!r}" for name, value in wanted.items() if got[name] != value]
    if WordPieceTokenizer.from_folder(folder).digest != tokenizer.digest:
        faults.append(f"another vocabulary than {job.vocabulary_folder}")
    if found.model.config.max_position_embeddings < task.fine_tune.max_tokens:
        faults.append(
            f"{found.model.config.max_position_embeddings} positions, expected the {task.fine_tune.max_tokens} of "
            "fine_tune.max_tokens"
        )
    if faults:
        raise CheckpointError(
            f"{folder}: as a teacher it has {'; '.join(faults)}; give a model that was fine-tuned for this task, or "
            "correct fine_tune.distillation.path"
        )
    return found.model


def _without_gradients(model: FineTuneModel) -> FineTuneModel:
    return model.eval().requires_grad_(False)
