"""Retries are spent on faults that may pass, never on bertline's own errors; Prefect's cache stays off."""

import errno

import pytest
from prefect.cache_policies import NO_CACHE
from prefect.states import Failed

from bert_core.errors import BertlineError, CorpusError, StoreError
from flows.running import TASK_OF_KIND
from tasks import report
from tasks.policies import is_transient, retry_transient

STAGE_TASKS = [*TASK_OF_KIND.values(), report.publish_plan, report.publish_report]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionResetError("peer went away"), True),
        (TimeoutError("share did not answer"), True),
        (OSError(errno.EIO, "input/output error"), True),
        (OSError(errno.ESTALE, "stale file handle"), True),
        (OSError(errno.ENOSPC, "no space left"), False),
        (FileNotFoundError(errno.ENOENT, "gone"), False),
        (PermissionError(errno.EACCES, "not yours"), False),
        (CorpusError("empty"), False),
        (StoreError("held by another run"), False),
        (BertlineError("any"), False),
        (ValueError("a bug"), False),
        (MemoryError(), False),
        (None, False),
    ],
)
def test_only_faults_that_may_pass_are_retried(error: object, expected: bool) -> None:
    assert is_transient(error) is expected


def test_prefect_asks_the_policy_with_the_failed_state() -> None:
    task_run = None
    assert retry_transient(TASK_OF_KIND["split"], task_run, Failed(data=ConnectionResetError())) is True  # type: ignore[arg-type]
    assert retry_transient(TASK_OF_KIND["split"], task_run, Failed(data=CorpusError("empty"))) is False  # type: ignore[arg-type]


@pytest.mark.parametrize("task", STAGE_TASKS, ids=lambda task: task.name)
def test_every_stage_task_has_the_policy(task) -> None:
    assert task.cache_policy == NO_CACHE
    assert task.persist_result is False
    assert task.timeout_seconds is None
    assert task.retries == 2
    assert task.retry_condition_fn is retry_transient
    assert len(task.tags) == 1
    assert task.tags <= {"data", "training"}


def test_every_kind_of_stage_has_a_task() -> None:
    from bert_core.stages.graph import CODE_VERSIONS

    assert set(TASK_OF_KIND) == (set(CODE_VERSIONS) - {"slice"}) | {"slices"}
