"""The parts of a recipe about labelled tasks: their files, their split, their fine-tuning and their references."""

from typing import Literal

from pydantic import Field, model_validator

from bert_core.config.augmentation import AugmentationConfig
from bert_core.config.distillation import DistillationConfig
from bert_core.config.knowledge import KnowledgeConfig
from bert_core.config.part import Fraction, Part
from bert_core.config.transfer import OptimizationConfig

TagScheme = Literal["bio", "bioes"]
TaskFormat = Literal["auto", "txt_line", "jsonl", "json", "csv", "tsv", "tagged_words", "conll"]
Family = Literal["single_sentence", "sentence_pair", "sequence_labelling", "extractive_qa"]
StartName = Literal["random", "pretrain", "domain_transfer", "task_transfer"]


class TaskSource(Part):
    """One file of labelled records."""

    path: str
    """File; `package://NAME/file` names a file inside an installed Python package."""
    format: TaskFormat = "auto"
    """How records are found; `auto` goes by the extension."""
    text_column: str = "text"
    """Column or key of the text (jsonl, json, csv, tsv, conll)."""
    text_pair_column: str = "text_pair"
    """sentence_pair only: column or key of the second text."""
    label_column: str = "label"
    """Column or key of the label; in conll files of the tag."""
    entities_column: str = "entities"
    """sequence_labelling only: key of the entities (jsonl, json)."""
    columns: list[str] = Field(default_factory=list)
    """Names of the columns of a table that has no header, from the left; empty where the first row names them. A conll
    file without them has its text first and its tag last."""
    quoting: bool = True
    """Fields of a table may be quoted; false makes a quotation mark an ordinary character."""
    join_words: Literal["auto", "space", "none"] = "auto"
    """How the words of a conll file make a text: auto sets a space between two words of Latin letters or digits, not
    between single characters; a `# text = ` line above a sentence goes before."""
    span_ends: Literal["exclusive", "inclusive"] = "exclusive"
    """Whether the end of an entity in jsonl and json files is one past its last character, or that character."""
    overlaps: Literal["longest", "first", "quarantine"] = "longest"
    """What stays where entities overlap: the longest, the one that stands first in the file, or not the record."""
    label_names: dict[str, str] = Field(default_factory=dict)
    """Labels as the file writes them to labels of the task: `{"0": finance, "1": sports}`."""
    label: str | None = None
    """One label for the whole file (a file of positive texts, one of negative ones)."""
    split: Literal["auto", "train", "dev", "test"] = "auto"
    """The split that the file is; `auto` divides it by the task's fractions."""
    encoding: str = "auto"
    """`auto` finds the encoding; or a codec name."""


class AnswersConfig(Part):
    """How answers are sought in contexts; extractive_qa only."""

    max_question_tokens: int = Field(default=64, ge=1, le=256)
    """Longer questions keep their head, tokens."""
    stride_tokens: int | None = Field(default=None, ge=1)
    """From the beginning of a window of the context to that of the next, tokens; empty for half a window."""
    max_answer_tokens: int = Field(default=30, ge=1, le=512)
    """Longer answers are never given, tokens."""
    num_best: int = Field(default=20, ge=1, le=100)
    """Answers that are kept of each window and of each question, the likeliest first."""
    no_answer_threshold: float | None = None
    """A question gets no answer where none scores higher than the best answer by more than this, in sums of two
    logits; empty for the value that is best on dev where train has questions without an answer, else for never."""
    scoring: Literal["cmrc", "squad"] = "cmrc"
    """Whose exact match and F1 choose epochs and stand in the tables: cmrc compares Chinese characters in their order
    (Cui et al. 2019), squad the words between spaces (Rajpurkar et al. 2016). Both are written."""


