"""Triples of a knowledge file hung onto the entities of a text: a sentence tree with soft positions and visibility.

    triples      库克 -> 职位 总裁        北京 -> 首都 中国
    trunk        [CLS] 库 克 访 问 北 京 [SEP]        soft positions 0 1 2 3 4 5 6 7
    branches     职 位 总 裁 (at 克)                   3 4 5 6
                 首 都 中 国 (at 京)                   7 8 9 10

An entity is an entry of the file that stands in the text, leftmost and longest first, with borders of tokens and, in
Latin script, of words. Each of its first `max_triples` triples is a branch: the tokens of predicate and object. Soft
positions of a branch go on from its entity's last token. Tokens of the trunk see the trunk; a branch sees itself and
its entity, and of the trunk its entity alone sees it. Branches are set behind the trunk, which is the same model as
between its tokens, because attention knows order by positions alone; so labels, offsets and windows stay as they are,
and what is scored are tokens of the trunk. A trunk is never cut: branches that do not fit into `max_tokens` are left
out from the end of the text on, and counted.

Where no entity stands in any text of a batch, the batch is that of training without knowledge.

Source: Liu et al. 2020, K-BERT (arXiv:1909.07606), section 3.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bert_core.errors import RequestError
from bert_core.tokens.characters import is_han
from bert_core.tokens.tokenizer import WordPieceTokenizer

TRUNK = 0
"""Branch number of the tokens of the text itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trees:
    """What stands behind the trunk of each example, as flat columns with shared offsets."""

    offsets: np.ndarray
    """Branch tokens of example i are those from `offsets[i]` to `offsets[i + 1]`, int64 shape (num_examples + 1,)."""
    ids: np.ndarray
    """Token ids, int64 shape (num_tokens,)."""
    positions: np.ndarray
    """Soft position of each, int64."""
    branches: np.ndarray
    """Number of the branch within its example, from 1, int64."""
    entity_firsts: np.ndarray
    """Place of the first token of the branch's entity in its example, int64."""
    entity_ends: np.ndarray
    """One past the last, int64."""
    num_entities: int
    """Entities with at least one branch."""
    num_triples: int
    """Branches."""
    num_left_out: int
    """Branches for which there was no room."""

    @property
    def lengths(self) -> np.ndarray:
        """Branch tokens of each example, int64 shape (num_examples,)."""
        return np.diff(self.offsets)


class Knowledge:
    """A file of triples, ready to be hung onto texts."""

    def __init__(self, path: Path, tokenizer: WordPieceTokenizer, max_triples: int) -> None:
        """Read the file.

        Args:
            path: UTF-8, `subject TAB predicate TAB object` a line.
            tokenizer: of the model.
            max_triples: branches of one entity; the first of the file are taken.

        Raises:
            RequestError: the file is missing, is not UTF-8, or a line has another shape.
        """
        self.path = path
        branches: dict[str, list[str]] = defaultdict(list)
        for subject, predicate, value in read_triples(path):
            if len(branches[subject]) < max_triples:
                branches[subject].append(f"{predicate} {value}")
        self.entities = list(branches)
        texts = [text for entity in self.entities for text in branches[entity]]
        found = tokenizer.encode(texts)
        tokens = np.split(found.ids.astype(np.int64), found.row_offsets[1:-1])
        bounds = np.cumsum([0, *(len(branches[entity]) for entity in self.entities)]).tolist()
        self._branches = [tokens[start:end] for start, end in pairwise(bounds)]

    @cached_property
    def _automaton(self) -> Any:
        import ahocorasick_rs

        return ahocorasick_rs.AhoCorasick(
            self.entities, matchkind=ahocorasick_rs.MatchKind.LeftmostLongest, store_patterns=False
        )

    def find(self, text: str) -> list[tuple[int, int, int]]:
        """Return entity, first character and end of each mention, in order and without overlap.

        Example: with the entities 北京 and 北京大学, `他在北京大学` gives the second alone; `art` is not found in
        smart.
        """
        matches = self._automaton.find_matches_as_indexes(text)
        return [
            (entity, start, end)
            for entity, start, end in matches
            if not _within_word(text, start) and not _within_word(text, end)
        ]

    def trees(
        self,
        offsets: np.ndarray,
        char_starts: np.ndarray,
        char_ends: np.ndarray,
        length_a: np.ndarray,
        texts: Sequence[str | None],
        texts_pair: Sequence[str | None] | None,
        max_tokens: int,
    ) -> Trees:
        """Hang triples onto examples.

        Args:
            offsets: example i has tokens `offsets[i]` to `offsets[i + 1]`, special ones included.
            char_starts: first character of each token in its text, -1 at special tokens.
            char_ends: one past its last character.
            length_a: tokens of the first text of each example.
            texts: first text of each example.
            texts_pair: second text of each, or None where there is none.
            max_tokens: longest example with its branches, tokens.
        """
        mentions: dict[str, list[tuple[int, int, int]]] = {}
        columns: list[list[np.ndarray]] = [[], [], [], [], []]
        row_lengths, num_entities, num_triples, num_left_out = [], 0, 0, 0
        second = texts_pair if texts_pair is not None else [None] * len(texts)
        for row in range(len(offsets) - 1):
            size = int(offsets[row + 1] - offsets[row])
            room, branch = max_tokens - size, 0
            for first, end, text in _segments(size, int(length_a[row]), texts[row], second[row]):
                if text not in mentions:
                    mentions[text] = self.find(text)
                tokens = slice(int(offsets[row]) + first, int(offsets[row]) + end)
                for entity, start, stop in mentions[text]:
                    place = _tokens_of(char_starts[tokens], char_ends[tokens], start, stop)
                    if place is None:
                        continue
                    hung = 0
                    for ids in self._branches[entity]:
                        if len(ids) > room or not len(ids):
                            num_left_out += len(ids) > 0
                            continue
                        room, branch, hung = room - len(ids), branch + 1, hung + 1
                        parts = (
                            ids,
                            first + place[1] + np.arange(len(ids)),
                            np.full(len(ids), branch),
                            np.full(len(ids), first + place[0]),
                            np.full(len(ids), first + place[1]),
                        )
                        for column, part in zip(columns, parts, strict=True):
                            column.append(part)
                    num_entities += hung > 0
                    num_triples += hung
            row_lengths.append(max_tokens - size - room)
        flat = [np.concatenate(column).astype(np.int64) if column else np.zeros(0, np.int64) for column in columns]
        return Trees(
            offsets=np.cumsum([0, *row_lengths]).astype(np.int64),
            ids=flat[0],
            positions=flat[1],
            branches=flat[2],
            entity_firsts=flat[3],
            entity_ends=flat[4],
            num_entities=num_entities,
            num_triples=num_triples,
            num_left_out=num_left_out,
        )


