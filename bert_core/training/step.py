"""Which examples a step of pretraining reads: one answer for the loop and for whoever looks at a step later.

A stage has one phase, or two: most steps on short examples, the last ones on long examples. Each phase has examples and
an order of its own; the learning rate runs through both. How a batch is drawn and laid out is told in `batches.py`.

Source: Devlin et al. 2019 (arXiv:1810.04805), appendix A.2: 128 tokens for 90 % of the steps, then 512.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bert_core.config import TransferConfig
from bert_core.errors import RequestError
from bert_core.examples.reader import ExampleSet
from bert_core.training.job import TransferJob
from bert_core.training.order import BatchPlan


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """A run of steps on one set of examples."""

    folder: Path
    """Where its examples lie."""
    max_tokens: int
    """Longest example, tokens."""
    first_step: int
    """Its first step, from 0."""
    stop_step: int
    """One past its last step."""
    examples: ExampleSet
    """Its training set."""
    plan: BatchPlan
    """Order of its batches; its step 0 is `first_step`."""
    pack_tokens: int | None
    """Longest row of several examples, tokens; None for one example a row."""
    part_examples: int | None
    """Most examples of one part of a step; None for one part."""

    def rows(self, step: int) -> tuple[int, np.ndarray]:
        """Return the epoch of this phase and the rows that a step (from 0, of the stage) reads."""
        return self.plan.rows(step - self.first_step)


def plan_phases(job: TransferJob) -> list[Phase]:
    """Plan the phases of a job in their order.

    Raises:
        RequestError: a phase has no train examples.
    """
    transfer = job.transfer
    first_long = transfer.first_long_step()
    phases = [_phase(job, job.examples_folder, transfer, job.stage, 0, first_long)]
    if transfer.long_phase is not None:
        assert job.long_examples_folder is not None
        long = transfer.as_long_phase()
        phases.append(_phase(job, job.long_examples_folder, long, f"{job.stage}/long", first_long, transfer.steps))
    return [phase for phase in phases if phase.first_step < phase.stop_step]


def phase_of(phases: list[Phase], step: int) -> Phase:
    """Return the phase that a step (from 0) belongs to."""
    return next(phase for phase in phases if step < phase.stop_step)


def phase_and_rows_of_step(job: TransferJob, step: int) -> tuple[Phase, int, np.ndarray]:
    """Return the phase, its epoch and the rows of its training set that a step of a job reads.

    Args:
        job: a training that has been or will be run.
        step: number of the optimizer step, from 1, as metrics and messages count them.
    """
    phase = phase_of(plan_phases(job), step - 1)
    return phase, *phase.rows(step - 1)


def _phase(
    job: TransferJob, folder: Path, transfer: TransferConfig, name: str, first_step: int, stop_step: int
) -> Phase:
    examples = ExampleSet.open(folder, "train")
    if not examples.num_examples:
        raise RequestError(f"{folder}: no train examples; is the corpus too small?")
    plan = BatchPlan(
        examples.lengths,
        [examples.rows_of_round(each) for each in range(examples.rounds)],
        transfer.batch_examples,
        job.seed,
        name,
        sort_by_length=transfer.pack_tokens is None,
    )
    return Phase(
        folder=folder,
        max_tokens=transfer.examples.max_tokens,
        first_step=first_step,
        stop_step=stop_step,
        examples=examples,
        plan=plan,
        pack_tokens=transfer.pack_tokens,
        part_examples=transfer.part_examples,
    )
