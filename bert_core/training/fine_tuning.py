"""Fine-tuning: the head and the encoder trained together on a task's labelled examples, scored on dev and test.

Every step is a function of (seed, step number, weights): order and dropout draw from keys. After each epoch dev is
scored in the number format of training; the weights of the best epoch are kept where the recipe says so. With the
weights kept, dev and test are scored once more in float32, and these are the scores that count.
A loss or gradient that is not finite stops the run before it reaches the weights. By choice each batch passes a second
time with moved word vectors (`adversarial.py`), a teacher stands beside the labels (`distillation.py`), and training
stops early on dev.

Written to the output folder: the model in the layout of transformers, `metrics.jsonl` (every step's loss, every
epoch's dev scores), `scores.json`, `predictions.jsonl`.

Not here: checkpoints (a fine-tuning is short and starts over), and the making of labelled examples.

Source: Devlin et al. 2019 (arXiv:1810.04805), appendix A.3.
"""

import contextlib
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bert_core.corpus.paths import find_file
from bert_core.errors import CheckpointError, TrainingError
from bert_core.examples.knowledge import Knowledge
from bert_core.model.dropout import seed_dropout
from bert_core.model.heads import BertForExtractiveQA, BertForSequenceLabelling, save_fine_tuned
from bert_core.progress import Progress, silent
from bert_core.randomness import seed_of
from bert_core.tokens.tokenizer import WordPieceTokenizer
from bert_core.training.adversarial import watching_word_vectors
from bert_core.training.answers import answer_predictions, fitted_threshold, merge_windows, score_answers
from bert_core.training.device import Device, choose_device
from bert_core.training.distillation import Distillation
from bert_core.training.fine_tune_job import FineTuneJob
from bert_core.training.fine_tune_start import balanced_weights, check_examples, starting_model
from bert_core.training.inference import logits_of, mean_loss, predict_classes, predict_spans, predict_tags, scored
from bert_core.training.labelled_batches import (
    LabelledBatch,
    LabelledExamples,
    hang_triples,
    padded_batches,
    read_labelled,
    training_order,
)
from bert_core.training.optimization import build_optimizer, clip_gradients, set_learning_rate
from bert_core.training.scoring import (
    MAIN_SCORES,
    class_predictions,
    score_classes,
    score_tags,
    tag_predictions,
    write_predictions,
    write_scores,
)
from bert_core.training.stopping import StopFlag, TrainingStopped, listening_for_stop


def run_fine_tune(job: FineTuneJob, progress: Progress = silent, stop: StopFlag | None = None) -> dict[str, Any]:
    """Fine-tune, score, and write the model folder.

    Args:
        job: what to train on what.
        progress: told the steps done, with loss and the best dev score.
        stop: asked between steps; None to listen for SIGTERM and SIGINT here.

    Returns:
        Counts: `num_train_examples`, `num_dev_examples`, `num_test_examples`, `epochs`, `steps`, `best_epoch` (from
        1), `train_loss` (of the last epoch), `dev` and `test` scores, `seconds`, `device`.

    Raises:
        TaskDataError: there is nothing to train on, or a label is outside the task's.
        CheckpointError: the start does not fit the vocabulary or the examples.
        TrainingError: a loss or gradient is not finite.
        TrainingStopped: the process was asked to stop (exit 143 for SIGTERM); nothing is kept.
    """
    if stop is None:
        with listening_for_stop() as stop:
            return run_fine_tune(job, progress, stop)
    if job.num_threads:
        torch.set_num_threads(job.num_threads)
    return _FineTuning(job, progress, stop).run()


