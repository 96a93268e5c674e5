"""How stage tasks are run: no cache of Prefect's, few retries, a tag for their work pool.

The sealed manifests of the workspace decide what is reused, so Prefect's own cache stays off: it would report a hit
for an output whose files are gone. A retry is spent only on faults that may pass by themselves (a dropped network
share, a busy device); a `BertlineError` never is, because the same input gives the same error. There are no timeouts:
how long training may take is nobody's guess, and a cancelled run keeps its checkpoints.
"""

import errno
from collections.abc import Callable
from typing import Any, Literal, ParamSpec, TypeVar, cast

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

P = ParamSpec("P")
R = TypeVar("R")

RETRY_DELAYS_SECONDS = [2.0, 15.0]
"""Waits before the first and the second retry, seconds."""

TRANSIENT_ERRNOS = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,
        errno.EINTR,
        errno.EIO,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENOLCK,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)
"""Faults of the operating system that may pass by themselves; a missing file or a full disk does not."""


def is_transient(error: object) -> bool:
    """Say whether the same work may succeed when it is tried again.

    Example: `is_transient(ConnectionResetError())` is true, `is_transient(FileNotFoundError())` is false.
    """
    if isinstance(error, ConnectionError | TimeoutError | InterruptedError):
        return True
    return isinstance(error, OSError) and error.errno in TRANSIENT_ERRNOS


def retry_transient(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Tell Prefect whether a failed task run is worth another try (`retry_condition_fn`)."""
    return is_transient(state.data)


def stage_task(
    name: str, *, pool: Literal["data", "training"], run_name: str = "{stage}"
) -> Callable[[Callable[P, State[R]]], Task[P, R]]:
    """Make a function that returns a state a Prefect task with the policy of this project.

    Args:
        name: of the task, as the UI shows it.
        pool: tag; concurrency limits are set by tag.
        run_name: template of a run's name over the parameters.
    """
    made = task(
        name=name,
        task_run_name=run_name,
        tags=[pool],
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=len(RETRY_DELAYS_SECONDS),
        retry_delay_seconds=RETRY_DELAYS_SECONDS,
        retry_condition_fn=retry_transient,
    )
    return cast(Callable[[Callable[P, State[R]]], Task[P, R]], made)  # Prefect unwraps the state into its data
