"""Pretraining: the loop from examples and a start to a model folder.

Every step is a function of (seed, step number, weights): batches, masks and dropout draw from keys, so a run that
was killed and goes on from a checkpoint ends with the same bits as one that was not. A loss or gradient that is not
finite stops the run before it reaches the weights.

What this file does not do: read recipes, choose folders, start processes (`process.py`).
"""

import contextlib
import logging
import math
import time
from pathlib import Path
from typing import Any

import torch

from bert_core.errors import TrainingError
from bert_core.model.dropout import seed_dropout
from bert_core.model.exchange import save_model
from bert_core.progress import Progress
from bert_core.randomness import seed_of
from bert_core.store.fingerprint import fingerprint_of
from bert_core.tokens.vocabulary_files import load_vocabulary
from bert_core.training.averaging import AveragedWeights
from bert_core.training.batches import DrawnBatch, prefetch
from bert_core.training.device import choose_device
from bert_core.training.evaluation import evaluate_pretraining
from bert_core.training.gradients import SummedGradients
from bert_core.training.history import EVALUATION_COLUMNS, STEP_COLUMNS, SUMMED_COLUMNS, History
from bert_core.training.job import TransferJob
from bert_core.training.optimization import build_optimizer, clip_gradients, set_learning_rate
from bert_core.training.ranks import ALONE, Ranks
from bert_core.training.resume import checkpoint_folder, load_resume_checkpoint, save_resume_checkpoint, weights_sum
from bert_core.training.run_files import RunFiles
from bert_core.training.speed import Speed
from bert_core.training.start import start_model
from bert_core.training.step import phase_of, plan_phases
from bert_core.training.step_batches import StepBatches
from bert_core.training.stopping import StopFlag, TrainingStopped, listening_for_stop

_log = logging.getLogger(__name__)


def train_transfer(
    job: TransferJob, progress: Progress, stop: StopFlag | None = None, ranks: Ranks = ALONE
) -> dict[str, Any]:
    """Train and write the model folder.

    Args:
        job: what to train on what.
        progress: told the steps done, with loss, learning rate and tokens per second.
        stop: asked between steps; None to listen for SIGTERM and SIGINT here.
        ranks: the processes that share the training, each of which calls this; the first one writes and reports.

    Returns:
        counts: steps, examples, tokens, seconds, tokens_per_second, the train loss over the last tenth of the steps,
        and held-out losses and accuracies.

    Raises:
        TrainingError: a loss or gradient is not finite.
        TrainingStopped: the process was asked to stop; a checkpoint was saved.
        CheckpointError: the start does not fit the vocabulary or the examples.
    """
    if stop is None:
        with listening_for_stop() as flag:
            return train_transfer(job, progress, flag, ranks)
    if job.num_threads:
        torch.set_num_threads(job.num_threads)
    training = _Training(job, ranks)
    training.restore()
    with contextlib.closing(RunFiles(job.runs_folder, training.steps_done, writes=ranks.is_first)) as runs:
        training.run(progress, stop, runs)
    return training.finish()


