"""The typed models of a recipe: one frozen class for each part, one sentence with its unit under each field.

A stage's fingerprint covers only the parts that the stage reads (`bert_core/stages/graph.py` says which), so a
changed learning rate never rebuilds a shard. Values that say how the work is done but not what comes out
(progress, worker counts) do not belong in a recipe.

Defaults of training follow Devlin et al. 2019 (arXiv:1810.04805) and Turc et al. 2019 (arXiv:1908.08962) where the
field's description names no other source.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]

CorpusFormat = Literal[
    "auto",
    "txt_blank_line",
    "txt_line",
    "txt_file",
    "markdown",
    "jsonl",
    "csv",
    "tsv",
    "tagged_words",
]
TaskFormat = Literal["auto", "txt_line", "jsonl", "csv", "tsv", "tagged_words"]
Family = Literal["single_sentence", "sequence_labelling"]
Objective = Literal["nsp", "sop", "none"]
StartName = Literal["random", "pretrain", "domain_transfer", "task_transfer"]


class _Part(BaseModel):
    """Base of every part of a recipe: frozen, unknown keys refused, no silent conversion of kinds."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    def plain(self) -> dict[str, Any]:
        """Return the settings as plain JSON values, for a fingerprint or a job file."""
        return self.model_dump(mode="json")


class CorpusConfig(_Part):
    """Raw text: where it lies, how it is read, which repairs and filters it passes."""

    paths: list[str] = Field(min_length=1)
    """Files, folders or globs, read in the order given; `package://NAME/file` names a file inside an
    installed Python package. `.gz` and `.zst` are read as they are."""
    format: CorpusFormat = "auto"
    """How records and document boundaries are found; `auto` goes by the file's extension (.txt is
    txt_blank_line)."""
    text_column: str = "text"
    """Column or key that holds the text (jsonl, csv, tsv)."""
    encoding: str = "auto"
    """`auto` finds the encoding of each file; or a codec name such as gb18030."""
    unicode_form: Literal["none", "nfc", "nfkc"] = "nfc"
    """Unicode normal form that the text is brought into."""
    half_width: bool = True
    """Full-width letters and digits become ASCII ones (１９９８ -> 1998); Chinese punctuation stays."""
    min_characters: int = Field(default=2, ge=1)
    """Documents with fewer characters after cleaning are dropped and counted, characters."""
    max_characters: int = Field(default=1_000_000, ge=100)
    """Longer documents are cut at sentence ends into several, characters."""
    min_han_share: Fraction = 0.0
    """Documents with a smaller share of Han among their letters are dropped, 0 to 1."""
    deduplicate: bool = True
    """Keep one of the documents whose normalised text is equal."""
    max_bad_fraction: Fraction = 0.01
    """The run stops when a larger share of a file's records is unreadable, 0 to 1."""


class VocabularyConfig(_Part):
    """A WordPiece vocabulary: read from a file, taken from the starting model, or trained."""

    path: str | None = None
    """A vocab.txt; where empty, the vocabulary of `model.start`, else one is trained."""
    corpora: list[Name] = Field(default_factory=list)
    """Corpora to train on; where empty, every corpus of the recipe."""
    size: int = Field(default=8_000, ge=200, le=65_535)
    """Entries of a trained vocabulary, special ones included."""
    lowercase: bool = True
    """Fold letters to lower case and strip accents, as bert-base-chinese does."""


class WordsConfig(_Part):
    """Word and entity boundaries for the masking policies that need them."""

    segmenter: Literal["none", "rjieba"] = "rjieba"
    """Finds words in Chinese text; `none` makes every Han character a word."""
    lexicons: list[str] = Field(default_factory=list)
    """Files with one entry a line (anything after a tab is ignored), matched as entities."""


class MaskingConfig(_Part):
    """Which tokens are hidden, drawn anew in every epoch when a batch is read."""

    policy: Literal["token", "whole_word", "ngram", "span", "entity", "similar_word"] = "whole_word"
    """token (Devlin et al. 2019), whole_word (Cui et al. 2021), ngram of words, span (SpanBERT), entity (ERNIE 1.0),
    similar_word (MacBERT: words chosen as by ngram, a similar word in place of [MASK])."""
    mlm_probability: float = Field(default=0.15, gt=0.0, le=0.5)
    """Share of the maskable tokens to predict; at least one in each example, 0 to 0.5."""
    mask_share: Fraction = 0.8
    """Share of the predicted tokens that become [MASK], or a similar word under similar_word, 0 to 1."""
    random_share: Fraction = 0.1
    """Share of the predicted tokens that become a random token; the rest is kept, 0 to 1."""

    thesaurus: str | None = None
    """similar_word only: a file of similar words in the shape of the extended Cilin, a group a line:
    `Aa01A02= 人类 生人 全人类`; `package://NAME/file` names a file inside an installed Python package."""

    @model_validator(mode="after")
    def _thesaurus_is_read(self) -> "MaskingConfig":
        if (self.policy == "similar_word") != (self.thesaurus is not None):
            said = "is empty; name a file of similar words" if self.thesaurus is None else f"is {self.thesaurus!r}"
            raise ValueError(f"thesaurus {said}: policy similar_word needs one, {self.policy} is the policy")
        return self

    @model_validator(mode="after")
    def _shares_fit(self) -> "MaskingConfig":
        if self.mask_share + self.random_share > 1.0 + 1e-9:
            raise ValueError(
                f"mask_share + random_share is {self.mask_share + self.random_share:g}, expected at most 1"
            )
        return self


