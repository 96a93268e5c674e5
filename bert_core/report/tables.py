"""The two tables of a run: what each stage made and cost, and how each task scored beside its references.

Rows are plain values read from manifests. A count that a manifest does not hold is None and is shown as a dash, so
that a report of an older store still reads. `cells()` gives every row as short strings under `HEADINGS`; drawing them
on a terminal is the command line's part, drawing them as HTML is `html.py`'s.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from bert_core.report.formats import DASH, count, decimal, duration, percent, size
from bert_core.store.manifest import Manifest

_ROW_COUNTS = ("size", "documents", "examples", "num_train_examples", "train_examples", "records", "rows")
_SETS = ("train", "held_out", "dev", "test")
_TRAINING_KINDS = ("transfer", "fine_tune")


@dataclass(frozen=True, kw_only=True, slots=True)
class StageRow:
    """What one stage made and cost."""

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


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreRow:
    """Test scores of one fine-tuned model or reference."""

    HEADINGS: ClassVar[tuple[str, ...]] = (
        "task",
        "starts from",
        "accuracy",
        "macro F1",
        "MCC",
        "entity F1",
        "precision",
        "recall",
        "test examples",
    )

    task: str
    """Name of the task."""
    start: str
    """Where its weights come from: a transfer stage, `model` for the recipe's starting model, `random`, `tfidf`
    for TF-IDF + logistic regression, or `majority` for the commonest class, which have none."""
    is_reference: bool
    """False for the model that the recipe asks for."""
    is_best: bool
    """Highest main score of its task (every row that ties is best)."""
    num_train_examples: int | None
    """Labelled examples it was trained on."""
    num_test_examples: int | None
    """Labelled examples it was scored on."""
    accuracy: float | None
    """Share of right classes, 0 to 1."""
    macro_f1: float | None
    """Mean F1 over the classes or entity types, 0 to 1."""
    mcc: float | None
    """Matthews correlation, -1 to 1."""
    entity_f1: float | None
    """Micro F1 of whole entities, 0 to 1; sequence labelling only."""
    precision: float | None
    """Share of predicted entities that are right, 0 to 1; sequence labelling only."""
    recall: float | None
    """Share of true entities that are found, 0 to 1; sequence labelling only."""
    seconds: float
    """Wall time of its training and scoring, seconds."""

    @property
    def main_name(self) -> str:
        """Name of the score by which rows of a task are compared: the one by which epochs are chosen on dev."""
        return "macro F1" if self.entity_f1 is None else "entity F1"

    @property
    def main_score(self) -> float | None:
        """The score by which rows of a task are compared, 0 to 1."""
        return self.macro_f1 if self.entity_f1 is None else self.entity_f1

    @property
    def accuracy_margin(self) -> float | None:
        """Half the width of the accuracy's 95 % interval that the number of test examples alone allows, 0 to 1.

        Example: accuracy 0.9 on 1,000 examples -> 0.0186.

        Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
        """
        if self.accuracy is None or not self.num_test_examples:
            return None
        share, number, z = self.accuracy, self.num_test_examples, 1.96
        return z * math.sqrt(share * (1 - share) / number + z * z / (4 * number**2)) / (1 + z * z / number)

    def cells(self) -> tuple[str, ...]:
        """Return the row as strings, one for each of `HEADINGS`; the best of a task carries a star."""
        star = " ★" if self.is_best else ""
        entity = self.entity_f1 is not None
        return (
            self.task,
            self.start if self.is_reference else f"{self.start} (this run)",
            percent(self.accuracy),
            percent(self.macro_f1) + ("" if entity else star),
            decimal(self.mcc, 3),
            percent(self.entity_f1) + (star if entity else ""),
            percent(self.precision),
            percent(self.recall),
            count(self.num_test_examples),
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
                num_steps=_whole(first_of(counts, ("steps", "num_steps"))),
                loss=_number(first_of(counts, ("train_loss", "loss"))),
                mlm_accuracy=_held_out("mlm_accuracy", manifest),
                nsp_accuracy=_held_out("nsp_accuracy", manifest),
                seconds=manifest.seconds,
                num_bytes=manifest.num_bytes,
            )
        )
    return rows


def score_rows(manifests: Sequence[Manifest]) -> list[ScoreRow]:
    """Return the test scores of every fine-tuned model: by task, the model of the run first, then its references.

    Example: stages `fine_tune/sentiment` (parents: `task_transfer`, ...) and `fine_tune/sentiment/from_random` give the
    rows `sentiment, task_transfer` and `sentiment, random`.

    Args:
        manifests: of a run; stages that are no fine-tuning are passed over.
    """
    found: list[ScoreRow] = []
    for manifest in manifests:
        parts = manifest.stage.split("/")
        if parts[0] != "fine_tune" or len(parts) < 2:
            continue
        counts, test = manifest.counts, manifest.counts.get("test")
        test = test if isinstance(test, Mapping) else {}
        is_entities = "by_type" in test or ("f1" in test and "accuracy" not in test)
        found.append(
            ScoreRow(
                task=parts[1],
                start=_start_of(manifest),
                is_reference=len(parts) > 2,
                is_best=False,
                num_train_examples=_whole(first_of(counts, ("train_examples", "num_train_examples"))),
                num_test_examples=_whole(first_of(test, ("num_examples", "examples"))),
                accuracy=None if is_entities else _number(test.get("accuracy")),
                macro_f1=_number(test.get("macro_f1")),
                mcc=_number(test.get("mcc")),
                entity_f1=_number(test.get("f1")) if is_entities else None,
                precision=_number(test.get("precision")) if is_entities else None,
                recall=_number(test.get("recall")) if is_entities else None,
                seconds=manifest.seconds,
            )
        )
    tasks = list(dict.fromkeys(row.task for row in found))
    return [row for task in tasks for row in _ranked([row for row in found if row.task == task])]


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
    left = 2 if isinstance(rows[0], ScoreRow) else 1
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
    found = _whole(first_of(counts, _ROW_COUNTS))
    if found is not None:
        return found
    splits = counts.get("splits")
    sets = splits if isinstance(splits, Mapping) else counts
    held = [sets[name] for name in _SETS if isinstance(sets.get(name), Mapping)]
    known = [rows for part in held if (rows := _whole(first_of(part, ("examples", "records")))) is not None]
    return sum(known) if known else None


def kind_of(manifest: Manifest) -> str:
    """Return the kind of stage that sealed a manifest, such as `tokens`."""
    return str(manifest.spec.get("kind") or manifest.stage.split("/")[0])


def first_of(counts: Mapping[str, Any], names: Iterable[str]) -> Any:
    """Return the first count that is there under one of `names`, else None."""
    return next((counts[name] for name in names if counts.get(name) is not None), None)


def _ranked(rows: list[ScoreRow]) -> list[ScoreRow]:
    """Put the model of the run first and mark the best of a task."""
    scores = [row.main_score for row in rows if row.main_score is not None]
    best = max(scores) if scores else None
    return [
        replace(row, is_best=best is not None and row.main_score == best)
        for row in sorted(rows, key=lambda row: row.is_reference)
    ]


def _start_of(manifest: Manifest) -> str:
    """Say where the weights of a fine-tuned model come from; its id decides where its inputs do not."""
    name = "/".join(manifest.stage.split("/")[2:])
    settings = manifest.spec.get("settings")
    if name in ("tfidf", "majority") or (isinstance(settings, Mapping) and settings.get("random_weights")):
        return name.removeprefix("from_") or "random"
    if "start" in manifest.parents:
        return manifest.parents["start"].stage
    raw = manifest.spec.get("raw")
    if isinstance(raw, Mapping) and any(str(key).startswith(("start/", "hub/")) for key in raw):
        return "model"
    return name.removeprefix("from_") or "random"


def _held_out(name: str, manifest: Manifest) -> float | None:
    """Find a score on held-out documents; training stages only. Without pairs there is no accuracy of pairs."""
    counts = manifest.counts
    has_no_pairs = name == "nsp_accuracy" and counts.get("held_out_nsp_loss") == 0.0
    if kind_of(manifest) not in _TRAINING_KINDS or has_no_pairs:
        return None
    return _number(first_of(counts, (f"held_out_{name}", name)))


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