class FineTuneConfig(Part):
    """Training of one task's head together with the encoder."""

    epochs: int = Field(default=3, ge=1)
    """Passes over the training examples."""
    batch_examples: int = Field(default=32, ge=1)
    """Examples in one optimizer step."""
    max_tokens: int = Field(default=128, ge=16, le=512)
    """Longest input with its special tokens; longer single sentences keep their head, of a pair the longer text is
    shortened, tagged texts and contexts of questions are windowed, tokens."""
    optimization: OptimizationConfig = Field(
        default_factory=lambda: OptimizationConfig(learning_rate=5e-5, warmup_fraction=0.1)
    )
    """Optimizer settings."""
    dropout: float | None = Field(default=None, ge=0.0, lt=1.0)
    """Dropout probability; empty for that of `model`."""
    keep_best_on_dev: bool = True
    """Keep the weights of the epoch that is best on dev instead of the last epoch's."""
    patience_epochs: int | None = Field(default=None, ge=1)
    """Stop once so many epochs in a row brought nothing on dev, epochs; empty to train them all. The learning rate
    falls as if all were trained."""
    frozen_layers: int | None = Field(default=None, ge=0)
    """Keep the embeddings and so many of the lowest layers as they are, layers; 0 for the embeddings alone, empty to
    train everything."""
    fgm_epsilon: float = Field(default=0.0, ge=0.0)
    """Adversarial training by the fast gradient method (Miyato et al. 2017): L2 norm by which an example's word
    vectors are moved against it; 1 is usual, 0 for none. Each step then costs twice."""
    class_weights: Literal["none", "balanced"] = "none"
    """single_sentence and sentence_pair only: `balanced` weighs each class by the inverse of its share among the
    training examples."""
    distillation: DistillationConfig = Field(default_factory=DistillationConfig)
    """A teacher beside the labels; none by default."""
    knowledge: KnowledgeConfig = Field(default_factory=KnowledgeConfig)
    """Triples hung onto the entities of a text (K-BERT); none by default."""
    tags: TagScheme = "bio"
    """sequence_labelling only: BIO or BIOES tags; scores count whole entities under either."""
    crf: bool = False
    """sequence_labelling only: a conditional random field over the tags instead of a softmax for each token."""
    answers: AnswersConfig = Field(default_factory=AnswersConfig)
    """extractive_qa only: how answers are sought."""


