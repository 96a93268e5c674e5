"""What a study came to, as plain values and as tables: each start of fine-tuning with its mean, spread, test and cost.

Scores are gathered in `bert_core/stages/study_scores.py`; the test is `paired_test.py`. A score is the main one of the
task's family, 0 to 1; tables write it in percent and differences in points.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bert_core.report.formats import DASH
from bert_core.report.paired_test import PairedTest, paired_t_test

LEVEL = 0.05
"""p-value below which a difference is called one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyArm:
    """One start of a task: a score for each of its seeds."""

    task: str
    name: str
    """`D+T`, `D@150` or the name of a variant."""
    kind: Literal["order", "probe", "variant"]
    scores: tuple[float, ...]
    """Main score on test by seed, 0 to 1."""
    transfer_seconds: float
    """Wall time of the transfers behind base, seconds."""
    fine_tune_seconds: float
    """Wall time of one fine-tuning, the mean over seeds, seconds."""
    probed: str = ""
    """probe only: the order whose last transfer is cut short."""
    steps: int = 0
    """probe only: optimizer steps of that transfer."""

    @property
    def mean(self) -> float:
        """Mean over seeds, 0 to 1."""
        return sum(self.scores) / len(self.scores)

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds (n - 1), 0 to 1; None for one seed."""
        if len(self.scores) < 2:
            return None
        return math.sqrt(sum((score - self.mean) ** 2 for score in self.scores) / (len(self.scores) - 1))


@dataclass(frozen=True, kw_only=True, slots=True)
class CurvePoint:
    """Fine-tuning from a point on the way of a task's own start."""

    order: str
    """The order whose last transfer is on its way."""
    steps: int
    """Optimizer steps of that transfer: 0 for the order before it."""
    mean: float
    """Mean score over seeds, 0 to 1."""
    spread: float | None
    """Standard deviation over seeds, 0 to 1; None for one seed."""
    num_seeds: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskStudy:
    """The study of one task."""

    task: str
    score_name: str
    """`macro_f1`, `f1`."""
    own: str
    """The order that the recipe itself uses."""
    orders: tuple[StudyArm, ...]
    variants: tuple[StudyArm, ...]
    curve: tuple[CurvePoint, ...]
    """Points of the recipe's own order, from base on."""
    references: tuple[tuple[str, float], ...] = ()
    """Names and scores of what needs no start: `tfidf`, `majority`."""

    def arm(self, name: str) -> StudyArm | None:
        """Return an order by its name; None where it was not trained."""
        return next((arm for arm in self.orders if arm.name == name), None)

    def test(self, arm: StudyArm, against: str) -> PairedTest | None:
        """Test an arm against an order; None where one of them lacks seeds, or for the order itself."""
        reference = self.arm(against)
        if reference is None or reference is arm or len(arm.scores) < 2:
            return None
        if len(arm.scores) != len(reference.scores):
            return None
        return paired_t_test(arm.scores, reference.scores)

    def gap_in_spreads(self, arm: StudyArm, against: str) -> float | None:
        """Return the difference of two means over the larger of their standard deviations; None where there is none."""
        reference = self.arm(against)
        if reference is None or reference is arm or arm.spread is None or reference.spread is None:
            return None
        spread = max(arm.spread, reference.spread)
        return (arm.mean - reference.mean) / spread if spread else None


def score_words(study: TaskStudy) -> str:
    """Write the name of a task's score as words: `macro_f1` -> `macro F1`."""
    return study.score_name.replace("_", " ").replace("f1", "F1")


