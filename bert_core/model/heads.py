"""BERT with a fine-tuning head: one class for a text, or one tag for every token.

Weights, logits and loss are those of transformers' `BertForSequenceClassification` and `BertForTokenClassification`;
the folders load there, with the labels' names in config.json. Text to token ids, batches and training are elsewhere.

Letters at the end of a name are the axes of a tensor: B examples, S positions, D hidden size, C classes or tags.

Source: Devlin et al. 2019 (arXiv:1810.04805), sections 4.1 and 5.3; transformers 5, models/bert/modeling_bert.py.
"""
# ruff: noqa: N803, N806 -- capitals at the end of a name are axes

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from bert_core.corpus.tags import bio_tags
from bert_core.errors import CheckpointError
from bert_core.model.dropout import Dropout
from bert_core.model.encoder import BertConfig, BertEncoder, initialise
from bert_core.model.exchange import ARCHITECTURES, load_into, read_config, save_model

Family = Literal["single_sentence", "sequence_labelling"]
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

    def forward(self, input_ids_BS: Tensor, token_type_ids_BS: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """Return logits (B, C); arguments as `BertEncoder.forward`."""
        _, pooled_BD = self.bert(input_ids_BS, token_type_ids_BS, lengths_B)
        return self.classifier(self.dropout(pooled_BD))


class BertForSequenceLabelling(nn.Module):
    """A linear layer over the vector of every token; it has no pooler."""

    family: Family = "sequence_labelling"

    def __init__(self, config: BertConfig, num_labels: int) -> None:
        super().__init__()
        self.config = config
        self.bert = BertEncoder(config)
        self.bert.add_module("pooler", nn.Identity())  # nothing reads [CLS] alone; transformers has none either
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, num_labels)

    def forward(self, input_ids_BS: Tensor, token_type_ids_BS: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """Return logits (B, S, C); those at padding mean nothing. Arguments as `BertEncoder.forward`."""
        hidden_BSD, _ = self.bert(input_ids_BS, token_type_ids_BS, lengths_B)
        return self.classifier(self.dropout(hidden_BSD))


FineTuneModel = BertForSingleSentence | BertForSequenceLabelling


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


def build_model(family: Family, config: BertConfig, labels: Sequence[str], seed: int) -> FineTuneModel:
    """Make a model with random weights.

    Args:
        family: kind of task.
        config: sizes of the encoder.
        labels: classes, or entity types.
        seed: key of the weights.
    """
    kind = BertForSingleSentence if family == "single_sentence" else BertForSequenceLabelling
    model = kind(config, len(output_names(family, labels)))
    initialise(model, seed, config.initializer_range)
    return model


def output_names(family: Family, labels: Sequence[str]) -> list[str]:
    """Name the outputs of a head: the classes, or `O` with the B- and I-tags of the entity types."""
    return list(labels) if family == "single_sentence" else bio_tags(labels)


def save_fine_tuned(
    folder: Path,
    model: FineTuneModel,
    vocabulary_folder: Path,
    labels: Sequence[str],
    *,
    max_tokens: int,
    card: Mapping[str, Any],
) -> None:
    """Write a fine-tuned model as a folder that transformers reads.

    Args:
        folder: an existing folder.
        model: trained.
        vocabulary_folder: holds vocab.txt and tokenizer.json.
        labels: classes, or entity types.
        max_tokens: longest input that it was trained on, with special tokens, tokens.
        card: what the model card says, heading -> plain JSON value.

    Raises:
        CheckpointError: a weight is not finite, or the vocabulary folder lacks a file.
    """
    names = output_names(model.family, labels)
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
        },
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class FineTuned:
    """A fine-tuned model as read from its folder."""

    model: FineTuneModel
    """In evaluation mode."""
    labels: list[str]
    """Classes, or entity types."""
    max_tokens: int
    """Longest input with special tokens, tokens."""


def load_fine_tuned(folder: Path) -> FineTuned:
    """Read a fine-tuned folder, ours or one that transformers wrote.

    Raises:
        CheckpointError: it is no classifier or tagger, weights are missing, or its tags are not BIO.
    """
    config = read_config(folder)
    entries = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    kinds = {ARCHITECTURES[kind.family]: kind for kind in (BertForSingleSentence, BertForSequenceLabelling)}
    architectures = entries.get("architectures") or ["nothing"]
    kind = kinds.get(architectures[0])
    if kind is None:
        raise CheckpointError(
            f"{folder}: holds {architectures[0]!r}, expected one of {sorted(kinds)}; "
            "give the folder of a fine-tuned model"
        )
    by_id = entries.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}  # transformers' own default
    names = [by_id[key] for key in sorted(by_id, key=int)]
    labels = names if kind is BertForSingleSentence else [name[2:] for name in names[1::2]]
    if output_names(kind.family, labels) != names:
        raise CheckpointError(
            f"{folder}: tags are {names}, expected {output_names(kind.family, labels)}: O, then B- and I- of each type"
        )
    model = kind(config, len(names))
    report = load_into(model, folder)
    if report.fresh:
        raise CheckpointError(f"{folder}: weights {report.fresh} are missing; is it a fine-tuned model?")
    return FineTuned(
        model=model.eval(),
        labels=labels,
        max_tokens=min(int(entries.get("max_tokens", 512)), config.max_position_embeddings),
    )
