"""Examples as plain values for a person to look at: text, words, pair, provenance, and what each mask hides.

`sample_view` gives values, `markdown_of` one way to show them; a terminal or a page has its own. Corpus text is
hostile: it may hold markup of any kind, so whatever shows it must escape it, as `markdown_of` does.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from bert_core.config import MaskingConfig
from bert_core.examples.masking import MaskVocabulary, mask_examples
from bert_core.examples.reader import ExampleSet
from bert_core.store.schemas import NEXT, NO_PAIR

Change = Literal["", "mask", "random", "kept", "similar"]

_CHANGE_SIGNS = {"mask": "▢", "random": "⇄", "kept": "=", "similar": "≈"}
_LABELS = {"next": "B follows A", "random": "B is random", "swapped": "A follows B"}


@dataclass(frozen=True)
class MaskedView:
    """What one policy makes of an example in one epoch."""

    policy: str
    """Masking policy."""
    epoch: int
    """Pass over the examples, from 0."""
    tokens: list[str]
    """What the model reads."""
    changes: list[Change]
    """For each token: empty, or what happened to a hidden one: `mask`, `random`, `kept`, or `similar` for a token of a
    similar word."""


@dataclass(frozen=True)
class ExampleView:
    """One example in words."""

    row: int
    """Row in its set."""
    example_id: int
    tokens: list[str]
    """Entries of the vocabulary, special tokens included."""
    words: list[tuple[int, int]]
    """First token of each word and one past its last; they cover the example."""
    entities: list[tuple[int, int]]
    """First token of each entity and one past its last."""
    length_a: int
    """Tokens of A; segment 0 is the first length_a + 2 tokens."""
    next_sentence_label: int
    """0 = B follows A, 1 = B is random or, under sop, A follows B; -100 = no pair."""
    doc_id_a: int
    token_a: int
    """First token of A in its document."""
    doc_id_b: int
    token_b: int
    """First token of B in its document, -1 where there is no pair."""
    round: int
    """Pairing round."""
    masks: list[MaskedView]
    """One for each policy and epoch, epochs of a policy together."""

    @property
    def pair(self) -> Literal["next", "random", "swapped", "no pair"]:
        """What the label says; a random B comes from another document, a swapped one never does."""
        if self.next_sentence_label == NO_PAIR:
            return "no pair"
        if self.next_sentence_label == NEXT:
            return "next"
        return "random" if self.doc_id_a != self.doc_id_b else "swapped"


def sample_view(
    folder: Path,
    name: str,
    vocabulary_folder: Path,
    rows: Sequence[int],
    maskings: Sequence[MaskingConfig],
    seed: int,
    epochs: Sequence[int],
) -> list[ExampleView]:
    """Look at some examples and at what some policies hide of them in some epochs.

    Args:
        folder: holds the shards.
        name: `train` or `held_out`.
        vocabulary_folder: vocabulary of the tokens.
        rows: rows to show, in this order, each in [0, number of examples).
        maskings: policies with probability and shares, those of the training that is looked at or others.
        seed: of the run.
        epochs: passes to show, from 0.

    Returns:
        One view for each row.

    Raises:
        IndexError: a row is outside the set.
        StoreError: shards are missing or not readable.
    """
    from bert_core.tokens.tokenizer import WordPieceTokenizer

    entries = WordPieceTokenizer.from_folder(vocabulary_folder).entries
    examples = ExampleSet.open(folder, name)
    wanted = np.asarray(rows, np.int64)
    batch = examples.take(wanted)
    sources = examples.sources(wanted)
    drawn = [
        (masking.policy, epoch, vocabulary, *mask_examples(batch, seed, epoch, masking, vocabulary))
        for masking in maskings
        for vocabulary in [MaskVocabulary.from_folder(vocabulary_folder, masking)]
        for epoch in epochs
    ]
    views = []
    for index, row in enumerate(rows):
        tokens = slice(batch.offsets[index], batch.offsets[index + 1])
        spans = slice(batch.entity_offsets[index], batch.entity_offsets[index + 1])
        input_ids = batch.input_ids[tokens]
        borders = [*np.nonzero(batch.word_starts[tokens])[0].tolist(), len(input_ids)]
        starts, lengths = batch.entity_starts[spans].tolist(), batch.entity_lengths[spans].tolist()
        views.append(
            ExampleView(
                row=int(row),
                example_id=int(batch.example_ids[index]),
                tokens=[entries[token] for token in input_ids],
                words=list(pairwise(borders)),
                entities=[(start, start + length) for start, length in zip(starts, lengths, strict=True)],
                length_a=int(batch.length_a[index]),
                next_sentence_label=int(batch.next_sentence_labels[index]),
                **{key: int(column[index]) for key, column in sources.items()},
                masks=[
                    MaskedView(
                        policy,
                        epoch,
                        [entries[token] for token in masked_ids[tokens]],
                        _changes(input_ids, masked_ids[tokens], is_target[tokens], borders, vocabulary),
                    )
                    for policy, epoch, vocabulary, masked_ids, is_target in drawn
                ],
            )
        )
    return views


def _changes(
    input_ids: np.ndarray,
    masked_ids: np.ndarray,
    is_target: np.ndarray,
    borders: Sequence[int],
    vocabulary: MaskVocabulary,
) -> list[Change]:
    """Say of each token what happened to it; where there is a thesaurus, a changed word is changed as a whole."""
    changes: list[Change] = []
    for token, shown, target in zip(input_ids, masked_ids, is_target, strict=True):
        if not target:
            changes.append("")
        elif shown == vocabulary.mask_id:
            changes.append("mask")
        else:
            changes.append("kept" if shown == token else "random")
    if vocabulary.similar is None:
        return changes
    for first, last in pairwise(borders):
        word, read = tuple(input_ids[first:last].tolist()), tuple(masked_ids[first:last].tolist())
        if word != read:
            change: Change = "similar" if read in vocabulary.similar.similar_to(word) else "random"
            changes[first:last] = [change if target else "" for target in is_target[first:last]]
    return changes


def markdown_of(views: Sequence[ExampleView]) -> str:
    """Write examples as markdown: provenance, the words, and the masks side by side.

    Every token is escaped for HTML, and characters that markdown reads are written as character references, so that
    corpus text can neither break the table nor become markup.

    Example: a hidden token shows as `▢ 好` (masked), `⇄ 好→马` (random) or `= 好` (kept).
    """
    parts = []
    for view in views:
        label = _LABELS.get(view.pair, "no pair")
        parts.append(f"### Example {view.row}: {label}\n")
        parts.append(
            f"id `{view.example_id:016x}`, round {view.round}, {len(view.tokens)} tokens, "
            f"A from token {view.token_a} of document `{view.doc_id_a:016x}`"
            + (f", B from token {view.token_b} of `{view.doc_id_b:016x}`" if view.token_b >= 0 else "")
            + "\n"
        )
        parts.append("| words | " + " | ".join(f"{shown.policy}, epoch {shown.epoch}" for shown in view.masks) + " |")
        parts.append("|---" * (1 + len(view.masks)) + "|")
        cells = [" ".join(_escaped("".join(view.tokens[first:last])) for first, last in view.words)]
        cells += [" ".join(_shown(view.tokens, shown)) for shown in view.masks]
        parts.append("| " + " | ".join(cells) + " |\n")
    return "\n".join(parts)


def _shown(tokens: Sequence[str], masked: MaskedView) -> list[str]:
    """Write the tokens of one mask, hidden ones in bold with their sign."""
    shown = []
    for token, read, change in zip(tokens, masked.tokens, masked.changes, strict=True):
        text = f"{_escaped(token)}→{_escaped(read)}" if change in ("random", "similar") else _escaped(token)
        shown.append(f"**{_CHANGE_SIGNS[change]} {text}**" if change else text)
    return shown


def _escaped(text: str) -> str:
    """Write every ASCII character that markdown or HTML could read as a character reference."""
    return "".join(
        f"&#{ord(character)};" if character.isascii() and not character.isalnum() else html.escape(character)
        for character in text
    )
