"""BERT with a fine-tuning head: one class for a text or two, one tag for every token, with a CRF by choice, or answers.

Weights, logits and loss are those of transformers' `BertForSequenceClassification`, `BertForTokenClassification` and
`BertForQuestionAnswering` (`question_answering.py`); the folders load there, with the labels' names in config.json.
Text to token ids, batches and training are elsewhere.

Letters at the end of a name are the axes of a tensor: B examples, S positions, D hidden size, C classes or tags.

Source: Devlin et al. 2019 (arXiv:1810.04805), sections 4.1 and 5.3; transformers 5, models/bert/modeling_bert.py.
"""
# ruff: noqa: N803, N806 -- capitals at the end of a name are axes

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from bert_core.config.tasks import AnswersConfig, Family, TagScheme
from bert_core.corpus.tag_schemes import tag_names, types_of_tags
from bert_core.errors import CheckpointError
from bert_core.model.crf import ConditionalRandomField
from bert_core.model.dropout import Dropout
from bert_core.model.encoder import BertConfig, BertEncoder, initialise
from bert_core.model.exchange import ARCHITECTURES, load_into, read_config, save_model
from bert_core.model.question_answering import BertForExtractiveQA
from bert_core.model.sentence_trees import SentenceTrees, encode

KNOWLEDGE_FILE = "knowledge.tsv"
"""Triples that a model reads texts with, in its folder."""
IGNORED_LABEL = -100
"""Label of what is not scored."""


class BertForSingleSentence(nn.Module):
    """A linear layer over the pooled [CLS] vector."""

    family: Family = "single_sentence"

    def __init__(self, config: BertConfig, num_labels: int) -> None:
        super().__init__()
        self.config = config
        self.bert = BertEncoder(config)
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, num_labels)

    def forward(
        self,
        input_ids_BS: Tensor,
        token_type_ids_BS: Tensor,
        lengths_B: Tensor | None = None,
        tree: SentenceTrees | None = None,
    ) -> Tensor:
        """Return logits (B, C); arguments as `encode`."""
        _, pooled_BD = encode(self.bert, input_ids_BS, token_type_ids_BS, lengths_B, tree)
        return self.classifier(self.dropout(pooled_BD))

    def loss(self, logits_BC: Tensor, labels_B: Tensor, class_weights_C: Tensor | None = None) -> Tensor:
        """Return the mean cross-entropy, nats; a weighted mean where classes have weights."""
        if class_weights_C is None:
            return classification_loss(logits_BC, labels_B)
        return F.cross_entropy(logits_BC.float(), labels_B, class_weights_C)


class BertForSentencePair(BertForSingleSentence):
    """The same over [CLS] of two texts, `[CLS] A [SEP] B [SEP]`."""

    family: Family = "sentence_pair"