class _FineTuning:
    """The state of one fine-tuning: model, splits, what was measured."""

    def __init__(self, job: FineTuneJob, progress: Progress, stop: StopFlag) -> None:
        self.job, self.task, self.config = job, job.task, job.task.fine_tune
        self.progress, self.stop = progress, stop
        self.splits = {split: read_labelled(job.labelled_folder, split) for split in ("train", "dev", "test")}
        check_examples(job, self.splits)
        tokenizer = WordPieceTokenizer.from_folder(job.vocabulary_folder)
        self.pad_id = tokenizer.pad_id
        self.knowledge = None
        if self.config.knowledge.triples is not None:
            file = find_file(self.config.knowledge.triples, Path.cwd(), "fine_tune.knowledge.triples")
            self.knowledge = Knowledge(file.path, tokenizer, self.config.knowledge.max_triples)
            for split, examples in self.splits.items():
                self.splits[split] = hang_triples(examples, self.knowledge, self.config.max_tokens)
        self.model = starting_model(job, tokenizer.vocabulary_size, self.pad_id)
        longest = max(int(split.num_tokens.max(initial=0)) for split in self.splits.values())
        if longest > self.model.config.max_position_embeddings:
            raise CheckpointError(
                f"{job.labelled_folder}: examples of {longest} tokens, expected at most the "
                f"{self.model.config.max_position_embeddings} positions of the model; lower fine_tune.max_tokens"
            )
        self.device = choose_device(job.precision)
        self.model.to(self.device.device)
        self.class_weights = None
        if self.config.class_weights == "balanced":
            weights = balanced_weights(self.splits["train"].labels, len(self.task.labels))
            self.class_weights = torch.from_numpy(weights).to(self.device.device)
        self.distillation = None
        if self.config.distillation.is_on:
            self.distillation = Distillation(job, self.model, tokenizer, self.device)
        self.steps_of_epoch = -(-self.splits["train"].num_examples // self.config.batch_examples)
        self.num_steps, self.steps_done = self.config.epochs * self.steps_of_epoch, 0
        self.metrics: list[dict[str, Any]] = []
        questions = self.splits["train"].questions
        self.may_decline = questions is not None and any(not answers for answers in questions.answers)
        self.threshold = self.config.answers.no_answer_threshold

    def run(self) -> dict[str, Any]:
        """Train all epochs, choose the weights, score test, write everything."""
        began = time.monotonic()
        train, dev, test = self.splits["train"], self.splits["dev"], self.splits["test"]
        optimizer, rate_of = build_optimizer(self._trained(), self.config.optimization, self.num_steps)
        epochs_done, best_epoch, best = 0, 0, (-math.inf, -math.inf)
        best_weights: dict[str, torch.Tensor] = {}
        train_loss = 0.0
        for epoch in range(self.config.epochs):
            train_loss = self._train_epoch(epoch, optimizer, rate_of)
            scores, loss, _ = self._evaluate(dev, self.device)
            self.metrics.append(_dev_row(self.steps_done, epoch, loss, scores))
            rank = (scores[MAIN_SCORES[self.task.family]], -loss)  # a small dev set ties often; its loss decides
            keeps_best = self.config.keep_best_on_dev and dev.num_examples > 0
            epochs_done = epoch + 1
            if rank > best or not keeps_best:
                best_epoch, best = epoch + 1, rank
                if keeps_best:
                    best_weights = {name: value.clone() for name, value in self.model.state_dict().items()}
            elif self.config.patience_epochs is not None and epochs_done - best_epoch >= self.config.patience_epochs:
                break
        if best_weights:
            self.model.load_state_dict(best_weights)
        exact = choose_device("float32")  # the scores are then those of `predict.py` on any machine
        dev_scores, _, _ = self._evaluate(dev, exact)
        test_scores, _, lines = self._evaluate(test, exact)
        counts = {
            "num_train_examples": train.num_examples,
            "num_dev_examples": dev.num_examples,
            "num_test_examples": test.num_examples,
            "epochs": epochs_done,
            "steps": self.steps_done,
            "best_epoch": best_epoch,
            "train_loss": train_loss,
            "dev": dev_scores,
            "test": test_scores,
        }
        if self.knowledge is not None:
            counts["knowledge"] = {split: examples.knowledge_counts() for split, examples in self.splits.items()}
        self._write(counts, lines)
        return counts | {"seconds": round(time.monotonic() - began, 3), "device": str(self.device)}

    def _train_epoch(self, epoch: int, optimizer: torch.optim.Optimizer, rate_of: Callable[[int], float]) -> float:
        """Take one step for each batch; return the mean loss."""
        train, losses = self.splits["train"], []
        order = training_order(train.lengths, self.job.seed, epoch, self.config.batch_examples)
        self.model.train()
        for batch in padded_batches(train, order, pad_id=self.pad_id):
            self._stop_if_asked()
            step = self.steps_done
            optimizer.zero_grad(set_to_none=True)
            terms = self._add_gradients(batch, step)
            value = sum(terms.values())
            norm = clip_gradients(self._trained(), self.config.optimization.max_gradient_norm)
            if not (math.isfinite(value) and math.isfinite(norm)):
                raise TrainingError(
                    f"step {step} of {self.num_steps}: loss {value}, gradient norm {norm}, expected finite numbers; "
                    f"lower fine_tune.optimization.learning_rate {self.config.optimization.learning_rate:g}"
                )
            rate = rate_of(step)
            set_learning_rate(optimizer, rate)
            if self.distillation is not None:
                self.distillation.remember(self.model)
            optimizer.step()
            self.steps_done += 1
            losses.append(value)
            self.metrics.append(
                {
                    "split": "train",
                    "step": step + 1,
                    "epoch": epoch + 1,
                    "loss": value,
                    **(terms if self.distillation is not None else {}),
                    "learning_rate": rate,
                    "gradient_norm": norm,
                }
            )
            self.progress(step + 1, self.num_steps, "steps", loss=value, epoch=epoch + 1)
        return float(np.mean(losses))

    def _trained(self) -> torch.nn.Module:
        """The model, with what else is learned beside it."""
        return self.model if self.distillation is None else self.distillation.trained_with(self.model)

    def _add_gradients(self, batch: LabelledBatch, step: int) -> dict[str, float]:
        """Run a batch forward and backward, once more against moved word vectors where FGM is on.

        Returns:
            the terms of the loss by name: that of the labels, and those of a teacher, which the second pass lacks.
        """
        if not self.config.fgm_epsilon:
            return self._pass(batch, step, self.distillation)
        with watching_word_vectors(self.model) as word_vectors:
            terms = self._pass(batch, step, self.distillation)
            word_vectors.move_against(self.config.fgm_epsilon)
            self._pass(batch, step, None)
        return terms

    def _pass(self, batch: LabelledBatch, step: int, distillation: Distillation | None) -> dict[str, float]:
        seed_dropout(self.model, seed_of(self.job.seed, "fine_tune", "dropout", step))
        labels = torch.from_numpy(batch.labels).to(self.device.device)
        with distillation.watching(self.model) if distillation is not None else contextlib.nullcontext({}) as hidden:
            logits = logits_of(self.model, batch, self.device)
        terms = {"label_loss": self.model.loss(logits, labels, self.class_weights)}
        if distillation is not None:
            terms |= distillation.losses(logits, hidden, batch)
        torch.stack(list(terms.values())).sum().backward()
        return {name: float(term.detach()) for name, term in terms.items()}

    def _stop_if_asked(self) -> None:
        """Leave training or scoring where a signal came."""
        number = self.stop.signal_number
        if number is not None:
            done = f"{self.steps_done} of {self.num_steps} steps"
            raise TrainingStopped(
                f"fine-tuning stopped after {done} by signal {number}; run again to start it over", number
            )

    def _evaluate(self, examples: LabelledExamples, device: Device) -> tuple[dict[str, Any], float, Any]:
        """Return scores, mean loss, and the readable predictions (made only when they are walked)."""
        labels = self.task.labels
        if isinstance(self.model, BertForExtractiveQA):
            return self._evaluate_answers(self.model, examples, device)
        if not isinstance(self.model, BertForSequenceLabelling):
            found = predict_classes(self.model, examples, device, pad_id=self.pad_id, before_batch=self._stop_if_asked)
            gold = found[np.arange(len(found)), examples.labels]
            return (
                score_classes(examples, found, labels),
                mean_loss(gold),
                class_predictions(examples, found, labels),
            )
        tags = predict_tags(self.model, examples, device, pad_id=self.pad_id, before_batch=self._stop_if_asked)
        loss = mean_loss(tags.gold_probabilities[scored(examples)])
        scheme = self.config.tags
        return score_tags(examples, tags, labels, scheme), loss, tag_predictions(examples, tags, labels, scheme)

    def _evaluate_answers(
        self, model: BertForExtractiveQA, examples: LabelledExamples, device: Device
    ) -> tuple[dict[str, Any], float, Any]:
        """The same for answers; where none may be given, dev decides from which score on."""
        config = self.config.answers
        spans = predict_spans(
            model, examples, device, pad_id=self.pad_id, config=config, before_batch=self._stop_if_asked
        )
        answers = merge_windows(examples.record_ids, spans)
        if self.may_decline and config.no_answer_threshold is None and examples is self.splits["dev"]:
            self.threshold = fitted_threshold(examples, spans, answers, config.scoring)
        loss = float(spans.losses.mean(dtype=np.float64)) if examples.num_examples else 0.0
        found = (examples, spans, answers, self.threshold, config.scoring)
        return score_answers(*found), loss, answer_predictions(*found)

    def _write(self, counts: dict[str, Any], lines: Any) -> None:
        folder, job = self.job.output_folder, self.job
        answers = None
        if self.task.family == "extractive_qa":
            answers = self.config.answers.model_copy(update={"no_answer_threshold": self.threshold})
        save_fine_tuned(
            folder,
            self.model,
            job.vocabulary_folder,
            self.task.labels,
            max_tokens=self.config.max_tokens,
            tags=self.config.tags,
            knowledge=self.knowledge.path if self.knowledge is not None else None,
            max_triples=self.config.knowledge.max_triples,
            answers=answers,
            card={
                "family": self.task.family,
                "labels": self.task.labels,
                "training examples": counts["num_train_examples"],
                "epochs": f"{counts['epochs']}, best on dev: {counts['best_epoch']}",
                "passes a step": 2 if self.config.fgm_epsilon else 1,
                **({"teacher": self.config.distillation.teacher} if self.distillation is not None else {}),
                "learning rate": self.config.optimization.learning_rate,
                "seed": job.seed,
                f"dev {MAIN_SCORES[self.task.family]}": counts["dev"].get(MAIN_SCORES[self.task.family]),
                f"test {MAIN_SCORES[self.task.family]}": counts["test"].get(MAIN_SCORES[self.task.family]),
            },
        )
        with (folder / "metrics.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in self.metrics)
        write_scores(
            folder,
            self.task.family,
            self.task.labels,
            best_epoch=counts["best_epoch"],
            dev=counts["dev"],
            test=counts["test"],
        )
        write_predictions(folder, lines)


def _dev_row(step: int, epoch: int, loss: float, scores: dict[str, Any]) -> dict[str, Any]:
    numbers = {name: value for name, value in scores.items() if isinstance(value, int | float)}
    return {"split": "dev", "step": step, "epoch": epoch + 1, "loss": loss, **numbers}
