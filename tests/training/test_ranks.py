"""Two processes that share every step: the same as one, exact after a cut, stopped together, none left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bert_core.config import MaskingConfig
from bert_core.examples.masking import MaskVocabulary
from bert_core.examples.reader import ExampleSet
from bert_core.training import launch
from bert_core.training.batches import Layout, draw_batch
from bert_core.training.ranks import Ranks
from bert_core.training.stopping import StopFlag
from tests.training.two_ranks import NUM_STEPS, make_job

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
Folders = tuple[Path, Path]


def environment(**names: object) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"} | {key: str(each) for key, each in names.items()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, pretraining_folders: Folders) -> tuple[Path, list[dict]]:
    """The folder in which two processes trained, and what each reported."""
    folder = tmp_path_factory.mktemp("ranks")
    command = [sys.executable, str(HERE / "two_ranks.py"), str(folder), *map(str, pretraining_folders)]
    ranks = [subprocess.Popen(command, env=environment(RANK=rank, WORLD_SIZE=2)) for rank in range(2)]
    assert [rank.wait(300) for rank in ranks] == [0, 0]
    return folder, [json.loads((folder / f"report-{rank}.json").read_text()) for rank in range(2)]


def rows_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "output" / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("pair", [("together", "alone"), ("together_in_parts", "alone_in_parts"), ("few", "few_alone")])
def test_losses_gradients_and_weights_of_two_ranks_equal_those_of_one(trained: tuple[Path, list[dict]], pair):
    two, one = (trained[0] / name for name in pair)
    for row, expected in zip(rows_of(two), rows_of(one), strict=True):
        assert row.pop("split") == expected.pop("split")
        assert row == pytest.approx(expected, rel=1e-4), row["step"]
    weights, expected_weights = (load_file(folder / "output" / "model.safetensors") for folder in (two, one))
    for name, weight in expected_weights.items():
        torch.testing.assert_close(weights[name], weight, rtol=1e-3, atol=1e-4, msg=name)


def test_two_ranks_cut_after_any_step_end_with_the_same_bytes(trained: tuple[Path, list[dict]]):
    folder, reports = trained
    assert reports[0]["resumed_at"] == reports[1]["resumed_at"] == [-1] * NUM_STEPS + [8]
    for path in (folder / "together" / "output").iterdir():
        assert (folder / "cut" / "output" / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_nan_on_one_rank_stops_all_before_the_weights_change(trained: tuple[Path, list[dict]]):
    folder, reports = trained
    first, second = (report["nan"] for report in reports)
    assert first["message"] == second["message"]
    assert "loss nan, gradient norm nan at step 5, expected finite numbers" in first["message"]
    assert (first["steps_done"], second["steps_done"]) == (4, 4)
    assert (first["is_finite"], second["is_finite"]) == (True, False)  # only where the test put it
    dump = json.loads((folder / "nan" / "runs" / "bad-batch-step-5.json").read_text())
    assert len(dump["example_ids"]) in (7, 8)  # of the whole step, not of one rank


def test_gradients_in_small_buckets_are_the_plain_sum(trained: tuple[Path, list[dict]]):
    assert [report["wrong_buckets"] for report in trained[1]] == [0, 0]


@pytest.mark.parametrize("num_ranks", [1, 2, 3, 5, 16])
@pytest.mark.parametrize("part_examples", [None, 3])
def test_the_ranks_share_the_examples_of_a_step_in_its_order(
    pretraining_folders: Folders, num_ranks: int, part_examples: int | None
):
    examples = ExampleSet.open(pretraining_folders[0], "train")
    vocabulary = MaskVocabulary.from_folder(pretraining_folders[1])
    rows = np.arange(40, 29, -1)

    def drawn(**settings):
        return draw_batch(examples, rows, MaskingConfig(), vocabulary, 1, 0, Layout(**settings))

    (whole,) = drawn().parts
    expected = [ids[:length].tolist() for ids, length in zip(whole.input_ids_BS, whole.lengths_B, strict=True)]
    seen, targets, num_parts = [], 0, []
    for rank in range(num_ranks):
        batch = drawn(rank=rank, num_ranks=num_ranks, part_examples=part_examples)
        assert batch.counts == drawn().counts
        num_parts.append(batch.first_part)
        for part in batch.parts:
            targets += part.target_ids_N.numel()
            if part.target_ids_N.numel():
                seen += [ids[:length].tolist() for ids, length in zip(part.input_ids_BS, part.lengths_B, strict=True)]
    assert seen == expected
    assert targets == whole.target_ids_N.numel()
    assert num_parts == sorted(num_parts)


def test_one_rank_agrees_with_itself():
    flag = StopFlag()
    assert Ranks().agreed_signal(flag) is None
    flag.ask(signal.SIGINT)
    assert Ranks().agreed_signal(flag) == signal.SIGINT
    Ranks().require_equal("a number", 1.0)
    assert Ranks().total(torch.ones(2)).tolist() == [1.0, 1.0]


def use_script(monkeypatch: pytest.MonkeyPatch, script: str) -> list[subprocess.Popen]:
    """Make `run_ranks` start `script` in place of the training; return the processes."""
    started, popen = [], subprocess.Popen

    def start_script(command: list[str], **settings) -> subprocess.Popen:
        started.append(popen([sys.executable, "-c", script], **settings))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start_script)
    return started


def test_ranks_are_told_who_they_are_and_end_with_zero(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    names = "[os.environ[name] for name in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE')]"
    use_script(monkeypatch, f"import os; open(os.environ['NOTE'] + os.environ['RANK'], 'w').write(str({names}))")
    monkeypatch.setenv("NOTE", str(tmp_path / "note"))
    assert launch.run_ranks(["job.json"], 2, StopFlag(leaves=False)) == 0
    assert (tmp_path / "note0").read_text() == "['0', '0', '2']"
    assert (tmp_path / "note1").read_text() == "['1', '1', '2']"


def test_when_one_rank_fails_the_others_are_ended_and_its_code_is_kept(monkeypatch: pytest.MonkeyPatch):
    script = "import os, sys, time; sys.exit(7) if os.environ['RANK'] == '1' else time.sleep(600)"
    started = use_script(monkeypatch, script)
    monkeypatch.setattr(launch, "_FAILED_SECONDS", 0.2)
    assert launch.run_ranks(["job.json"], 3, StopFlag(leaves=False)) == 7
    assert [rank.returncode for rank in started] == [-signal.SIGKILL, 7, -signal.SIGKILL]


def test_a_killed_rank_gives_the_code_of_a_kill(monkeypatch: pytest.MonkeyPatch):
    use_script(monkeypatch, "import os, time; os.kill(os.getpid(), 9)")
    assert launch.run_ranks(["job.json"], 2, StopFlag(leaves=False)) == 137


def test_a_second_signal_leaves_at_once(monkeypatch: pytest.MonkeyPatch):
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
    started = use_script(monkeypatch, deaf)
    flag = StopFlag(leaves=False)

    def ask_twice() -> None:
        flag.ask(signal.SIGTERM)
        time.sleep(1.2)
        flag.ask(signal.SIGTERM)

    import threading

    threading.Thread(target=ask_twice, daemon=True).start()
    began = time.monotonic()
    assert launch.run_ranks(["job.json"], 2, flag) == 143
    assert time.monotonic() - began < 5.0
    assert all(rank.returncode is not None for rank in started)


def start_job(folder: Path, folders: Folders, steps: int, launcher: list[str] | None = None) -> subprocess.Popen:
    """Start a training of two processes in a process group of its own."""
    job = make_job(folder, *folders, "job", steps=steps, evaluate_every_steps=100_000, save_every_steps=100_000)
    (folder / "job.json").write_text(job.to_json(), encoding="utf-8")
    command = [*(launcher or [sys.executable, "-m", "bert_core.training"]), str(folder / "job.json")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(), start_new_session=True)


def wait_for_first_step(child: subprocess.Popen) -> None:
    assert child.stdout is not None
    assert json.loads(child.stdout.readline())["event"] == "progress"


def living_members(group: int) -> list[int]:
    """Return the processes of a group that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def test_sigterm_to_the_group_saves_and_ends_all_with_143(tmp_path: Path, pretraining_folders: Folders):
    child = start_job(tmp_path, pretraining_folders, 1_000_000)
    wait_for_first_step(child)
    assert len(living_members(child.pid)) == 3
    began = time.monotonic()
    os.killpg(child.pid, signal.SIGTERM)
    output, _ = child.communicate(timeout=60)
    assert child.returncode == 143
    assert time.monotonic() - began < 10.0
    assert living_members(child.pid) == []
    events = [json.loads(line) for line in output.splitlines()]
    assert {event["kind"] for event in events if event["event"] == "error"} == {"TrainingStopped"}
    assert len(list((tmp_path / "job" / "resume").glob("step-*"))) == 1


