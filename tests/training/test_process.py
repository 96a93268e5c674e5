"""The training process: its lines, its exit codes, signals, and how it ends with its parent."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bert_core.config import ExamplesConfig, ModelConfig, TransferConfig
from bert_core.errors import RequestError, TrainingError
from bert_core.progress import silent
from bert_core.training.job import TransferJob
from bert_core.training.process import SETTINGS, run_job


def write_job(folder: Path, pretraining_folders: tuple[Path, Path], steps: int) -> Path:
    (folder / "output").mkdir(parents=True)
    job = TransferJob(
        examples_folder=pretraining_folders[0],
        vocabulary_folder=pretraining_folders[1],
        model=ModelConfig(num_layers=1, hidden_size=16, num_heads=1, intermediate_size=16, max_positions=32),
        transfer=TransferConfig(
            corpus="raw",
            examples=ExamplesConfig(max_tokens=32),
            steps=steps,
            batch_examples=8,
            evaluate_every_steps=100_000,
            save_every_steps=100_000,
        ),
        seed=1,
        output_folder=folder / "output",
        resume_folder=folder / "resume",
        runs_folder=folder / "runs",
        num_threads=1,
    )
    path = folder / "job.json"
    path.write_text(job.to_json(), encoding="utf-8")
    return path


def start(job: Path, *options: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "bert_core.training", str(job), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def wait_for_first_step(child: subprocess.Popen) -> None:
    assert child.stdout is not None
    assert json.loads(child.stdout.readline())["event"] == "progress"


def fake_child(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Make `run_job` start `script` in place of the training."""
    popen = subprocess.Popen

    def start_script(command: list[str], **settings) -> subprocess.Popen:
        return popen([sys.executable, "-c", script], **settings)

    monkeypatch.setattr(subprocess, "Popen", start_script)


def test_a_job_runs_in_its_own_process_and_brings_back_counts(tmp_path: Path, pretraining_folders):
    told = []

    def listen(done: int, total: int, unit: str, **measures: float) -> None:
        told.append((done, total, unit, sorted(measures)))

    counts = run_job(write_job(tmp_path, pretraining_folders, 5), listen)
    assert counts["steps"] == 5
    assert told[-1] == (5, 5, "steps", ["learning_rate", "loss", "tokens_per_second"])
    assert (tmp_path / "output" / "model.safetensors").is_file()
    assert "step 0 of 5" in (tmp_path / "job.log").read_text()


def test_a_child_stopped_by_sigterm_saves_and_exits_143(tmp_path: Path, pretraining_folders):
    child = start(write_job(tmp_path, pretraining_folders, 1_000_000))
    wait_for_first_step(child)
    child.send_signal(signal.SIGTERM)
    child.send_signal(signal.SIGTERM)  # a supervisor that signals the group makes it two; they count as one
    output, _ = child.communicate(timeout=60)
    assert child.returncode == 143
    last = json.loads(output.splitlines()[-1])
    assert (last["event"], last["kind"]) == ("error", "TrainingStopped")
    assert len(list((tmp_path / "resume").glob("step-*"))) == 1


def test_a_child_whose_parent_is_gone_saves_and_ends(tmp_path: Path, pretraining_folders):
    job = write_job(tmp_path, pretraining_folders, 1_000_000)
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from bert_core.progress import silent;"
            "from bert_core.training.process import run_job; run_job(Path(sys.argv[1]), silent)",
            str(job),
        ]
    )
    live = tmp_path / "runs" / "live.jsonl"
    deadline = time.monotonic() + 60
    while not live.is_file() and time.monotonic() < deadline:
        time.sleep(0.1)
    parent.kill()
    parent.wait()
    while not list((tmp_path / "resume").glob("step-*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert list((tmp_path / "resume").glob("step-*"))


def test_a_job_that_cannot_be_read_exits_2(tmp_path: Path):
    path = tmp_path / "job.json"
    path.write_text('{"kind": "cook"}')
    child = start(path)
    output, _ = child.communicate(timeout=60)
    assert child.returncode == 2
    assert json.loads(output) == {
        "event": "error",
        "kind": "RequestError",
        "message": f"job {str(path)!r} is of kind 'cook', expected 'transfer' or 'fine_tune'",
    }


def test_an_error_of_the_child_is_raised_as_its_own_class(tmp_path: Path):
    with pytest.raises(RequestError, match="cannot be read"):
        run_job(tmp_path / "missing.json", silent)


def test_a_child_that_dies_leaves_its_last_log_lines_in_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fake_child(
        monkeypatch, "import os, sys; sys.stderr.write('one\\ntwo\\n'); sys.stderr.flush(); os.kill(os.getpid(), 9)"
    )
    with pytest.raises(TrainingError, match=r"(?s)killed \(out of memory\?\).*job\.log:\none\ntwo"):
        run_job(tmp_path / "job.json", silent)


def test_lines_that_are_no_events_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fake_child(monkeypatch, """print('hello\\n[1, 2]\\n{"event": "result", "counts": {"steps": 1}}')""")
    assert run_job(tmp_path / "job.json", silent) == {"steps": 1}


def test_a_listener_that_raises_ends_the_child(tmp_path: Path, pretraining_folders, monkeypatch: pytest.MonkeyPatch):
    children = []
    popen = subprocess.Popen

    def start_and_note(*arguments, **settings) -> subprocess.Popen:
        children.append(popen(*arguments, **settings))
        return children[-1]

    def listen(done: int, total: int, unit: str, **measures: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", start_and_note)
    with pytest.raises(KeyboardInterrupt):
        run_job(write_job(tmp_path, pretraining_folders, 1_000_000), listen)
    assert [child.returncode for child in children] == [143]
    assert list((tmp_path / "resume").glob("step-*"))


def test_signals_reach_the_child_and_then_whoever_listened_before(tmp_path: Path, pretraining_folders):
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))

    def listen(done: int, total: int, unit: str, **measures: float) -> None:
        if not (tmp_path / "sent").exists():
            (tmp_path / "sent").touch()
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        with pytest.raises(TrainingError, match="stopped by signal 15"):
            run_job(write_job(tmp_path, pretraining_folders, 1_000_000), listen)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


def test_out_of_memory_says_what_to_change(tmp_path: Path):
    script = (
        "import sys, bert_core.training.__main__ as main\n"
        "def fail(*_): raise RuntimeError('DefaultCPUAllocator: can\\'t allocate memory: you tried')\n"
        "main._read, main._run = lambda *_: {}, fail\n"
        "sys.exit(main.main(['job.json']))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout)["message"].startswith("out of memory; lower batch_examples")


def test_asking_for_a_job_does_not_load_torch(tmp_path: Path):
    script = (
        "import sys, bert_core.training.job, bert_core.training.process, bert_core.training.__main__\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_the_child_gets_the_settings_that_libraries_read_at_its_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    fake_child(monkeypatch, "import json, os; print(json.dumps({'event': 'result', 'counts': dict(os.environ)}))")
    environment = run_job(tmp_path / "job.json", silent)
    assert environment["OMP_WAIT_POLICY"] == "ACTIVE"  # what is set already stays
    assert environment["MALLOC_TOP_PAD_"] == SETTINGS["MALLOC_TOP_PAD_"]
    assert int(environment["OMP_NUM_THREADS"]) >= 1
