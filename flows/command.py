"""`bertline run`: the transfer flow in this process, against a server of its own or the one the user set.

The plan is shown first; while stages run, a bar or now and then a line tells how far they are; at the end stand the
tables of stages and scores and the path of the report.
"""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from bert_core.stages.line import Line
from bert_core.stages.plan import Decision
from flows.embedded import let_records_arrive, server_for_run, set_prefect_defaults
from flows.terminal import print_plan, print_results, wide_console


def run_here(line: Line, decisions: Sequence[Decision], *, from_stage: str, only: str, force: bool) -> None:
    """Run a recipe whose plan is made, and show what came of it.

    Args:
        line: the open recipe.
        decisions: its plan, for the reader.
        from_stage: see `flows.transfer.transfer`.
        only: the same.
        force: the same.

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

        from flows.transfer import transfer

        parameters = {
            "recipe": line.request.recipe,
            "overrides": list(line.request.overrides),
            "from_stage": from_stage,
            "only_stage": only,
            "force": force,
        }
        run_id = None
        try:
            # A heartbeat tells a standing server that a worker lives; here it would cost a second at the end.
            with _board(console), _interruptible(), temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
                state = transfer(**parameters, return_state=True)
            run_id = state.state_details.flow_run_id
        except TerminationSignal:
            raise KeyboardInterrupt from None
        finally:
            let_records_arrive(run_id)
        summary = state.result()
    for stage in line.stages.values():
        line.forget(stage)
    print_results(line, summary, console)


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