class BertForSequenceLabelling(nn.Module):
    """A linear layer over the vector of every token, and a CRF over its scores by choice; it has no pooler."""

    family: Family = "sequence_labelling"

    def __init__(self, config: BertConfig, tags: Sequence[str], *, crf: bool = False) -> None:
        super().__init__()
        num_labels = len(tags)
        self.crf = ConditionalRandomField(tags) if crf else None
        self.config = config
        self.bert = BertEncoder(config)
        self.bert.add_module("pooler", nn.Identity())  # nothing reads [CLS] alone; transformers has none either
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, num_labels)

    def forward(
        self,
        input_ids_BS: Tensor,
        token_type_ids_BS: Tensor,
        lengths_B: Tensor | None = None,
        tree: SentenceTrees | None = None,
    ) -> Tensor:
        """Return logits (B, S, C); those at padding and in branches mean nothing. Arguments as `encode`."""
        hidden_BSD, _ = encode(self.bert, input_ids_BS, token_type_ids_BS, lengths_B, tree)
        return self.classifier(self.dropout(hidden_BSD))

    def loss(self, logits_BSC: Tensor, labels_BS: Tensor, class_weights_C: Tensor | None = None) -> Tensor:
        """Return the loss for each scored token, nats: cross-entropy, or that of the CRF; weights are for classes."""
        if self.crf is None:
            return classification_loss(logits_BSC, labels_BS)
        return self.crf.loss(logits_BSC, labels_BS)

    @torch.no_grad()
    def decode(self, logits_BSC: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tag of each token, int64 (B, S), and the probability of every tag, float32 (B, S, C).

        Under a CRF the tags are those of the best path over the text's tokens, the probabilities its marginals.
        """
        if self.crf is None:
            probabilities_BSC = logits_BSC.float().softmax(-1)
            return probabilities_BSC.argmax(-1), probabilities_BSC
        positions_S = torch.arange(logits_BSC.shape[1], device=logits_BSC.device)
        is_text_BS = (positions_S > 0) & (positions_S < lengths_B[:, None] - 1)
        return self.crf.best_path(logits_BSC, is_text_BS), self.crf.marginals(logits_BSC, is_text_BS)


FineTuneModel = BertForSingleSentence | BertForSequenceLabelling | BertForExtractiveQA


def classification_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy over labels that are not -100, nats; 0 where there is none.

    Args:
        logits: (..., C).
        labels: classes or tags, int64, of the shape of `logits` without its last axis.
    """
    losses = F.cross_entropy(
        logits.float().flatten(0, -2), labels.flatten(), ignore_index=IGNORED_LABEL, reduction="sum"
    )
    return losses / (labels != IGNORED_LABEL).sum().clamp(min=1)


def build_model(
    family: Family,
    config: BertConfig,
    labels: Sequence[str],
    seed: int,
    *,
    tags: TagScheme = "bio",
    crf: bool = False,
) -> FineTuneModel:
    """Make a model with random weights.

    Args:
        family: kind of task.
        config: sizes of the encoder.
        labels: classes, or entity types.
        seed: key of the weights.
        tags: scheme of a tagger's tags.
        crf: whether a tagger has a CRF.
    """
    model: FineTuneModel
    if family == "extractive_qa":
        model = BertForExtractiveQA(config)
    elif family != "sequence_labelling":
        kind = BertForSingleSentence if family == "single_sentence" else BertForSentencePair
        model = kind(config, len(labels))
    else:
        model = BertForSequenceLabelling(config, tag_names(labels, tags), crf=crf)
    initialise(model, seed, config.initializer_range)
    return model


def output_names(family: Family, labels: Sequence[str], tags: TagScheme = "bio") -> list[str]:
    """Name the outputs of a head: the classes, the tags of the entity types, or both ends of an answer."""
    if family == "extractive_qa":
        return ["start", "end"]
    return tag_names(labels, tags) if family == "sequence_labelling" else list(labels)


def save_fine_tuned(
    folder: Path,
    model: FineTuneModel,
    vocabulary_folder: Path,
    labels: Sequence[str],
    *,
    max_tokens: int,
    card: Mapping[str, Any],
    tags: TagScheme = "bio",
    knowledge: Path | None = None,
    max_triples: int = 0,
    answers: AnswersConfig | None = None,
) -> None:
    """Write a fine-tuned model as a folder that transformers reads.

    Args:
        folder: an existing folder.
        model: trained.
        vocabulary_folder: holds vocab.txt and tokenizer.json.
        labels: classes, or entity types.
        max_tokens: longest input that it was trained on, with special tokens, tokens.
        card: what the model card says, heading -> plain JSON value.
        tags: scheme of a tagger's tags.
        knowledge: file of triples that texts are read with; None for none.
        max_triples: triples of one entity.
        answers: extractive_qa only: how answers are sought.

    Raises:
        CheckpointError: a weight is not finite, or the vocabulary folder lacks a file.
    """
    names = output_names(model.family, labels, tags)
    has_crf = isinstance(model, BertForSequenceLabelling) and model.crf is not None
    save_model(
        folder,
        model,
        vocabulary_folder,
        kind=model.family,
        card=card,
        config_entries={
            "id2label": {str(index): name for index, name in enumerate(names)},
            "label2id": {name: index for index, name in enumerate(names)},
            "max_tokens": max_tokens,
            **({"crf": True} if has_crf else {}),
            **({"max_triples": max_triples} if knowledge is not None else {}),
            **({"sentence_pair": True} if model.family == "sentence_pair" else {}),
            **({"answers": answers.plain()} if answers is not None else {}),
        },
    )
    if knowledge is not None:
        shutil.copyfile(knowledge, folder / KNOWLEDGE_FILE)


_KINDS = (BertForSingleSentence, BertForSequenceLabelling, BertForExtractiveQA)


@dataclass(frozen=True, kw_only=True, slots=True)
class FineTuned:
    """A fine-tuned model as read from its folder."""

    model: FineTuneModel
    """In evaluation mode."""
    labels: list[str]
    """Classes, or entity types; none where it answers questions."""
    max_tokens: int
    """Longest input with special tokens, tokens."""
    tags: TagScheme = "bio"
    """Scheme of a tagger's tags."""
    knowledge: Path | None = None
    """File of triples that texts are read with; None for none."""
    max_triples: int = 0
    """Triples of one entity."""
    answers: AnswersConfig = field(default_factory=AnswersConfig)
    """How answers are sought."""


def load_fine_tuned(folder: Path) -> FineTuned:
    """Read a fine-tuned folder, ours or one that transformers wrote.

    Raises:
        CheckpointError: it is no classifier, tagger or answerer, weights are missing, or its tags are neither BIO nor
            BIOES.
    """
    config = read_config(folder)
    entries = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    kinds = {ARCHITECTURES[kind.family]: kind for kind in _KINDS}
    architectures = entries.get("architectures") or ["nothing"]
    kind = kinds.get(architectures[0])
    if kind is None:
        raise CheckpointError(
            f"{folder}: holds {architectures[0]!r}, expected one of {sorted(kinds)}; "
            "give the folder of a fine-tuned model"
        )
    by_id = entries.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}  # transformers' own default
    names = [by_id[key] for key in sorted(by_id, key=int)]
    tags: TagScheme = "bio"
    model: FineTuneModel
    if kind is BertForExtractiveQA:
        labels, model = [], BertForExtractiveQA(config)
    elif kind is BertForSingleSentence:
        of_pairs = entries.get("sentence_pair") is True
        labels, model = names, (BertForSentencePair if of_pairs else BertForSingleSentence)(config, len(names))
    else:
        labels = types_of_tags(names)
        tags = "bioes" if names == tag_names(labels, "bioes") else "bio"
        if tag_names(labels, tags) != names:
            raise CheckpointError(
                f"{folder}: tags are {names}, expected {tag_names(labels, 'bio')}: O, then B- and I- of each type, "
                "or B-, I-, E- and S- of each"
            )
        model = BertForSequenceLabelling(config, names, crf=entries.get("crf") is True)
    report = load_into(model, folder)
    if report.fresh:
        raise CheckpointError(f"{folder}: weights {report.fresh} are missing; is it a fine-tuned model?")
    return FineTuned(
        model=model.eval(),
        labels=labels,
        max_tokens=min(int(entries.get("max_tokens", 512)), config.max_position_embeddings),
        tags=tags,
        knowledge=_knowledge_of(folder, entries),
        max_triples=int(entries.get("max_triples", 0)),
        answers=_answers_of(folder, entries),
    )


def _knowledge_of(folder: Path, entries: Mapping[str, Any]) -> Path | None:
    """The file of triples that the model reads texts with."""
    path = folder / KNOWLEDGE_FILE
    if "max_triples" not in entries:
        return None
    if not path.is_file():
        raise CheckpointError(f"{path}: missing; config.json says that the model reads texts with triples")
    return path


def _answers_of(folder: Path, entries: Mapping[str, Any]) -> AnswersConfig:
    """Read how answers are sought; the defaults where another program wrote the folder."""
    try:
        return AnswersConfig.model_validate(entries.get("answers", {}))
    except ValidationError as error:
        raise CheckpointError(f"{folder / 'config.json'}: `answers` cannot be read: {error}") from error
