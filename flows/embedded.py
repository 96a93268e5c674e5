"""A Prefect server of one run's own, for `bertline run` on a machine where none stands.

It listens on a free loopback port, keeps its database under PREFECT_HOME (by default inside the workspace, so that
a standing server started there later shows the same runs), writes its words to a file, and ends with the run: on
Ctrl-C and on errors because the block ends, on a kill because the operating system tells it. Where PREFECT_API_URL is
set, that server is used and none is started.

Prefect's own ephemeral server would do for a plain Python call of a flow. It shares the terminal's signals, though, so
that Ctrl-C takes it away before the run can say that it was interrupted, and it outlives a killed run.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bert_core.errors import RequestError, WorkError

STARTUP_SECONDS = 120.0
"""A first start creates the database; on a busy machine it takes tens of seconds."""
STOP_SECONDS = 10.0
_TAIL_CHARACTERS = 2_000
_PR_SET_PDEATHSIG = 1


def set_prefect_defaults(workspace: Path) -> None:
    """Set what Prefect reads from the environment, where the user has not set it; before prefect is imported.

    Args:
        workspace: folder of the run's outputs; a PREFECT_HOME of its own lies in it.
    """
    level = "INFO" if os.environ.get("BERTLINE_DEBUG") == "1" else "CRITICAL"
    defaults = {
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": f"{STARTUP_SECONDS:.0f}",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": level,  # the run's own lines are what one sees
    }
    if not os.environ.get("PREFECT_API_URL"):
        defaults["PREFECT_HOME"] = str(workspace.absolute() / "prefect")
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


@contextmanager
def server_for_run() -> Iterator[str]:
    """Give the address of the API to run against: the one the user set, or that of a server started for the block.

    `set_prefect_defaults` comes before.

    Raises:
        WorkError: the server did not come up; the end of what it said is part of the message.
    """
    url = os.environ.get("PREFECT_API_URL")
    if url:
        _require_answer(url)
        yield url
        return
    home = Path(os.environ["PREFECT_HOME"])
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    port = _free_port()
    url = f"http://127.0.0.1:{port}/api"
    log_path = home / "server.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "prefect", "server", "start"),
                *("--host", "127.0.0.1", "--port", str(port), "--no-scheduler", "--no-late-runs"),
            ],
            env={**os.environ, "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the run, which then stops the server
            preexec_fn=_end_with_parent(),
        )
    os.environ["PREFECT_API_URL"] = url
    try:
        import prefect  # noqa: F401  # takes a second or two that the server needs as well

        _wait_until_healthy(process, f"{url}/health", log_path)
        yield url
    finally:
        os.environ.pop("PREFECT_API_URL", None)
        _stop(process)


def let_records_arrive(flow_run_id: object | None, timeout_seconds: float = 10.0) -> None:
    """Send what is to be logged, and wait until the server knows the end of every task run of a flow run.

    Task runs report their states as events, which arrive a moment after the run itself has ended.
    """
    import httpx
    from prefect.events.worker import EventsWorker
    from prefect.exceptions import PrefectException
    from prefect.logging.handlers import APILogHandler

    APILogHandler().flush()
    EventsWorker.drain_all(timeout=timeout_seconds)
    if flow_run_id is not None:
        with suppress(httpx.HTTPError, PrefectException):  # what became of the run matters more than its history
            _wait_for_task_runs(flow_run_id, timeout_seconds)


def _wait_for_task_runs(flow_run_id: object, timeout_seconds: float) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    flow_runs = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))  # type: ignore[list-item]
    until = time.monotonic() + timeout_seconds
    with get_client(sync_client=True) as client:
        while time.monotonic() < until:
            runs = client.read_task_runs(flow_run_filter=flow_runs)
            if runs and all(run.state is not None and run.state.is_final() for run in runs):
                return
            time.sleep(0.2)


def _require_answer(url: str) -> None:
    """Stop now where nothing listens at the address that the user set."""
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=10):
            pass
    except urllib.error.HTTPError:
        pass  # something listens; whether it is a server, and lets us in, Prefect will say
    except (OSError, ValueError) as error:
        raise RequestError(
            f"the Prefect server at PREFECT_API_URL {url!r} does not answer ({error}); start it, or unset "
            "PREFECT_API_URL for a server of this run's own"
        ) from None


def _wait_until_healthy(process: subprocess.Popen[bytes], url: str, log_path: Path) -> None:
    until = time.monotonic() + STARTUP_SECONDS
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback goes through no proxy
    while True:
        try:
            with opener.open(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            ended = process.poll() is not None
            if ended or time.monotonic() > until:
                said = log_path.read_text(encoding="utf-8", errors="replace")[-_TAIL_CHARACTERS:]
                what = "ended at once" if ended else f"did not answer within {STARTUP_SECONDS:.0f} s"
                raise WorkError(
                    f"the Prefect server of this run {what}; its log {log_path} ends with:\n{said}"
                ) from None
            time.sleep(0.1)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _end_with_parent() -> Callable[[], None] | None:
    """Return what a child runs before it starts, so that the kernel ends it with this process; None off Linux."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)

    def ask_kernel() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    return ask_kernel
