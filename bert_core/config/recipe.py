"""A recipe as a whole: one frozen class that holds its parts and checks that the names in them resolve.

The parts lie beside it: `text.py`, `transfer.py`, `tasks.py`, `study.py`, `work.py`; each field is followed by a
sentence with its unit. A stage's fingerprint covers only the parts that the stage reads (`bert_core/stages/graph.py`
says which), so a changed learning rate never rebuilds a shard. Values that say how the work is done but not what comes
out stand apart, in `work`, which no fingerprint covers.
"""

from pydantic import Field, field_validator, model_validator

from bert_core.config.part import Name, Part
from bert_core.config.study import TRANSFERS_OF_ORDER, StudyConfig
from bert_core.config.tasks import TaskConfig
from bert_core.config.text import CorpusConfig, VocabularyConfig, WordsConfig
from bert_core.config.transfer import ModelConfig, TransferConfig
from bert_core.config.work import WorkConfig


class Recipe(Part):
    """A whole run: raw text and labelled tasks in, fine-tuned models out."""

    name: Name
    """Names the run and its reports."""
    workspace: str = "workspace"
    """Folder for everything that is built, seen from where the command runs."""
    seed: int = Field(default=1, ge=0)
    """Every random draw of the run is a function of this number and of what is drawn."""
    corpora: dict[Name, CorpusConfig] = Field(min_length=1)
    """Raw texts by name."""
    vocabulary: VocabularyConfig = Field(default_factory=VocabularyConfig)
    """The WordPiece vocabulary of all stages."""
    words: WordsConfig = Field(default_factory=WordsConfig)
    """Word and entity boundaries."""
    model: ModelConfig = Field(default_factory=ModelConfig)
    """The encoder."""
    pretrain: TransferConfig | None = None
    """General pretraining; empty where `model.start` is used as it is."""
    domain_transfer: TransferConfig | None = None
    """Further pretraining on the domain's raw text; empty to leave it out."""
    task_transfer: TransferConfig | None = None
    """Further pretraining on the tasks' training texts; empty to leave it out."""
    tasks: dict[Name, TaskConfig] = Field(default_factory=dict)
    """Labelled tasks by name."""
    study: StudyConfig = Field(default_factory=StudyConfig)
    """What `bertline study` compares."""
    work: WorkConfig = Field(default_factory=WorkConfig)
    """How the work is done."""

    @field_validator("seed")
    @classmethod
    def _seed_fits(cls, value: int) -> int:
        if value >= 2**63:
            raise ValueError(f"seed {value} does not fit in 63 bits")
        return value

    @model_validator(mode="after")
    def _names_resolve(self) -> "Recipe":
        faults = []
        if "task_transfer" in self.corpora:
            faults.append("a corpus may not be called task_transfer, the name of the tasks' training texts")
        for stage, config in self.transfers().items():
            if stage == "task_transfer":
                if config.corpus is not None:
                    faults.append("task_transfer.corpus is set; it reads the texts of task_transfer.tasks")
                if not config.tasks:
                    faults.append("task_transfer.tasks is empty; name at least one task")
                faults += [
                    f"task_transfer.tasks names {task!r}, not among tasks {sorted(self.tasks)}"
                    for task in config.tasks
                    if task not in self.tasks
                ]
            else:
                if config.tasks:
                    faults.append(f"{stage}.tasks is set; only task_transfer reads tasks")
                if config.corpus not in self.corpora:
                    faults.append(f"{stage}.corpus is {config.corpus!r}, not among corpora {sorted(self.corpora)}")
        faults += [
            f"vocabulary.corpora names {corpus!r}, not among corpora {sorted(self.corpora)}"
            for corpus in self.vocabulary.corpora
            if corpus not in self.corpora
        ]
        faults += [
            f"study.tasks names {task!r}, not among tasks {sorted(self.tasks)}"
            for task in self.study.tasks
            if task not in self.tasks
        ]
        if "base" in self.study.orders and not self.has_base:
            faults.append("study.orders has base, which needs pretrain or model.start; leave it out")
        faults += [
            f"study.orders has {order}, which needs {stage}; write that part or leave the order out"
            for order in self.study.orders
            for stage in TRANSFERS_OF_ORDER.get(order, ())
            if stage not in self.transfers()
        ]
        growth = self.vocabulary.growth
        if growth is not None:
            faults += [
                f"vocabulary.growth.corpora names {corpus!r}, not among corpora {sorted(self.corpora)}"
                for corpus in growth.corpora
                if corpus not in self.corpora
            ]
            if self.model.start is None:
                faults.append(
                    "vocabulary.growth is set, but model.start is empty; for random weights name the domain's corpora "
                    "in vocabulary.corpora"
                )
        if faults:
            raise ValueError("; ".join(faults))
        return self

    @property
    def has_base(self) -> bool:
        """Whether there are weights before domain and task transfer: pretraining, or a model to start from."""
        return self.pretrain is not None or self.model.start is not None

    def transfers(self) -> dict[str, TransferConfig]:
        """Return the transfer stages that this recipe has, in the order in which they run."""
        stages = {
            "pretrain": self.pretrain,
            "domain_transfer": self.domain_transfer,
            "task_transfer": self.task_transfer,
        }
        return {name: config for name, config in stages.items() if config is not None}