def study_rows(study: TaskStudy) -> list[list[str]]:
    """Lay a task's study out as rows of text, the heading first: orders, variants, references.

    Orders are compared with random weights and with base, variants with the recipe as it is.
    """
    headings = ["start", "seeds", score_words(study), "spread"]
    headings += ["against random", "in spreads", "p", "against base", "p", f"against {study.own}", "p"]
    headings += ["transfers, min", "fine-tune, min"]
    rows = [headings]
    for arm in (*study.orders, *study.variants):
        against = ("random", "base") if arm.kind == "order" else (None, None)
        own = study.own if arm.kind == "variant" else None
        rows.append(
            [
                arm.name + (" (this recipe)" if arm.kind == "order" and arm.name == study.own else ""),
                str(len(arm.scores)),
                f"{100 * arm.mean:.1f}",
                DASH if arm.spread is None else f"± {100 * arm.spread:.1f}",
                *_compared(study, arm, against[0], with_spreads=True),
                *_compared(study, arm, against[1]),
                *_compared(study, arm, own),
                f"{arm.transfer_seconds / 60:.1f}",
                f"{arm.fine_tune_seconds / 60:.2f}",
            ]
        )
    dashes = [DASH] * (len(headings) - 3)
    rows += [[name, DASH, f"{100 * score:.1f}", *dashes] for name, score in study.references]
    kept = [index for index in range(len(headings)) if index < 3 or any(row[index] != DASH for row in rows[1:])]
    return [[row[index] for index in kept] for row in rows]


def study_markdown(studies: Sequence[TaskStudy]) -> str:
    """Write studies as GitHub tables, with what they say in words."""
    parts = []
    for study in studies:
        head, *rows = study_rows(study)
        lines = [head, [":--", *["--:"] * (len(head) - 1)], *rows]
        parts.append(f"### {study.task}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines))
        parts.append("".join(f"- {sentence}\n" for sentence in findings(study)))
    return "\n".join(parts)


def findings(study: TaskStudy) -> list[str]:
    """Say in sentences which starts differ at the level of 0.05, and which do not."""
    sentences = []
    for against in ("random", "base"):
        better, worse, same = [], [], []
        for arm in study.orders:
            test = study.test(arm, against)
            if test is None or (against == "base" and arm.name == "random"):
                continue
            is_found = test.p_value < LEVEL
            (same if not is_found else better if test.difference > 0 else worse).append(arm.name)
        for names, word in ((better, "better than"), (worse, "worse than"), (same, "not different from")):
            if names:
                sentences.append(
                    f"{', '.join(names)}: {word} {against} at p < {LEVEL}"
                    if names is not same
                    else f"{', '.join(names)}: {word} {against} at p < {LEVEL} with these seeds"
                )
    own = study.arm(study.own)
    for arm in study.variants if own else ():
        test = study.test(arm, study.own)
        if test is not None:
            word = "better" if test.difference > 0 else "worse"
            verdict = word if test.p_value < LEVEL else "not different"
            sentences.append(f"{arm.name}: {verdict} beside {study.own} ({100 * test.difference:+.1f}, p {_p(test)})")
    if own is not None:
        sentences += [
            f"{study.own} {'beats' if own.mean > score else 'does not beat'} {name} ({100 * (own.mean - score):+.1f})"
            for name, score in study.references
        ]
    return sentences + curve_findings(study)


def curve_findings(study: TaskStudy) -> list[str]:
    """Say from which point of each transfer on nothing better than one spread was found."""
    sentences = []
    for order in dict.fromkeys(point.order for point in study.curve):
        points = [point for point in study.curve if point.order == order]
        best = max(points, key=lambda point: point.mean)
        enough = next(point for point in points if point.mean >= best.mean - (best.spread or 0.0))
        sentences.append(
            f"{order}: within one spread of its best ({100 * best.mean:.1f} at {best.steps:,} steps) from "
            f"{enough.steps:,} of {points[-1].steps:,} steps on"
        )
    return sentences


def _compared(study: TaskStudy, arm: StudyArm, against: str | None, *, with_spreads: bool = False) -> list[str]:
    test = study.test(arm, against) if against else None
    gap = study.gap_in_spreads(arm, against) if against and with_spreads else None
    cells = [DASH if test is None else f"{100 * test.difference:+.1f}"]
    if with_spreads:
        cells.append(DASH if gap is None else f"{gap:+.1f}")
    return [*cells, DASH if test is None else _p(test)]


def _p(test: PairedTest) -> str:
    return "< 0.001" if test.p_value < 0.001 else f"{test.p_value:.3f}"
