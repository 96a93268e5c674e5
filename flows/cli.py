"""The command line, `bertline`: init, plan, run, study, inspect, materialize, predict, verify.

Each command reads its words, calls one function, and shows what came back. Heavy libraries are imported inside the
commands, so that those that need no flow answer at once. Exit codes: 0 done, 1 the work failed, 2 the request was
wrong; the message says what, where, why and what to do. BERTLINE_DEBUG=1 shows the traceback as well.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from bert_core.errors import BertlineError, RequestError

app = typer.Typer(
    name="bertline",
    help="A production line for BERT: raw text and a small labelled set in, a fine-tuned model out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RecipeArgument = Annotated[str, typer.Argument(help="Path of a recipe, a YAML file.", metavar="RECIPE")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=VALUE", help="Replace one setting of the recipe; may be repeated."),
]
FromOption = Annotated[
    str | None,
    typer.Option("--from", metavar="STAGE", help="Build this stage and everything after it again."),
]
OnlyOption = Annotated[
    str | None, typer.Option("--only", metavar="STAGE", help="This stage alone; its inputs must stand.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Build again although nothing changed.")]

INTERRUPTED = 130
"""Exit code after Ctrl-C, 128 + SIGINT, as shells expect."""


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder for the recipe; made if missing.")] = Path("."),
) -> None:
    """Write a commented recipe to start from."""
    from flows.starter import write_starter

    path = write_starter(folder)
    typer.echo(f"Wrote {path}. Put your paths in, then: bertline plan {path}")


@app.command()
def plan(
    recipe: RecipeArgument,
    settings: SetOption = None,
    from_stage: FromOption = None,
    only: OnlyOption = None,
    force: ForceOption = False,
) -> None:
    """Show what a run would do and why; starts nothing, writes nothing."""
    from bert_core.stages.line import LineRequest, open_line
    from bert_core.stages.plan import plan_line
    from flows.terminal import print_plan

    line = open_line(LineRequest(recipe=recipe, overrides=tuple(settings or ())))
    print_plan(line, plan_line(line, from_stage=from_stage, only=only, force=force))


@app.command()
def run(
    recipe: RecipeArgument,
    settings: SetOption = None,
    from_stage: FromOption = None,
    only: OnlyOption = None,
    force: ForceOption = False,
) -> None:
    """Run a recipe; what has not changed is reused."""
    from bert_core.stages.line import LineRequest, open_line
    from bert_core.stages.plan import plan_line

    # A wrong request ends here, before anything is started or written.
    line = open_line(LineRequest(recipe=recipe, overrides=tuple(settings or ())))
    decisions = plan_line(line, from_stage=from_stage, only=only, force=force)

    from flows.command import run_here

    _until_interrupted(
        lambda: run_here(line, decisions, from_stage=from_stage or "", only_stage=only or "", force=force)
    )


@app.command()
def study(
    recipe: RecipeArgument,
    settings: SetOption = None,
    only_plan: Annotated[bool, typer.Option("--plan", help="Show what it would do and why; start nothing.")] = False,
) -> None:
    """Fine-tune from every order of transfers with several seeds, and say which of them differ."""
    from bert_core.stages.line import LineRequest, open_line
    from bert_core.stages.plan import plan_line

    line = open_line(LineRequest(recipe=recipe, overrides=tuple(settings or ()), study=True))
    decisions = plan_line(line)
    if only_plan:
        from flows.terminal import print_plan

        print_plan(line, decisions)
        return
    from flows.command import run_here

    _until_interrupted(lambda: run_here(line, decisions))


def _until_interrupted(work: Callable[[], None]) -> None:
    """Do the work; after Ctrl-C say what is kept, and leave."""
    try:
        work()
    except KeyboardInterrupt:
        typer.echo("bertline: interrupted; what is sealed or checkpointed is kept, run again to go on", err=True)
        sys.stdout.flush()
        os._exit(INTERRUPTED)  # not waiting for threads: they have ended, or the user would not wait for them


@app.command()
def inspect(
    recipe: RecipeArgument,
    stage: Annotated[
        str, typer.Argument(help="Stage to look at, such as examples/domain_transfer; empty for a list.")
    ] = "",
    settings: SetOption = None,
    rows: Annotated[
        int | None, typer.Option(min=1, max=1000, help="How many rows to show; 3, or of a step the whole batch.")
    ] = None,
    first: Annotated[int, typer.Option(min=0, help="First row to show, from 0.")] = 0,
    epoch: Annotated[list[int] | None, typer.Option(min=0, help="Epoch whose masks to show; may be repeated.")] = None,
    policy: Annotated[
        list[str] | None, typer.Option(help="Another masking policy than the recipe's; may be repeated.")
    ] = None,
    held_out: Annotated[bool, typer.Option("--held-out", help="The examples kept for evaluation.")] = False,
    step: Annotated[
        int | None, typer.Option(min=1, help="Of a training: the batch that the model saw at this step, from 1.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write examples as one page instead of printing them.")
    ] = None,
) -> None:
    """Look at what a stage made: text, words, pairs, masks of any epoch, where it came from."""
    from flows.inspection import Look, print_stage

    look = Look(
        num_rows=rows,
        first_row=first,
        epochs=tuple(epoch or ()),
        policies=tuple(policy or ()),
        held_out=held_out,
        step=step,
        page=html,
    )
    print_stage(recipe, stage, look, overrides=tuple(settings or ()))


@app.command()
def materialize(
    recipe: RecipeArgument,
    stage: Annotated[str, typer.Argument(help="Transfer stage whose examples are masked.")],
    epochs: Annotated[str, typer.Option(metavar="EPOCHS", help="Epochs to write, such as 0-2,5.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="New folder to write into.")],
    settings: SetOption = None,
    held_out: Annotated[bool, typer.Option("--held-out", help="The examples kept for evaluation.")] = False,
) -> None:
    """Write masked epochs as Arrow shards, for trainers that cannot draw masks."""
    from flows.materialization import materialize as write_epochs

    counts = write_epochs(recipe, stage, epochs, out, overrides=tuple(settings or ()), held_out=held_out)
    for epoch, part in counts["epochs"].items():
        typer.echo(f"epoch {epoch}: {part['pairs']:,} pairs, {part['singles']:,} singles")
    typer.echo(f"Wrote {out}; README.md in it tells how to load it")


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="A fine-tuned model's folder, or RECIPE:TASK.")],
    text: Annotated[str, typer.Argument(help="A text, a file with one text a line, or - for standard input.")],
    settings: SetOption = None,
    json_lines: Annotated[bool, typer.Option("--json", help="One JSON object for each text.")] = False,
) -> None:
    """Use a fine-tuned model."""
    from flows.prediction import print_predictions

    print_predictions(model, text, overrides=tuple(settings or ()), json_lines=json_lines)


@app.command()
def verify(
    workspace: Annotated[Path, typer.Argument(help="A workspace folder.")] = Path("workspace"),
) -> None:
    """Compare every sealed file with its digest."""
    from flows.verification import print_verification

    if not (workspace / "store").is_dir():
        raise RequestError(
            f"{str(workspace)!r} is no workspace: it has no folder 'store'; name the workspace of a recipe"
        )
    if print_verification(workspace):
        raise SystemExit(1)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code."""
    debug = os.environ.get("BERTLINE_DEBUG") == "1"
    try:
        app(args=arguments)
    except BertlineError as error:
        if debug:
            raise
        _fail(str(error), error.exit_code)
    except Exception as error:
        if debug:
            raise
        _fail(f"unexpected {type(error).__name__}: {error}\nBERTLINE_DEBUG=1 shows where it happened", 1)


def _fail(message: str, exit_code: int) -> None:
    typer.echo(f"bertline: {message}", err=True)
    raise SystemExit(exit_code)


if __name__ == "__main__":
    main()
