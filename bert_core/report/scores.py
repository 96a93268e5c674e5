"""How each task scored beside its references, as rows of plain values read from manifests.

A score that a manifest does not hold is None and is shown as a dash. Drawing a row is the part of `tables.py`, of
`html.py` and of the command line.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from bert_core.report.counts import first_of, number, whole
from bert_core.report.formats import count, decimal, percent
from bert_core.store.manifest import Manifest


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreRow:
    """Test scores of one fine-tuned model or reference."""

    NUM_NAMES: ClassVar[int] = 2
    HEADINGS: ClassVar[tuple[str, ...]] = (
        "task",
        "starts from",
        "accuracy",
        "macro F1",
        "MCC",
        "entity F1",
        "precision",
        "recall",
        "answer F1",
        "exact match",
        "test examples",
    )

    task: str
    """Name of the task."""
    start: str
    """Where its weights come from: a transfer stage, `model` for the recipe's starting model, `random`, `tfidf`
    for TF-IDF + logistic regression, `majority` for the commonest class, or `overlap` for the sentence that shares most
    with the question, which have none."""
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
    answer_f1: float | None = None
    """Mean F1 of answers, as CMRC 2018 or SQuAD counts it, 0 to 1; extractive question answering only."""
    exact_match: float | None = None
    """Share of answers that are right to the character, 0 to 1; extractive question answering only."""
    seconds: float
    """Wall time of its training and scoring, seconds."""

    @property
    def main_name(self) -> str:
        """Name of the score by which rows of a task are compared: the one by which epochs are chosen on dev."""
        return next((name for name, value in self._main_scores() if value is not None), "macro F1")

    @property
    def main_score(self) -> float | None:
        """The score by which rows of a task are compared, 0 to 1."""
        return next((value for _, value in self._main_scores() if value is not None), None)

    def _main_scores(self) -> tuple[tuple[str, float | None], ...]:
        """Every score that may be a task's main one; an entity's F1 goes before the mean over types."""
        return ("answer F1", self.answer_f1), ("entity F1", self.entity_f1), ("macro F1", self.macro_f1)

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

        def main(name: str, value: float | None) -> str:
            return percent(value) + (" ★" if self.is_best and name == self.main_name else "")

        return (
            self.task,
            self.start if self.is_reference else f"{self.start} (this run)",
            percent(self.accuracy),
            main("macro F1", self.macro_f1),
            decimal(self.mcc, 3),
            main("entity F1", self.entity_f1),
            percent(self.precision),
            percent(self.recall),
            main("answer F1", self.answer_f1),
            percent(self.exact_match),
            count(self.num_test_examples),
        )


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
        is_answers = "exact_match" in test
        is_entities = "by_type" in test or ("f1" in test and "accuracy" not in test and not is_answers)
        found.append(
            ScoreRow(
                task=parts[1],
                start=_start_of(manifest),
                is_reference=len(parts) > 2,
                is_best=False,
                num_train_examples=whole(first_of(counts, ("train_examples", "num_train_examples"))),
                num_test_examples=whole(first_of(test, ("num_examples", "examples"))),
                accuracy=None if is_entities else number(test.get("accuracy")),
                macro_f1=number(test.get("macro_f1")),
                mcc=number(test.get("mcc")),
                entity_f1=number(test.get("f1")) if is_entities else None,
                precision=number(test.get("precision")) if is_entities else None,
                recall=number(test.get("recall")) if is_entities else None,
                answer_f1=number(test.get("f1")) if is_answers else None,
                exact_match=number(test.get("exact_match")),
                seconds=manifest.seconds,
            )
        )
    tasks = list(dict.fromkeys(row.task for row in found))
    return [row for task in tasks for row in _ranked([row for row in found if row.task == task])]


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
    if name in ("tfidf", "majority", "overlap") or (isinstance(settings, Mapping) and settings.get("random_weights")):
        return name.removeprefix("from_") or "random"
    if "start" in manifest.parents:
        return manifest.parents["start"].stage
    raw = manifest.spec.get("raw")
    if isinstance(raw, Mapping) and any(str(key).startswith(("start/", "hub/")) for key in raw):
        return "model"
    return name.removeprefix("from_") or "random"
