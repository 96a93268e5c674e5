"""Slices go to several processes, and two runs on one workspace divide them; the bytes are always the same."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bert_core.config import CorpusConfig
from bert_core.corpus.paths import RawFile
from bert_core.corpus.slices import Slice
from bert_core.errors import CorpusError, WorkError
from bert_core.progress import silent
from bert_core.stages import group
from bert_core.stages.build import run_stage
from bert_core.stages.jobs import slice_job
from bert_core.stages.line import Line, LineRequest, open_line
from bert_core.stages.worker_pool import WorkerPool

NUM_FILES = 8
RUN = """
import sys
from bert_core.stages import group
from bert_core.stages.build import run_stage
from bert_core.stages.line import LineRequest, open_line
group.WORTH_A_PROCESS_BYTES = 0
settings = (f"workspace={sys.argv[2]}", f"work.processors={sys.argv[3]}")
line = open_line(LineRequest(recipe=sys.argv[1], overrides=settings))
print(run_stage(line, "slices/notes").counts["slices_built"])
"""


def write_notes(folder: Path) -> Path:
    """Some files of notes, a slice each, and a recipe over them."""
    (folder / "notes").mkdir()
    for number in range(NUM_FILES):
        lines = [f"第{number}本笔记的第{line}行，记下了<b>今天</b>的天气。" for line in range(1500)]
        (folder / "notes" / f"{number:02d}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    recipe = folder / "notes.yaml"
    corpus = f"{{paths: [{folder}/notes], format: txt_line}}"
    recipe.write_text(f"name: notes\nworkspace: {folder}/workspace\ncorpora: {{notes: {corpus}}}\n", encoding="utf-8")
    return recipe


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(group, "WORTH_A_PROCESS_BYTES", 0)
    monkeypatch.setattr("bert_core.stages.build.WORTH_A_PROCESS_BYTES", 0)
    return write_notes(tmp_path)


def opened(recipe: Path, *overrides: str) -> Line:
    return open_line(LineRequest(recipe=str(recipe), overrides=overrides, run_id=str(time.monotonic_ns())))


def digests(workspace: Path) -> dict[str, str]:
    """Digest of every file that a manifest seals."""
    return {
        f"{path.parent.name}/{entry['name']}": entry["sha256"]
        for path in workspace.glob("store/*/*/manifest.json")
        for entry in json.loads(path.read_text(encoding="utf-8"))["files"]
    }


def start_run(recipe: Path, workspace: Path, processors: int) -> "subprocess.Popen[str]":
    call = [sys.executable, "-c", RUN, str(recipe), str(workspace), str(processors)]
    return subprocess.Popen(call, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": os.getcwd()})


def children(pid: int | str = "self") -> set[int]:
    """Processes that a process has started and that still run."""
    lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return {int(child) for line in lists for child in line.split() if is_running(int(child))}


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def job_of(file: Path, folder: Path) -> dict:
    """The job of a whole file; its folder is made."""
    folder.mkdir()
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    config = CorpusConfig(paths=[str(file)], format="txt_line")
    return slice_job(Slice(RawFile(file.name, file), 0, 0, None, digest), config, folder)


def test_one_and_three_processes_write_the_same_bytes(notes: Path, tmp_path: Path):
    found = []
    for number in (1, 3):
        line = opened(notes, f"workspace={tmp_path}/w{number}", f"work.processors={number}")
        results = [run_stage(line, stage) for stage in ("slices/notes", "documents/notes")]
        assert [result.action for result in results] == ["built", "built"]
        assert results[0].counts["slices_built"] == NUM_FILES
        found.append((digests(tmp_path / f"w{number}"), [result.counts for result in results]))
    assert found[0] == found[1]
    assert len(found[0][0]) > 3 * NUM_FILES


def test_the_number_of_processors_is_part_of_no_fingerprint(notes: Path):
    assert run_stage(opened(notes, "work.processors=3"), "slices/notes").action == "built"
    assert run_stage(opened(notes, "work.processors=1"), "slices/notes").action == "reused"


def test_two_runs_at_once_divide_the_slices_and_do_none_twice(notes: Path, tmp_path: Path):
    alone = tmp_path / "alone"
    assert start_run(notes, alone, 1).communicate()[0].strip() == str(NUM_FILES)
    runs = [start_run(notes, tmp_path / "shared", 1) for _ in range(2)]
    shares = [int(run.communicate()[0]) for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert sum(shares) == NUM_FILES
    assert digests(tmp_path / "shared") == digests(alone)


def test_a_killed_run_leaves_no_process_and_the_next_one_writes_the_same_bytes(notes: Path, tmp_path: Path):
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    (tmp_path / "notes" / "07.txt").write_text("今天天气很好，我们出去走走。\n" * 60_000, encoding="utf-8")
    assert start_run(notes, alone, 1).communicate()[0].strip() == str(NUM_FILES)
    run = start_run(notes, killed, 2)
    while not (list(killed.glob("store/slice/[!.]*/manifest.json")) and list(killed.glob("store/slice/.b*/*.jsonl"))):
        time.sleep(0.01)
    workers = children(run.pid)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert workers
    until = time.monotonic() + 20
    while any(map(is_running, workers)) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(map(is_running, workers))
    assert 0 < int(start_run(notes, killed, 2).communicate()[0]) < NUM_FILES
    assert digests(killed) == digests(alone)


def test_a_file_that_cannot_be_read_ends_the_group_with_its_own_error(notes: Path, tmp_path: Path):
    (tmp_path / "notes" / "05.txt").write_bytes(b"\xff\xff\xfe broken\n" * 50)
    with pytest.raises(CorpusError, match=r"05\.txt: 50 of 50 records"):
        run_stage(opened(notes, "corpora.notes.encoding=utf-8", "work.processors=2"), "slices/notes")
    assert not list(tmp_path.glob("workspace/store/slice/*/documents-*.writing"))


def test_a_worker_takes_the_next_job_after_an_error(tmp_path: Path):
    pool, before = WorkerPool(), children()
    good, bad = tmp_path / "good.txt", tmp_path / "bad.txt"
    good.write_text("今天天气很好。\n", encoding="utf-8")
    bad.write_bytes(b"PK\x03\x04 not text")
    with pytest.raises(CorpusError, match="is a zip archive"):
        pool.run(job_of(bad, tmp_path / "a"), silent, 1)
    (worker,) = children() - before
    assert pool.run(job_of(good, tmp_path / "b"), silent, 1)["documents"] == 1
    assert children() - before == {worker}
    pool.end_idle()
    assert children() == before


def test_a_worker_that_is_killed_is_named_and_replaced(tmp_path: Path):
    pool, before, file = WorkerPool(), children(), tmp_path / "long.txt"
    file.write_text("今天天气很好，我们出去走走。\n" * 400_000, encoding="utf-8")

    def kill_children(done: int, total: int, unit: str, **measures: float) -> None:
        for child in children() - before:
            os.kill(child, signal.SIGKILL)

    with pytest.raises(WorkError, match=r"worker process of a slice job was killed \(out of memory\?\)"):
        pool.run(job_of(file, tmp_path / "a"), kill_children, 1)
    file.write_text("今天天气很好。\n", encoding="utf-8")
    assert pool.run(job_of(file, tmp_path / "b"), silent, 1)["documents"] == 1
    pool.end_idle()


def test_a_listener_that_raises_ends_the_job(tmp_path: Path):
    pool, before, file = WorkerPool(), children(), tmp_path / "long.txt"
    file.write_text("今天天气很好，我们出去走走。\n" * 400_000, encoding="utf-8")

    def interrupt(done: int, total: int, unit: str, **measures: float) -> None:
        raise WorkError("interrupted")

    with pytest.raises(WorkError, match="interrupted"):
        pool.run(job_of(file, tmp_path / "a"), interrupt, 1)
    assert children() == before


def test_no_more_processes_than_asked_for_work_at_once(tmp_path: Path):
    pool, before, file = WorkerPool(), children(), tmp_path / "some.txt"
    file.write_text("今天天气很好，我们出去走走。\n" * 2000, encoding="utf-8")
    jobs = [job_of(file, tmp_path / str(number)) for number in range(6)]
    threads = [threading.Thread(target=pool.run, args=(job, silent, 2)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= len(children() - before) <= 2
    assert all((tmp_path / str(number) / "counts.json").is_file() for number in range(6))
    pool.end_idle()
