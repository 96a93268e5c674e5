"""The batch of any step and the held-out batches of any phase, laid out for this rank."""

from collections.abc import Sequence

import torch

from bert_core.examples.masking import MaskVocabulary
from bert_core.examples.reader import ExampleSet
from bert_core.training.batches import LENGTH_MULTIPLE, DrawnBatch, Layout, draw_batch
from bert_core.training.evaluation import evaluation_batches
from bert_core.training.job import TransferJob
from bert_core.training.ranks import Ranks
from bert_core.training.step import Phase, phase_of


class StepBatches:
    """Draws the batches of a job; held-out ones are drawn once."""

    def __init__(
        self, job: TransferJob, phases: Sequence[Phase], pad_id: int, device: torch.device, ranks: Ranks
    ) -> None:
        self.vocabulary = MaskVocabulary.from_folder(job.vocabulary_folder, job.transfer.masking)
        self._job, self._phases, self._pad_id, self._ranks = job, list(phases), pad_id, ranks
        self._length_multiple = LENGTH_MULTIPLE.get(device.type, 8)
        self._held_out = {phase.first_step: self._draw_held_out(phase) for phase in phases}

    @property
    def num_held_out(self) -> int:
        """Return the held-out examples of all phases."""
        return sum(len(batch.example_ids) for batches in self._held_out.values() for batch in batches)

    def held_out(self, phase: Phase) -> list[DrawnBatch]:
        """Return the batches that a phase is evaluated on."""
        return self._held_out[phase.first_step]

    def of_step(self, step: int) -> DrawnBatch:
        """Return the batch of a step, from 0."""
        phase = phase_of(self._phases, step)
        epoch, rows = phase.rows(step)
        masking, seed = self._job.transfer.masking, self._job.seed
        return draw_batch(phase.examples, rows, masking, self.vocabulary, seed, epoch, self._layout(phase))

    def _draw_held_out(self, phase: Phase) -> list[DrawnBatch]:
        transfer, seed = self._job.transfer, self._job.seed
        examples = ExampleSet.open(phase.folder, "held_out")
        return evaluation_batches(
            examples, transfer.batch_examples, transfer.masking, self.vocabulary, seed, self._layout(phase)
        )

    def _layout(self, phase: Phase) -> Layout:
        return Layout(
            pad_id=self._pad_id,
            length_multiple=self._length_multiple,
            pack_tokens=phase.pack_tokens,
            part_examples=phase.part_examples,
            with_spans=self._job.transfer.span_boundary,
            rank=self._ranks.rank,
            num_ranks=self._ranks.size,
        )
