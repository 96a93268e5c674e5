"""`bertline inspect`: rows of a stage's output on the terminal.

Examples are shown word by word with their pair, the place of their documents, and the masks of any epoch; any other
table is shown row by row; a checkpoint by its counts. Text is printed as it is: no markup, control characters by
their number.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from bert_core.config import MaskingConfig
from bert_core.errors import RequestError
from bert_core.stages.line import Line, LineRequest, Output, open_line
from bert_core.store.schemas import NEXT, RANDOM
from flows.terminal import plain, wide_console
from tasks.samples import sample_of, shard_names, standing_outputs

if TYPE_CHECKING:
    from bert_core.examples.inspect import ExampleView, MaskedView

_STYLES = {
    "mask": "bold white on red",
    "random": "bold black on yellow",
    "kept": "bold black on green",
    "similar": "bold black on cyan",
}
_SHOWN_CHARACTERS = 200
_SHOWN_ITEMS = 24


def print_stage(
    recipe: str,
    stage: str,
    *,
    overrides: tuple[str, ...],
    num_rows: int,
    first_row: int,
    epochs: Sequence[int],
    policy: str | None,
    held_out: bool,
    console: Console | None = None,
) -> None:
    """Print rows of a stage's output.

    Args:
        recipe: path of the recipe.
        stage: stage id, or that of a slice; empty to list what stands.
        overrides: settings replaced, `a.b=value` each.
        num_rows: how many rows.
        first_row: the first of them, from 0.
        epochs: passes whose masks are shown.
        policy: masking policy in place of the recipe's.
        held_out: the examples kept for evaluation, not those of training.
        console: where to; standard output by default.

    Raises:
        RequestError: no such stage, it has not been built, or no such policy or row.
    """
    console = console or wide_console()
    line = open_line(LineRequest(recipe=recipe, overrides=overrides))
    if not stage:
        _print_standing(line, console)
        return
    if stage in line.stages and line.stages[stage].kind == "examples":
        transfer = line.recipe.transfers()[stage.split("/")[1]]
        masking = transfer.masking if policy is None else _with_policy(transfer.masking, policy)
        name = "held_out" if held_out else "train"
        views = sample_of(
            line, stage, name=name, first_row=first_row, num_rows=num_rows, epochs=epochs, masking=masking
        )
        _print_examples(line, views, console)
        return
    for output in _outputs(line, stage):
        _print_rows(output, first_row, num_rows, console)


def _with_policy(masking: MaskingConfig, policy: str) -> MaskingConfig:
    from pydantic import ValidationError

    try:
        thesaurus = masking.thesaurus if policy == "similar_word" else None
        return MaskingConfig.model_validate(masking.model_dump() | {"policy": policy, "thesaurus": thesaurus})
    except ValidationError as error:
        raise RequestError(f"--policy {policy!r}: {error.errors()[0]['msg'].lower()}") from None


def _outputs(line: Line, stage: str) -> list[Output]:
    """The outputs of a stage, or the one of a slice."""
    group = line.stages.get(stage.rpartition("/")[0])
    for piece in group.pieces if group is not None else ():
        output = line.output(piece) if piece.id == stage else None
        if output is not None:
            return [output]
    return line.outputs_of(stage)


def _print_standing(line: Line, console: Console) -> None:
    outputs = standing_outputs(line)
    if not outputs:
        raise RequestError(f"nothing of {line.request.recipe!r} has been built; `bertline run` builds it")
    for stage, (folder, _) in outputs.items():
        console.print(plain(f"{stage}  {', '.join(shard_names(folder))}"), soft_wrap=True)


def _print_examples(line: Line, views: Sequence["ExampleView"], console: Console) -> None:
    from bert_core.report.explore import document_places, readable

    places = document_places(standing_outputs(line), views)
    for view in views:
        label = _pair_of(view)
        console.print(plain(f"example {view.row}  {view.example_id:016x}  {len(view.tokens)} tokens  {label}", "bold"))
        for side, doc_id, token in (("A", view.doc_id_a, view.token_a), ("B", view.doc_id_b, view.token_b)):
            if token >= 0:
                place = places.get(doc_id, "a document that stands no more")
                console.print(plain(f"  {side} from {place}, document {doc_id:016x}, token {token}"), soft_wrap=True)
        console.print(_labelled("text", plain(readable(view.tokens))), soft_wrap=True)
        console.print(_labelled("words", _words(view)), soft_wrap=True)
        for masked in view.epochs:
            console.print(_labelled(f"epoch {masked.epoch}", _masked(view, masked)), soft_wrap=True)
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
    return Text(f"  {label:<9}", "dim").append_text(text)


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
    """What is hidden stands in brackets as well as in colour, so that it survives a pipe."""
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


def _print_rows(output: Output, first_row: int, num_rows: int, console: Console) -> None:
    """Print rows of every set of shards of an output; counts where it has none."""
    from bert_core.store.shards import read_shards

    manifest = output.manifest
    head = f"{manifest.stage}  {manifest.fingerprint[:12]}  built {manifest.built_at}"
    console.print(plain(head, "bold"), soft_wrap=True)
    names = shard_names(output.folder)
    for name in names:
        table = read_shards(output.folder, name)
        console.print(plain(f"{name}: {table.num_rows:,} rows"), soft_wrap=True)
        for number, row in enumerate(table.slice(first_row, num_rows).to_pylist(), start=first_row):
            console.print(plain(f"  row {number}", "dim"))
            for key, value in row.items():
                console.print(_labelled_value(key, value), soft_wrap=True)
    if not names:
        _print_counts(manifest.counts, console)
        for entry in manifest.files:
            console.print(plain(f"  {Path(entry.name)}  {entry.num_bytes:,} bytes"), soft_wrap=True)


def _labelled_value(key: str, value: Any) -> Text:
    if key.endswith("_id") or key.startswith("doc_id"):
        shown = f"{value:016x}"
    elif isinstance(value, list):
        more = f" … {len(value) - _SHOWN_ITEMS} more" if len(value) > _SHOWN_ITEMS else ""
        shown = " ".join(str(int(v) if isinstance(v, bool) else v) for v in value[:_SHOWN_ITEMS]) + more
    else:
        text = str(value)
        cut = len(text) > _SHOWN_CHARACTERS
        shown = text[:_SHOWN_CHARACTERS] + (f" … {len(text):,} characters" if cut else "")
    return Text(f"    {key}: ", "dim").append_text(plain(shown))


def _print_counts(counts: dict[str, Any], console: Console) -> None:
    from tasks.artifacts import counts_table

    for row in counts_table(counts):
        console.print(plain(f"  {row['count']}: {row['value']}"), soft_wrap=True)
