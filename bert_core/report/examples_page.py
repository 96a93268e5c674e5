"""The page of `bertline inspect --html`: examples with their words, entities, passages and masks, in one file.

Like the report it needs no network and no server, is a pure function of what it shows, escapes every text, and carries
a policy that allows no script but its own (`html.py` says how).
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from bert_core.examples.inspect import Change, ExampleView, MaskedView
from bert_core.report.explore import readable
from bert_core.report.html import page_environment, without_hidden
from bert_core.report.passages import Passage, Side

MARK = "<!-- examples, written by bertline inspect -->"
"""Stands in the second line, so that a page is known as one and may be written anew."""
_SPECIAL = ("[CLS]", "[SEP]", "[PAD]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A token, or a run of text without hidden tokens."""

    text: str
    """As it stood in the text."""
    read: str = ""
    """What the model reads in its place; empty where it is the same."""
    kind: str = ""
    """`special`, `entity`, a `Change`, or empty."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskCard:
    """An example under one policy in one epoch."""

    policy: str
    epoch: int
    num_hidden: int
    """Tokens to predict."""
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class InspectedExample:
    """One example as the page shows it."""

    row: int
    example_id: str
    label: str
    round: int
    num_tokens: int
    passages: tuple[tuple[str, str, str], ...]
    """Side, where it stands, its text."""
    words: tuple[tuple[Piece, ...], ...]
    """Tokens of each word."""
    masks: tuple[MaskCard, ...]
    text: str
    """For the filter."""


def inspected(view: ExampleView, passages: Mapping[tuple[int, Side], Passage]) -> InspectedExample:
    """Turn a view into what the page shows.

    Args:
        view: an example with its masks.
        passages: by row and side.
    """
    sides: tuple[Side, ...] = ("A", "B")
    found = [(side, passages[view.row, side]) for side in sides if (view.row, side) in passages]
    inside = {position for first, last in view.entities for position in range(first, last)}
    return InspectedExample(
        row=view.row,
        example_id=f"{view.example_id:016x}",
        label=view.pair,
        round=view.round,
        num_tokens=len(view.tokens),
        passages=tuple((side, passage.describe(), passage.text) for side, passage in found),
        words=tuple(
            tuple(
                Piece(
                    text=view.tokens[position].removeprefix("##") if position > first else view.tokens[position],
                    kind=_kind_of(view.tokens[position], position in inside),
                )
                for position in range(first, last)
            )
            for first, last in view.words
        ),
        masks=tuple(
            MaskCard(
                policy=masked.policy,
                epoch=masked.epoch,
                num_hidden=sum(change != "" for change in masked.changes),
                pieces=tuple(pieces_of(view.tokens, masked)),
            )
            for masked in view.masks
        ),
        text=without_hidden(" ".join([readable(view.tokens), *(passage.text for _, passage in found)])),
    )


def _kind_of(token: str, is_entity: bool) -> str:
    return "special" if token in _SPECIAL else "entity" if is_entity else ""


def pieces_of(tokens: Sequence[str], masked: MaskedView) -> list[Piece]:
    """Cut an example into hidden tokens and the runs of text between them.

    Example: `[CLS] 好 的 play ##ing [SEP]` with 的 masked gives a special piece, `好`, `的`, `playing`, and a
    special piece.
    """
    pieces: list[Piece] = []
    run: list[str] = []

    def end_run() -> None:
        if run:
            pieces.append(Piece(text=_joined(run)))
            run.clear()

    for token, read, change in zip(tokens, masked.tokens, masked.changes, strict=True):
        if not change and token not in _SPECIAL:
            run.append(token)
            continue
        end_run()
        kind: Change | str = change or "special"
        pieces.append(Piece(text=token, read=read if read != token else "", kind=kind))
    end_run()
    return pieces


def _joined(tokens: Sequence[str]) -> str:
    """Join tokens of a run; a continuation of a hidden token keeps its `##`, words of letters stand apart."""
    text = ""
    for token in tokens:
        if text and token.startswith("##"):
            text += token[2:]
        else:
            text += f" {token}" if text[-1:].isascii() and token[:1].isascii() and text else token
    return text


def render_examples(title: str, lead: str, examples: Sequence[InspectedExample]) -> str:
    """Return the page as text.

    Args:
        title: what is shown, such as `demo: examples/pretrain`.
        lead: a sentence on which rows these are.
        examples: in order.
    """
    environment = page_environment()
    source = environment.loader
    assert source is not None
    script = source.get_source(environment, "report.js")[0]
    masks = [mask for example in examples for mask in example.masks]
    return environment.get_template("examples.html.j2").render(
        title=title,
        lead=lead,
        mark=Markup(MARK),
        examples=examples,
        policies=list(dict.fromkeys(mask.policy for mask in masks)),
        epochs=list(dict.fromkeys(mask.epoch for mask in masks)),
        style=Markup(source.get_source(environment, "report.css")[0]),
        own_style=Markup(source.get_source(environment, "examples.css")[0]),
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii"),
    )