@pytest.mark.slow
def test_ranks_whose_launcher_was_killed_save_and_end(tmp_path: Path, pretraining_folders: Folders):
    child = start_job(tmp_path, pretraining_folders, 1_000_000)
    wait_for_first_step(child)
    child.kill()
    child.wait()
    deadline = time.monotonic() + 60
    while living_members(child.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert living_members(child.pid) == []
    assert len(list((tmp_path / "job" / "resume").glob("step-*"))) == 1


@pytest.mark.slow
def test_torchrun_trains_to_the_same_bytes_as_our_launcher(tmp_path: Path, pretraining_folders: Folders):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    outputs = []
    for name, launcher in (("ours", None), ("torchrun", [*torchrun, "-m", "bert_core.training"])):
        (tmp_path / name).mkdir()
        child = start_job(tmp_path / name, pretraining_folders, 4, launcher)
        output, _ = child.communicate(timeout=300)
        assert child.returncode == 0
        results = [json.loads(line) for line in output.splitlines() if '"result"' in line]
        assert [result["counts"]["processes"] for result in results] == [2]
        outputs.append((tmp_path / name / "job" / "output" / "model.safetensors").read_bytes())
    assert outputs[0] == outputs[1]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_job_on_cuda_trains_and_goes_on_exactly_after_a_cut(tmp_path: Path, pretraining_folders: Folders):
    from tests.training.two_ranks import train

    undisturbed, cut = (make_job(tmp_path, *pretraining_folders, name) for name in ("undisturbed", "cut"))
    train(undisturbed, Ranks())
    for step in (3, 6, 9):
        train(cut, Ranks(), step)
    assert train(cut, Ranks()) == 8
    for path in undisturbed.output_folder.iterdir():
        assert (cut.output_folder / path.name).read_bytes() == path.read_bytes(), path.name
