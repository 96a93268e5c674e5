"""Which examples a step of pretraining reads: one answer for the loop and for whoever looks at a step later.

How they are drawn and laid out is told in `batches.py`.
"""

import numpy as np

from bert_core.config import TransferConfig
from bert_core.examples.reader import ExampleSet
from bert_core.training.job import TransferJob
from bert_core.training.order import BatchPlan


def plan_batches(examples: ExampleSet, transfer: TransferConfig, seed: int, stage: str) -> BatchPlan:
    """Plan the batches of a stage.

    Args:
        examples: the training set.
        transfer: settings of the stage.
        seed: seed of the run.
        stage: name of the job.
    """
    rows_of_rounds = [examples.rows_of_round(each) for each in range(examples.rounds)]
    return BatchPlan(
        examples.lengths,
        rows_of_rounds,
        transfer.batch_examples,
        seed,
        stage,
        sort_by_length=transfer.pack_tokens is None,
    )


def rows_of_step(job: TransferJob, step: int) -> tuple[int, np.ndarray]:
    """Return the epoch and the rows of the training set that a step of a job reads.

    Args:
        job: a training that has been or will be run.
        step: number of the optimizer step, from 1, as metrics and messages count them.
    """
    examples = ExampleSet.open(job.examples_folder, "train")
    return plan_batches(examples, job.transfer, job.seed, job.stage).rows(step - 1)
