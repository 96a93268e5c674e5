"""`bertline run` and `bertline study`: a flow in this process, against a server of its own or the one the user set.

The plan is shown first; while stages run, a bar or now and then a line tells how far they are; at the end stand the
tables of stages and scores, or those of the study, and the path of the report.
"""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.text import Text

from bert_core.stages.line import Line
from bert_core.stages.plan import Decision
from flows.embedded import let_records_arrive, server_for_run, set_prefect_defaults
from flows.terminal import print_plan, print_results, print_study, wide_console


def run_here(line: Line, decisions: Sequence[Decision], **options: Any) -> None:
    """Run a recipe whose plan is made, and show what came of it.

    Args:
        line: the open recipe.
        decisions: its plan, for the reader.
        options: further parameters of the flow, `flows.transfer.transfer` or `flows.study.study`.

    Raises:
        BertlineError: of the stage that failed.
    """
    console = wide_console()
    print_plan(line, decisions, console)
    set_prefect_defaults(line.workspace.root)
    with server_for_run() as url:
        console.print(Text(f"Prefect shows this run at {url.removesuffix('/api')}", "dim"), soft_wrap=True)
        from prefect.exceptions import TerminationSignal
        from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

        flow, parameters = _flow_of(line)
        run_id = None
        try:
            # A heartbeat tells a standing server that a worker lives; here it would cost a second at the end.
            with _board(console), _interruptible(), temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
                state = flow(**parameters, **options, return_state=True)
            run_id = state.state_details.flow_run_id
        except TerminationSignal:
            raise KeyboardInterrupt from None
        finally:
            let_records_arrive(run_id)
        summary = state.result()
    for stage in line.stages.values():
        line.forget(stage)
    if line.request.study:
        print_study(line, summary, console)
    else:
        print_results(line, summary, console)


def _flow_of(line: Line) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The flow that runs a line, and the parameters that say which line it is."""
    parameters = {"recipe": line.request.recipe, "overrides": list(line.request.overrides)}
    if line.request.study:
        from flows.study import study

        return study, parameters
    from flows.transfer import transfer

    return transfer, parameters


@contextmanager
def _interruptible() -> Iterator[None]:
    """On the first Ctrl-C let running stages end in order, on the second leave at once."""
    from tasks.progress import stop_listening

    def interrupt(_number: int, _frame: object) -> None:
        if stop_listening():
            print("stopping; a training saves its checkpoint first (Ctrl-C again to leave at once)", file=sys.stderr)  # noqa: T201
        raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _board(console: Console) -> Iterator[None]:
    """Bars on a terminal, lines on standard error elsewhere."""
    from tasks.boards import BarBoard, LineBoard
    from tasks.progress import show_on

    if console.is_terminal:
        with BarBoard(console) as bars, show_on(bars):
            yield
    else:
        with show_on(LineBoard(lambda line: print(line, file=sys.stderr, flush=True))):  # noqa: T201
            yield