class ExamplesConfig(_Part):
    """How documents become pretraining examples."""

    max_tokens: int = Field(default=128, ge=16, le=512)
    """Longest example with its special tokens, tokens."""
    short_sequence_probability: Fraction = 0.1
    """Share of examples built to a random shorter length (Devlin et al. 2019), 0 to 1."""
    objective: Objective = "nsp"
    """What is predicted of a pair: nsp, whether B follows A or comes from another document (Devlin et al. 2019); sop,
    whether two neighbours stand in order or are swapped (Lan et al. 2020); none packs whole sentences for MLM alone."""
    pairing_rounds: int = Field(default=1, ge=1, le=64)
    """How many times pairs are drawn anew; epoch e reads round e mod rounds."""
    held_out_fraction: float = Field(default=0.02, ge=0.0, le=0.5)
    """Share of the documents kept for evaluation and never trained on, 0 to 0.5."""


class ModelConfig(_Part):
    """The encoder: sizes for random weights, or a model folder to start from."""

    start: str | None = None
    """A transformers BERT folder or hub name whose weights begin the line; empty for random weights."""
    num_layers: int = Field(default=4, ge=1, le=48)
    """Encoder layers; read only for random weights."""
    hidden_size: int = Field(default=256, ge=16, le=2048)
    """Width of a token's vector; read only for random weights."""
    num_heads: int = Field(default=4, ge=1, le=64)
    """Attention heads; divides hidden_size; read only for random weights."""
    intermediate_size: int = Field(default=1024, ge=16, le=16384)
    """Width of the feed-forward layer; read only for random weights."""
    max_positions: int = Field(default=512, ge=16, le=2048)
    """Longest sequence that the position embeddings know, tokens; read only for random weights."""
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Dropout probability of hidden states and attention while training."""

    @model_validator(mode="after")
    def _heads_divide(self) -> "ModelConfig":
        if self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of num_heads {self.num_heads}")
        return self


class OptimizationConfig(_Part):
    """AdamW with warm-up and decay."""

    learning_rate: float = Field(default=1e-4, gt=0.0, le=0.1)
    """Peak learning rate; 1e-4 from scratch, 2e-5 to 5e-5 to go on from a checkpoint at base size."""
    warmup_fraction: Fraction = 0.06
    """Share of the steps in which the learning rate climbs from zero, 0 to 1."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate falls after the warm-up."""
    weight_decay: float = Field(default=0.01, ge=0.0, le=1.0)
    """Decoupled weight decay; not on biases and layer norms."""
    adam_beta2: float = Field(default=0.999, gt=0.0, lt=1.0)
    """Second-moment decay of AdamW."""
    max_gradient_norm: float = Field(default=1.0, gt=0.0)
    """Gradients are clipped to this global L2 norm."""
    layer_decay: float = Field(default=1.0, gt=0.0, le=1.0)
    """Factor on the learning rate from each layer to the one below it; 1 for none."""


class TransferConfig(_Part):
    """One stage of pretraining over one corpus: MLM, and next sentence or sentence order where there are pairs."""

    corpus: Name | None = None
    """Name of the corpus it reads; task_transfer reads the training texts of `tasks` instead."""
    tasks: list[Name] = Field(default_factory=list)
    """task_transfer only: tasks whose training texts it reads."""
    examples: ExamplesConfig = Field(default_factory=ExamplesConfig)
    """How its examples are built."""
    masking: MaskingConfig = Field(default_factory=MaskingConfig)
    """How its examples are masked; read by training only."""
    steps: int = Field(default=10_000, ge=1)
    """Optimizer steps."""
    batch_examples: int = Field(default=32, ge=1)
    """Examples in one optimizer step."""
    optimization: OptimizationConfig = Field(default_factory=OptimizationConfig)
    """Optimizer settings."""
    dropout: float | None = Field(default=None, ge=0.0, lt=1.0)
    """Dropout probability in this stage; empty for that of `model`."""
    evaluate_every_steps: int = Field(default=500, ge=1)
    """Steps between evaluations on held-out documents."""
    save_every_steps: int = Field(default=500, ge=1)
    """Steps between checkpoints from which a killed run goes on."""