class TaskConfig(Part):
    """A labelled task: its data, its split, how it is fine-tuned and what it is compared with."""

    family: Family
    """single_sentence (a class for a text), sentence_pair (a class for two texts), sequence_labelling (entities in a
    text) or extractive_qa (answers to a question inside a context, as SQuAD has them)."""
    sources: list[TaskSource] = Field(min_length=1)
    """Labelled files."""
    labels: list[str] = Field(default_factory=list)
    """The classes, or the entity types; any other label in the data is an error. Empty for extractive_qa."""
    dev_fraction: Fraction = 0.1
    """Share of the records (documents for sequence_labelling) that `auto` sources give to dev, 0 to 1."""
    test_fraction: Fraction = 0.1
    """Share that `auto` sources give to test, 0 to 1."""
    max_bad_fraction: Fraction = 0.1
    """The run stops when a larger share of a file's records is quarantined, 0 to 1."""
    max_train_examples: int | None = Field(default=None, ge=1)
    """Labelled records used for fine-tuning, drawn at random from train; empty for all. Task transfer reads the
    texts of the whole training split, labels removed."""
    augmentation: AugmentationConfig = Field(default_factory=AugmentationConfig)
    """Changed copies of the training records; dev and test never have any."""
    max_test_examples: int | None = Field(default=None, ge=1)
    """Records of dev and of test that are scored, drawn at random; empty for all."""
    fine_tune: FineTuneConfig = Field(default_factory=FineTuneConfig)
    """How it is fine-tuned."""
    start: StartName = "task_transfer"
    """The stage whose checkpoint it starts from."""
    compare: list[Literal["random", "pretrain", "domain_transfer", "tfidf", "majority", "overlap"]] = Field(
        default_factory=lambda: ["random", "pretrain"]
    )
    """References beside it on the same examples: other starts, TF-IDF + logistic regression (single_sentence), the
    commonest class of train for every text (single_sentence, sentence_pair), and as an answer the sentence that shares
    most with the question (overlap, extractive_qa)."""

    @model_validator(mode="after")
    def _consistent(self) -> "TaskConfig":
        faults = []
        is_class = self.family in ("single_sentence", "sentence_pair")
        if self.dev_fraction + self.test_fraction >= 1.0:
            faults.append("dev_fraction + test_fraction leaves nothing to train on")
        if len(set(self.labels)) != len(self.labels):
            faults.append(f"labels {self.labels} holds one twice")
        if self.family in ("single_sentence", "sentence_pair") and len(self.labels) < 2:
            faults.append(f"labels {self.labels} is one class, expected at least two")
        if self.family == "sequence_labelling" and not self.labels:
            faults.append("labels [] names no entity type, expected at least one")
        if self.family == "extractive_qa" and self.labels:
            faults.append(f"labels {self.labels} are given, expected none: the answers of extractive_qa are its labels")
        if self.family in ("sequence_labelling", "extractive_qa") and "tfidf" in self.compare:
            faults.append(f"compare has tfidf, which gives a class and does not fit {self.family}")
        if not is_class and "majority" in self.compare:
            faults.append(
                f"compare has majority, which gives a class and fits single_sentence and sentence_pair, not "
                f"{self.family}"
            )
        if self.family == "sentence_pair" and "tfidf" in self.compare:
            faults.append("compare has tfidf, which reads one text and cannot compare two")
        faults += self._faults_of_answers()
        if self.fine_tune.patience_epochs is not None and not self.fine_tune.keep_best_on_dev:
            faults.append("fine_tune.patience_epochs stops by dev and needs keep_best_on_dev: true")
        if self.fine_tune.knowledge.triples is not None and self.fine_tune.distillation.teacher == "model":
            faults.append("fine_tune.knowledge.triples is set, and a teacher of fine_tune.distillation.path reads none")
        if self.fine_tune.knowledge.triples is not None and self.family == "extractive_qa":
            faults.append("fine_tune.knowledge.triples is for classes and tags, not for extractive_qa")
        if not is_class and self.fine_tune.class_weights != "none":
            faults.append(f"fine_tune.class_weights is for single_sentence and sentence_pair, not for {self.family}")
        if self.family != "sequence_labelling" and (self.fine_tune.crf or self.fine_tune.tags != "bio"):
            faults.append(f"fine_tune.crf and fine_tune.tags are for sequence_labelling, not for {self.family}")
        unknown = [label for label in self.augmentation.labels if label not in self.labels]
        if unknown:
            faults.append(f"augmentation.labels {unknown} are not among labels {self.labels}")
        for source in self.sources:
            if len(set(source.columns)) != len(source.columns):
                faults.append(f"columns {source.columns} of {source.path} holds one twice")
            if source.label is not None and source.label not in self.labels:
                faults.append(f"label {source.label!r} of {source.path} is not among labels {self.labels}")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def _faults_of_answers(self) -> list[str]:
        answers = self.fine_tune.answers
        if self.family != "extractive_qa":
            faults = []
            if answers != AnswersConfig():
                faults.append(f"fine_tune.answers is for extractive_qa, not for {self.family}")
            if "overlap" in self.compare:
                faults.append(f"compare has overlap, which answers questions and does not fit {self.family}")
            return faults
        room = self.fine_tune.max_tokens - answers.max_question_tokens - 3
        if room < (answers.stride_tokens or 1):
            return [
                f"fine_tune.max_tokens {self.fine_tune.max_tokens} leaves {room} tokens of context beside "
                f"{answers.max_question_tokens} of the question and 3 special ones, expected at least "
                f"{answers.stride_tokens or 1}, or a window would not reach the next; raise max_tokens, or lower "
                "answers.max_question_tokens or answers.stride_tokens"
            ]
        return []
