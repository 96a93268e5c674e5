"""What a report shows, as frozen plain values: no paths, no tables, no clock.

`collect.py` fills these from manifests and folders; `html.py` draws them. A report is a function of its `RunView`, so
equal views give equal bytes. Numbers stay numbers here; how they are written is the template's part.
"""

from dataclasses import dataclass

from bert_core.report.lineage import Node
from bert_core.report.scores import ScoreRow
from bert_core.report.tables import StageRow


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanRow:
    """What happened to one stage, and why."""

    stage: str
    """Stage id."""
    action: str
    """`built` or `reused`."""
    reason: str
    """Why, in words."""
    seconds: float | None
    """Wall time of the build that made the output, now or earlier, seconds."""
    num_rows: int | None
    """Rows of its output."""
    num_bytes: int | None
    """Size of its output, bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """A named value, written out: `unknown tokens`, `0.02 %`."""

    name: str
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """One step of a waterfall or one bin of a histogram."""

    name: str
    num_rows: int
    kind: str
    """`all`, `dropped`, `kept`, or empty."""
    start_fraction: float
    """Where the bar begins, share of the largest number, 0 to 1."""
    fraction: float
    """How long it is, share of the largest number, 0 to 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataCard:
    """What is known about a corpus, a task's records, a vocabulary or a set of examples."""

    name: str
    """Stage id, such as `documents/reviews`."""
    kind: str
    """`corpus`, `records`, `vocabulary`, `tokens`, `examples` or `labelled`."""
    facts: tuple[Fact, ...]
    """Headline numbers."""
    bars: tuple[Bar, ...]
    """What was read, dropped for which reason, and kept; empty where nothing was counted."""
    histogram: tuple[Bar, ...]
    """Examples by length in tokens; empty where it was not measured."""
    faults: tuple[str, ...]
    """What the audit found, in words."""
    details: tuple[Fact, ...]
    """Every other count of the manifests behind it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenMask:
    """What training shows in place of a token in one epoch."""

    epoch: int
    shown: str
    """The token that the model reads."""
    how: str
    """`mask` for [MASK], `random` for another token, `similar` for a similar word, `kept` for the token itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenView:
    """One token of an example."""

    text: str
    kind: str
    """`special`, `word` where a word begins, or empty."""
    in_b: bool
    """Whether it belongs to the second segment."""
    masks: tuple[TokenMask, ...]
    """Epochs in which it is predicted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExampleCard:
    """A pretraining example with its masks in several epochs."""

    stage: str
    """Stage id of the examples."""
    example_id: str
    """16 hexadecimal digits."""
    label: str
    """`next`, `random`, `swapped` or `no pair`."""
    tokens: tuple[TokenView, ...]
    origins: tuple[str, ...]
    """Where A and B come from: document, file and line."""
    text: str
    """The tokens as one text, for the filter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """Progress of a training stage."""

    stage: str
    panels: tuple[str, ...]
    """SVG markup, safe to put into a page."""
    facts: tuple[Fact, ...]
    """Last values."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassScore:
    """Scores of one class or entity type."""

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int | None
    """Times it occurs among the true ones."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entity:
    """An entity of a text, true or predicted."""

    text: str
    type: str
    verdict: str
    """`right`, `missed` or `wrong`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WrongAnswer:
    """A text that the model got wrong."""

    text: str
    gold: str
    """The true class; empty for entities."""
    predicted: str
    """The predicted class; empty for entities."""
    probability: float | None
    """Of the prediction, 0 to 1."""
    gold_probability: float | None
    """Of the truth, 0 to 1."""
    entities: tuple[Entity, ...]
    """Sequence labelling only."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskView:
    """How a task came out."""

    name: str
    scores: tuple[ScoreRow, ...]
    """The model of the run first, then the references."""
    classes: tuple[ClassScore, ...]
    """Of the model of the run."""
    labels: tuple[str, ...]
    """Names of the rows and columns of `confusion`."""
    confusion: tuple[tuple[int, ...], ...]
    """A row for each true class; empty for sequence labelling."""
    num_wrong: int
    """Test texts that are not entirely right."""
    num_predictions: int
    """Test texts that were predicted."""
    wrong: tuple[WrongAnswer, ...]
    """The wrong ones that the model was surest of, worst first."""

    @property
    def gain(self) -> float | None:
        """Main score of the run's model less that of the best reference, -1 to 1."""
        own = next((row.main_score for row in self.scores if not row.is_reference), None)
        others = [row.main_score for row in self.scores if row.is_reference and row.main_score is not None]
        return own - max(others) if own is not None and others else None


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputView:
    """One sealed output, for who wants to follow a number to its source."""

    stage: str
    fingerprint: str
    content: str
    parents: tuple[str, ...]
    """`role: stage`."""
    num_files: int
    num_bytes: int
    counts: tuple[Fact, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyView:
    """How the starts of a task compare."""

    name: str
    """Name of the task."""
    table: tuple[tuple[str, ...], ...]
    """Rows of text, the heading first."""
    findings: tuple[str, ...]
    """Sentences."""
    panels: tuple[str, ...]
    """SVG markup, safe to put into a page."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunView:
    """Everything that a report shows."""

    name: str
    """Name of the recipe."""
    recipe_text: str
    """The recipe as it was written."""
    plan: tuple[PlanRow, ...]
    stages: tuple[StageRow, ...]
    tasks: tuple[TaskView, ...]
    nodes: tuple[Node, ...]
    data: tuple[DataCard, ...]
    examples: tuple[ExampleCard, ...]
    curves: tuple[Curve, ...]
    outputs: tuple[OutputView, ...]
    versions: tuple[Fact, ...]
    studies: tuple[StudyView, ...] = ()
    """What stands of the recipe's study."""

    @property
    def num_built(self) -> int:
        """Stages that were built now."""
        return sum(row.action == "built" for row in self.plan)

    @property
    def num_reused(self) -> int:
        """Stages whose earlier output was reused."""
        return sum(row.action == "reused" for row in self.plan)

    @property
    def seconds_built(self) -> float:
        """Wall time of what was built now, seconds."""
        return sum(row.seconds or 0.0 for row in self.plan if row.action == "built")

    @property
    def seconds_saved(self) -> float:
        """Wall time that building the reused outputs had taken, seconds."""
        return sum(row.seconds or 0.0 for row in self.plan if row.action == "reused")
