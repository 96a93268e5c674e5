"""The tables of a run: what each stage made and cost, and how rows of this or of scores (`scores.py`) are written.

Rows are plain values read from manifests. A count that a manifest does not hold is None and is shown as a dash, so
that a report of an older store still reads. `cells()` gives every row as short strings under `HEADINGS`; drawing them
on a terminal is the command line's part, drawing them as HTML is `html.py`'s.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from bert_core.report.counts import first_of, number, whole
from bert_core.report.formats import DASH, count, decimal, duration, percent, size
from bert_core.report.scores import ScoreRow
from bert_core.store.manifest import Manifest

_ROW_COUNTS = ("size", "documents", "examples", "num_train_examples", "train_examples", "records", "rows")
_SETS = ("train", "held_out", "dev", "test")
_TRAINING_KINDS = ("transfer", "fine_tune")


@dataclass(frozen=True, kw_only=True, slots=True)
class StageRow:
    """What one stage made and cost."""

    NUM_NAMES: ClassVar[int] = 1
    HEADINGS: ClassVar[tuple[str, ...]] = (
        "stage",
        "rows",
        "steps",
        "loss",
        "MLM accuracy",
        "NSP accuracy",
        "time",
        "size",
    )

    stage: str
    """Stage id, such as `tokens/reviews`."""
    num_rows: int | None
    """Documents, examples or entries that it holds; for a training stage, the examples it was trained on."""
    num_steps: int | None
    """Optimizer steps; training stages only."""
    loss: float | None
    """Training loss at the end, nats."""
    mlm_accuracy: float | None
    """Share of masked tokens of held-out documents that are predicted right, 0 to 1."""
    nsp_accuracy: float | None
    """Share of held-out pairs whose next-sentence label is predicted right, 0 to 1."""
    seconds: float
    """Wall time of the build, seconds."""
    num_bytes: int
    """Size of its files, bytes."""

    def cells(self) -> tuple[str, ...]:
        """Return the row as strings, one for each of `HEADINGS`."""
        return (
            self.stage,
            count(self.num_rows),
            count(self.num_steps),
            decimal(self.loss, 3),
            percent(self.mlm_accuracy),
            percent(self.nsp_accuracy),
            duration(self.seconds),
            size(self.num_bytes),
        )


def stage_rows(manifests: Sequence[Manifest]) -> list[StageRow]:
    """Return one row for each manifest, in the order given."""
    rows = []
    for manifest in manifests:
        counts = manifest.counts
        rows.append(
            StageRow(
                stage=manifest.stage,
                num_rows=rows_of(counts),
                num_steps=whole(first_of(counts, ("steps", "num_steps"))),
                loss=number(first_of(counts, ("train_loss", "loss"))),
                mlm_accuracy=_held_out("mlm_accuracy", manifest),
                nsp_accuracy=_held_out("nsp_accuracy", manifest),
                seconds=manifest.seconds,
                num_bytes=manifest.num_bytes,
            )
        )
    return rows


def markdown_table(rows: Sequence[StageRow] | Sequence[ScoreRow]) -> str:
    """Write rows as a GitHub table; empty where there is none. Columns that hold only dashes are left out.

    Example: `| stage | rows |` / `| :-- | --: |` / `| vocabulary | 8,000 |`.
    """
    if not rows:
        return ""
    table = [row.cells() for row in rows]
    kept = [
        index for index in range(len(rows[0].HEADINGS)) if index == 0 or any(cells[index] != DASH for cells in table)
    ]
    left = rows[0].NUM_NAMES
    lines = [
        [rows[0].HEADINGS[index] for index in kept],
        [":--" if index < left else "--:" for index in kept],
        *([cells[index].replace("|", "\\|").replace("\n", " ") for index in kept] for cells in table),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def rows_of(counts: Mapping[str, Any]) -> int | None:
    """Return how many rows an output holds; where counts are kept by set (train, held_out, ...), their sum.

    Example: `{"train": {"examples": 90}, "held_out": {"examples": 10}}` -> 100.
    """
    found = whole(first_of(counts, _ROW_COUNTS))
    if found is not None:
        return found
    splits = counts.get("splits")
    sets = splits if isinstance(splits, Mapping) else counts
    held = [sets[name] for name in _SETS if isinstance(sets.get(name), Mapping)]
    known = [rows for part in held if (rows := whole(first_of(part, ("examples", "records")))) is not None]
    return sum(known) if known else None


def kind_of(manifest: Manifest) -> str:
    """Return the kind of stage that sealed a manifest, such as `tokens`."""
    return str(manifest.spec.get("kind") or manifest.stage.split("/")[0])


def _held_out(name: str, manifest: Manifest) -> float | None:
    """Find a score on held-out documents; training stages only. Without pairs there is no accuracy of pairs."""
    counts = manifest.counts
    has_no_pairs = name == "nsp_accuracy" and counts.get("held_out_nsp_loss") == 0.0
    if kind_of(manifest) not in _TRAINING_KINDS or has_no_pairs:
        return None
    return number(first_of(counts, (f"held_out_{name}", name)))
