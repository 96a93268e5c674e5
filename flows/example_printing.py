"""Examples for a person to look at: printed word by word, or written as one page.

Each is shown with its pair, the passages it comes from down to file and line, its words and entities, and the masks of
some policies and epochs side by side. What is hidden stands in brackets as well as in colour, so that it survives a
pipe.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from bert_core.errors import RequestError
from bert_core.stages.line import Line
from bert_core.store.schemas import NEXT, RANDOM
from flows.terminal import plain
from tasks.samples import standing_outputs

if TYPE_CHECKING:
    from bert_core.examples.inspect import ExampleView, MaskedView

_STYLES = {
    "mask": "bold white on red",
    "random": "bold black on yellow",
    "kept": "bold black on green",
    "similar": "bold black on cyan",
}


def write_page(
    path: Path, title: str, lead: str, line: Line, examples_stage: str, views: Sequence["ExampleView"]
) -> None:
    """Write examples as one self-contained page; an earlier page of this kind is replaced, any other file kept.

    Args:
        path: the file, in a folder that exists.
        title: heading of the page.
        lead: a sentence on which examples these are.
        line: the open recipe.
        examples_stage: stage of the examples.
        views: the examples.

    Raises:
        RequestError: the file cannot be written, or is something else.
    """
    from bert_core.report.examples_page import MARK, inspected, render_examples
    from bert_core.report.passages import passages_of
    from bert_core.store.workspace import write_synced

    if path.exists() and not (path.is_file() and MARK.encode() in path.read_bytes()[:200]):
        raise RequestError(f"--html {str(path)!r} is there and no page of bertline; name another file")
    if not path.parent.is_dir():
        raise RequestError(f"--html {str(path)!r}: the folder {str(path.parent)!r} does not exist; make it first")
    passages = passages_of(standing_outputs(line), examples_stage, views)
    write_synced(path, render_examples(title, lead, [inspected(view, passages) for view in views]))


def print_examples(
    line: Line, examples_stage: str, views: Sequence["ExampleView"], console: Console, lead: str
) -> None:
    """Print examples.

    Args:
        line: the open recipe.
        examples_stage: stage of the examples.
        views: the examples.
        console: where to.
        lead: a sentence on which examples these are.
    """
    from bert_core.report.explore import readable
    from bert_core.report.passages import passages_of

    passages = passages_of(standing_outputs(line), examples_stage, views)
    console.print(plain(lead, "dim"), soft_wrap=True)
    for view in views:
        label = _pair_of(view)
        console.print(plain(f"example {view.row}  {view.example_id:016x}  {len(view.tokens)} tokens  {label}", "bold"))
        for (row, side), passage in passages.items():
            if row == view.row:
                console.print(plain(f"  {side} from {passage.describe()}"), soft_wrap=True)
        console.print(_labelled("text", plain(readable(view.tokens))), soft_wrap=True)
        console.print(_labelled("words", _words(view)), soft_wrap=True)
        several = len({masked.policy for masked in view.masks}) > 1
        for masked in view.masks:
            label = f"{masked.policy} {masked.epoch}" if several else f"epoch {masked.epoch}"
            console.print(_labelled(label, _masked(view, masked)), soft_wrap=True)
        console.print()
    console.print(
        Text("  "),
        Text(" masked ", _STYLES["mask"]),
        Text(" replaced at random, [was>is] ", _STYLES["random"]),
        Text(" replaced by a similar word, [was~is] ", _STYLES["similar"]),
        Text(" kept, yet predicted ", _STYLES["kept"]),
    )


def _pair_of(view: "ExampleView") -> str:
    """Word the label of a pair; under sentence order a swapped pair comes from one document."""
    if view.next_sentence_label == NEXT:
        return "B follows A"
    if view.next_sentence_label == RANDOM:
        return "A follows B (swapped)" if view.doc_id_a == view.doc_id_b else "B is from elsewhere (random)"
    return "no pair"


def _labelled(label: str, text: Text) -> Text:
    return Text(f"  {label:<9} ", "dim").append_text(text)


def _words(view: "ExampleView") -> Text:
    """Words apart by a bar, entities in braces."""
    starts, ends = {first for first, _ in view.entities}, {last for _, last in view.entities}
    text = Text()
    for first, last in view.words:
        if first:
            text.append("|", "dim")
        for position in range(first, last):
            token = view.tokens[position]
            text.append("{" if position in starts else "", "cyan")
            text.append_text(plain(token.removeprefix("##") if position > first else token))
            text.append("}" if position + 1 in ends else "", "cyan")
    return text


def _masked(view: "ExampleView", masked: "MaskedView") -> Text:
    """Show what the model reads and what it must predict."""
    text = Text()
    for token, read, change in zip(view.tokens, masked.tokens, masked.changes, strict=True):
        if len(text) and token[:1].isascii() and not token.startswith("##"):
            text.append(" ")
        if not change:
            text.append_text(plain(token))
            continue
        shown = {
            "mask": f"[{token}]",
            "random": f"[{token}>{read}]",
            "kept": f"[={token}]",
            "similar": f"[{token}~{read}]",
        }[change]
        text.append_text(plain(shown, _STYLES[change]))
    return text