def visible_pairs(branches_BS: np.ndarray, firsts_BS: np.ndarray, ends_BS: np.ndarray) -> np.ndarray:  # noqa: N803
    """Say which token sees which, bool (B, S, S), symmetric.

    Args:
        branches_BS: number of each token's branch, 0 in the trunk, -1 at padding.
        firsts_BS: for tokens of a branch, the place of their entity's first token; anything elsewhere.
        ends_BS: one past its last token.
    """
    same = branches_BS[:, :, None] == branches_BS[:, None, :]
    places = np.arange(branches_BS.shape[1])
    of_entity = (places >= firsts_BS[:, :, None]) & (places < ends_BS[:, :, None]) & (branches_BS > TRUNK)[:, :, None]
    return same | of_entity | of_entity.transpose(0, 2, 1)


def read_triples(path: Path) -> list[tuple[str, str, str]]:
    """Return the triples of a file in its order; empty lines are passed over.

    Raises:
        RequestError: the file is missing, is not UTF-8, has no triple, or a line that is none.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError:
        raise RequestError(f"{path}: no such file of triples; correct fine_tune.knowledge.triples") from None
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise RequestError(f"{path}:{line}: not UTF-8 ({error.reason}); save the triples as UTF-8") from None
    triples = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        parts = [part.strip() for part in line.split("\t")]
        if len(parts) != 3 or not all(parts):
            raise RequestError(
                f"{path}:{number}: {line[:60]!r}, expected subject, predicate and object with tabs between them, such "
                "as '北京\\t首都\\t中国'; correct the line or fine_tune.knowledge.triples"
            )
        triples.append((parts[0], parts[1], parts[2]))
    if not triples:
        raise RequestError(f"{path}: no triple, expected one a line; correct fine_tune.knowledge.triples")
    return triples


def _segments(size: int, length_a: int, text: str | None, second: str | None) -> list[tuple[int, int, str]]:
    """First token, end, and text of the parts of one example between its special tokens."""
    parts = [(1, 1 + length_a, text)]
    if second is not None:
        parts.append((length_a + 2, size - 1, second))
    return [(first, end, part) for first, end, part in parts if part]


def _tokens_of(char_starts: np.ndarray, char_ends: np.ndarray, start: int, end: int) -> tuple[int, int] | None:
    """First token and end of a range of characters; None where its borders are none of tokens."""
    first = int(np.searchsorted(char_starts, start))
    stop = int(np.searchsorted(char_ends, end, side="right"))
    if first >= stop or char_starts[first] != start or char_ends[stop - 1] != end:
        return None
    return first, stop


def _within_word(text: str, place: int) -> bool:
    """Say whether a place lies inside a Latin word."""
    return 0 < place < len(text) and all(_is_latin(text[at]) for at in (place - 1, place))


def _is_latin(character: str) -> bool:
    return character.isalnum() and not is_han(np.array([ord(character)])).any()