class _Training:
    """One training: data, model, optimizer, and the history of its steps."""

    def __init__(self, job: TransferJob, ranks: Ranks = ALONE) -> None:
        self.job, self.config, self.ranks = job, job.transfer, ranks
        self.device = choose_device(job.precision, job.device, ranks)
        self.phases = plan_phases(job)
        self.model, self.start_report = start_model(job)
        self.model.to(self.device.device)
        self.batches = StepBatches(job, self.phases, self.model.config.pad_token_id, self.device.device, ranks)
        self.optimizer, self.learning_rate = build_optimizer(self.model, self.config.optimization, self.config.steps)
        self.gradients = SummedGradients(self.model, ranks)
        self.average = AveragedWeights(self.model, self.config.average_decay)
        self.history = History(self.config.steps, "sop" if self.config.examples.objective == "sop" else "nsp")
        self.job_digest = fingerprint_of(job.what_bits_depend_on())
        self.steps_done = self.resumed_at = 0
        self.speed = Speed(self.model.config, self.device, ranks.size)

    def restore(self) -> None:
        """Go on from the newest whole checkpoint, if there is one."""
        self.steps_done, tensors = load_resume_checkpoint(
            self.job.resume_folder, self.model, self.optimizer, self.job_digest, self._made_on()
        )
        self.ranks.require_equal("the step of the checkpoint to go on from", self.steps_done)
        self.ranks.require_equal("the sum of the weights", weights_sum(self.model))
        self.history.restore(tensors)
        self.average.restore(tensors)
        self.resumed_at = self.steps_done
        _log.info(
            "%s: %s parameters, %s, %s processes of %s threads; %s train and %s held-out examples; step %s of %s",
            self.job.stage,
            sum(parameter.numel() for parameter in self.model.parameters()),
            self.device,
            self.ranks.size,
            torch.get_num_threads(),
            sum(phase.examples.num_examples for phase in self.phases),
            self.batches.num_held_out,
            self.steps_done,
            self.config.steps,
        )

    def run(self, progress: Progress, stop: StopFlag, runs: RunFiles) -> None:
        """Run the steps that are left, with evaluations and checkpoints on their way."""
        total = self.config.steps
        self.model.train()
        self._evaluate_where_due(stop, runs)  # a stop may have come while this was going on
        with contextlib.closing(prefetch(self._draw, range(self.steps_done, total))) as batches:
            for batch in batches:
                self._step(batch, runs)
                done = self.steps_done
                if done % self.history.row_steps == 0 or done == total:
                    row = self.history.train_row(done, self.history.row_steps)
                    runs.write({**row, **self.speed.over_last(100)})
                progress(
                    done,
                    total,
                    "steps",
                    loss=self.history.steps[-1][0],
                    learning_rate=self.history.steps[-1][STEP_COLUMNS.index("learning_rate")],
                    tokens_per_second=self.speed.over_last(20)["tokens_per_second"],
                )
                self._evaluate_where_due(stop, runs)
                if self.ranks.agreed_signal(stop) is not None and done < total:
                    break
                if done % self.config.save_every_steps == 0 and done < total:
                    self._save_resume()
        if self.steps_done < total or self._evaluation_is_due():
            folder = self._save_resume()
            signal_number = self.ranks.agreed_signal(stop)
            assert signal_number is not None
            raise TrainingStopped(
                f"{self.job.stage}: stopped by signal {signal_number} after step {self.steps_done} of {total}; "
                f"saved as {folder.name}, run again to go on",
                signal_number,
            )

    def finish(self) -> dict[str, Any]:
        """Write the model folder and return the counts."""
        total = self.config.steps
        row = self.history.train_row(total, max(1, total // 10))
        counts: dict[str, Any] = {
            "steps": total,
            "examples": row["examples"],
            "tokens": row["tokens"],
            "train_loss": row["loss"],
            "train_mlm_loss": row["mlm_loss"],
        }
        last = self.history.evaluation_row(len(self.history.evaluations) - 1)
        counts |= {f"held_out_{key}": last[key] for key in last if key not in ("split", "step", "max_tokens")}
        self.ranks.require_equal("the sum of the weights", weights_sum(self.model))
        if self.ranks.is_first:
            with self.average.in_place():
                save_model(
                    self.job.output_folder,
                    self.model,
                    self.job.vocabulary_folder,
                    kind="pretraining",
                    card={"stage": self.job.stage, "seed": self.job.seed, **counts},
                    dtype=self.job.stored_dtype,
                )
            self.history.write(self.job.output_folder / "metrics.jsonl")
        return counts | {
            "start": self.start_report,
            "device": str(self.device),
            "processes": self.ranks.size,
            "num_threads": torch.get_num_threads(),
            "resumed_at_step": self.resumed_at,
            "seconds": self.speed.seconds,
            **self.speed.over_last(None),
        }

    def _draw(self, step: int) -> DrawnBatch:
        return self.batches.of_step(step)

    def _step(self, batch: DrawnBatch, runs: RunFiles) -> None:
        """Do one optimizer step, or raise before it where a number is not finite."""
        step, started = self.steps_done, time.perf_counter()
        self.gradients.begin()
        totals = torch.zeros(len(SUMMED_COLUMNS), dtype=torch.float64, device=self.device.device)
        for number, part in enumerate(batch.parts):
            seed_dropout(self.model, seed_of(self.job.seed, self.job.stage, "dropout", step, batch.first_part + number))
            if number == len(batch.parts) - 1:
                self.gradients.begin_last_part()
            with self.device.autocast():
                output = self.model(part.to(self.device.device), batch.counts)
            output.loss.backward()
            values = (torch.as_tensor(getattr(output, name), dtype=torch.float64) for name in SUMMED_COLUMNS)
            totals += torch.stack([value.detach().to(totals.device) for value in values])
        self.gradients.finish()
        sums = dict(zip(SUMMED_COLUMNS, self.ranks.total(totals).tolist(), strict=True))
        norm = clip_gradients(self.model, self.config.optimization.max_gradient_norm)
        loss = sums["loss"]
        if not (math.isfinite(loss) and math.isfinite(norm)):
            entries = load_vocabulary(self.job.vocabulary_folder)
            dump = runs.dump_batch(step + 1, batch, f"loss {loss}, gradient norm {norm}", entries)
            raise TrainingError(
                f"{self.job.stage}: loss {loss}, gradient norm {norm} at step {step + 1}, expected finite numbers; "
                f"the batch is described in {dump}; lower optimization.learning_rate or look at these examples"
            )
        rate = self.learning_rate(step)
        set_learning_rate(self.optimizer, rate)
        self.optimizer.step()
        self.average.update(step)
        measured = {
            **sums,
            "examples": len(batch.example_ids),
            "tokens": batch.num_tokens,
            "learning_rate": rate,
            "gradient_norm": norm,
        }
        self.history.steps.append(tuple(float(measured[name]) for name in STEP_COLUMNS))
        self.steps_done += 1
        self.speed.add(batch, time.perf_counter() - started)

    def _evaluation_is_due(self) -> bool:
        """Say whether the model of this moment is to be evaluated and was not."""
        done, evaluated = self.steps_done, self.history.evaluations
        is_place = done % self.config.evaluate_every_steps == 0 or done == self.config.steps
        return done > 0 and is_place and not (evaluated and evaluated[-1][0] == done)

    def _evaluate_where_due(self, stop: StopFlag, runs: RunFiles) -> None:
        if self._evaluation_is_due():
            phase = phase_of(self.phases, self.steps_done - 1)
            with self.average.in_place():
                values = evaluate_pretraining(self.model, self.batches.held_out(phase), self.device, stop, self.ranks)
            if values is not None:
                values |= {"step": self.steps_done, "max_tokens": phase.max_tokens}
                self.history.evaluations.append(tuple(float(values[name]) for name in EVALUATION_COLUMNS))
                runs.write(self.history.evaluation_row(len(self.history.evaluations) - 1))

    def _save_resume(self) -> Path:
        """Save a checkpoint on the first rank while the others wait."""
        if self.ranks.is_first:
            save_resume_checkpoint(
                self.job.resume_folder,
                self.steps_done,
                self.model,
                self.optimizer,
                self.history.tensors() | self.average.tensors(),
                self.job_digest,
                self.config.keep_checkpoints,
                self._made_on(),
            )
        self.ranks.wait_for_all()
        return checkpoint_folder(self.job.resume_folder, self.steps_done)

    def _made_on(self) -> str:
        return f"{self.device}, {self.ranks.size} processes"