class TaskSource(_Part):
    """One file of labelled records."""

    path: str
    """File; `package://NAME/file` names a file inside an installed Python package."""
    format: TaskFormat = "auto"
    """How records are found; `auto` goes by the extension."""
    text_column: str = "text"
    """Column or key of the text (jsonl, csv, tsv)."""
    label_column: str = "label"
    """Column or key of the label (jsonl, csv, tsv)."""
    label: str | None = None
    """One label for the whole file (a file of positive texts, one of negative ones)."""
    split: Literal["auto", "train", "dev", "test"] = "auto"
    """The split that the file is; `auto` divides it by the task's fractions."""
    encoding: str = "auto"
    """`auto` finds the encoding; or a codec name."""


class FineTuneConfig(_Part):
    """Training of one task's head together with the encoder."""

    epochs: int = Field(default=3, ge=1)
    """Passes over the training examples."""
    batch_examples: int = Field(default=32, ge=1)
    """Examples in one optimizer step."""
    max_tokens: int = Field(default=128, ge=16, le=512)
    """Longest input with its special tokens; longer single sentences keep their head, tagged texts are
    windowed, tokens."""
    optimization: OptimizationConfig = Field(
        default_factory=lambda: OptimizationConfig(learning_rate=5e-5, warmup_fraction=0.1)
    )
    """Optimizer settings."""
    dropout: float | None = Field(default=None, ge=0.0, lt=1.0)
    """Dropout probability; empty for that of `model`."""
    keep_best_on_dev: bool = True
    """Keep the weights of the epoch that is best on dev instead of the last epoch's."""


class TaskConfig(_Part):
    """A labelled task: its data, its split, how it is fine-tuned and what it is compared with."""

    family: Family
    """single_sentence (a class for a text) or sequence_labelling (entities in a text)."""
    sources: list[TaskSource] = Field(min_length=1)
    """Labelled files."""
    labels: list[str] = Field(min_length=1)
    """The classes, or the entity types; any other label in the data is an error."""
    dev_fraction: Fraction = 0.1
    """Share of the records (documents for sequence_labelling) that `auto` sources give to dev, 0 to 1."""
    test_fraction: Fraction = 0.1
    """Share that `auto` sources give to test, 0 to 1."""
    max_train_examples: int | None = Field(default=None, ge=1)
    """Labelled records used for fine-tuning, drawn at random from train; empty for all. Task transfer reads the
    texts of the whole training split, labels removed."""
    max_test_examples: int | None = Field(default=None, ge=1)
    """Records of dev and of test that are scored, drawn at random; empty for all."""
    fine_tune: FineTuneConfig = Field(default_factory=FineTuneConfig)
    """How it is fine-tuned."""
    start: StartName = "task_transfer"
    """The stage whose checkpoint it starts from."""
    compare: list[Literal["random", "pretrain", "domain_transfer", "tfidf"]] = Field(
        default_factory=lambda: ["random", "pretrain"]
    )
    """References trained beside it on the same examples: other starts, and TF-IDF + logistic regression."""

    @model_validator(mode="after")
    def _consistent(self) -> "TaskConfig":
        faults = []
        if self.dev_fraction + self.test_fraction >= 1.0:
            faults.append("dev_fraction + test_fraction leaves nothing to train on")
        if len(set(self.labels)) != len(self.labels):
            faults.append(f"labels {self.labels} holds one twice")
        if self.family == "single_sentence" and len(self.labels) < 2:
            faults.append(f"labels {self.labels} is one class, expected at least two")
        if self.family == "sequence_labelling" and "tfidf" in self.compare:
            faults.append("compare has tfidf, which cannot label tokens")
        for source in self.sources:
            if source.label is not None and source.label not in self.labels:
                faults.append(f"label {source.label!r} of {source.path} is not among labels {self.labels}")
        if faults:
            raise ValueError("; ".join(faults))
        return self


class Recipe(_Part):
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
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def transfers(self) -> dict[str, TransferConfig]:
        """Return the transfer stages that this recipe has, in the order in which they run."""
        stages = {
            "pretrain": self.pretrain,
            "domain_transfer": self.domain_transfer,
            "task_transfer": self.task_transfer,
        }
        return {name: config for name, config in stages.items() if config is not None}
