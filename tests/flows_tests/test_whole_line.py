"""`bertline run` from text to report on a tiny recipe: what it builds and reuses, and how it ends when interrupted.

The tests of this file share one workspace and run in their order.
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "flows.cli"]


def environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "BERTLINE_"))}
    return {**inherited, "PYTHONPATH": str(ROOT)}


def bertline(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=folder, env=environment(), capture_output=True, text=True, timeout=600
    )


def states(folder: Path) -> list[dict[str, int]]:
    """Names of the task runs' states of each flow run in the server's database, oldest run first."""
    query = (
        "select f.id, t.state_name, count(*) from flow_run f join task_run t on t.flow_run_id = f.id "
        "group by f.id, t.state_name order by f.start_time"
    )
    found: dict[str, dict[str, int]] = {}
    with sqlite3.connect(folder / "workspace" / "prefect" / "prefect.db") as database:
        for run, name, count in database.execute(query):
            found.setdefault(run, {})[name] = count
    return list(found.values())


def children_of_this_run(folder: Path) -> list[str]:
    """Command lines of processes that name this folder in their arguments or environment, this test apart."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            settings = (process / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(folder) in settings + command and int(process.name) != os.getpid():
            found.append(command)
    return found


def test_the_first_run_builds_every_stage(shared_tiny_recipe: Path) -> None:
    folder = shared_tiny_recipe.parent
    done = bertline("run", "tiny.yaml", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "20 of 20 stages to run" in done.stdout
    assert "20 built, 0 reused; report " in done.stdout
    for column in ("MLM accuracy", "NSP accuracy", "steps", "loss", "macro F1", "built: no earlier output"):
        assert column in done.stdout
    assert (folder / "workspace" / "runs" / "tiny" / "report.html").is_file()
    assert states(folder) == [{"Planned": 1, "Built": 20, "Reported": 1}]
    assert children_of_this_run(folder) == []


def test_the_second_run_reuses_every_stage(shared_tiny_recipe: Path) -> None:
    folder = shared_tiny_recipe.parent
    store = folder / "workspace" / "store"
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()}
    began = time.monotonic()
    done = bertline("run", "tiny.yaml", folder=folder)
    seconds = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    assert "0 of 20 stages to run" in done.stdout
    assert "0 built, 20 reused" in done.stdout
    assert states(folder)[-1] == {"Planned": 1, "Reused": 20, "Reported": 1}
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()} == before
    assert seconds < 60.0  # about 12 s on a machine at rest


def test_a_changed_setting_reruns_what_reads_it(shared_tiny_recipe: Path) -> None:
    done = bertline("plan", "tiny.yaml", "--set", "task_transfer.steps=3", folder=shared_tiny_recipe.parent)
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if " run " in line}
    assert set(rows) == {"task_transfer", "fine_tune/mood"}
    assert "transfer.steps 2 -> 3" in rows["task_transfer"]
    assert "task_transfer runs" in rows["fine_tune/mood"]


def test_one_stage_alone_can_be_built_again(shared_tiny_recipe: Path) -> None:
    folder = shared_tiny_recipe.parent
    done = bertline("run", "tiny.yaml", "--only", "fine_tune/mood/tfidf", "--force", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "1 built, 0 reused" in done.stdout
    assert "built: asked for" in done.stdout
    assert states(folder)[-1] == {"Planned": 1, "Built": 1, "Reported": 1}


def test_inspect_shows_examples_words_masks_and_origin(shared_tiny_recipe: Path) -> None:
    folder = shared_tiny_recipe.parent
    arguments = ("inspect", "tiny.yaml", "examples/pretrain", "--rows", "2", "--epoch", "0", "--epoch", "7")
    done = bertline(*arguments, folder=folder)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len([line for line in lines if line.startswith("example ")]) == 2
    assert [line.split()[1] for line in lines if line.startswith("  epoch")] == ["0", "7", "0", "7"]
    assert any(line.startswith("  A from general.txt:") and ", paragraph " in line for line in lines)
    assert done.stdout == bertline(*arguments, folder=folder).stdout
    spans = bertline(*arguments, "--policy", "span", folder=folder)
    assert spans.returncode == 0
    assert spans.stdout != done.stdout
    held_out = bertline(*arguments, "--held-out", folder=folder)
    assert held_out.returncode == 0
    assert held_out.stdout != done.stdout


def test_inspect_shows_rows_of_any_stage(shared_tiny_recipe: Path) -> None:
    folder = shared_tiny_recipe.parent
    listed = bertline("inspect", "tiny.yaml", folder=folder)
    assert listed.returncode == 0
    stages = [line.split()[0] for line in listed.stdout.splitlines()]
    assert len(stages) == 20
    for stage in (
        "split/mood",
        "slices/reviews/0000",
        "documents/general",
        "tokens/reviews",
        "labelled/mood",
        "pretrain",
    ):
        assert stage in stages
        done = bertline("inspect", "tiny.yaml", stage, "--rows", "1", folder=folder)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(stage)


def test_predict_reads_a_text_a_file_and_standard_input(shared_tiny_recipe: Path) -> None:
    folder = shared_tiny_recipe.parent
    texts = ["这次很好", "这次太差"]
    (folder / "texts.txt").write_text("\n".join(texts) + "\n\n", encoding="utf-8")
    from_file = bertline("predict", "tiny.yaml:mood", "texts.txt", "--json", folder=folder)
    assert from_file.returncode == 0, from_file.stderr
    predictions = [json.loads(line) for line in from_file.stdout.splitlines()]
    assert [prediction["text"] for prediction in predictions] == texts
    assert {prediction["label"] for prediction in predictions} <= {"positive", "negative"}
    from_input = subprocess.run(
        [*COMMAND, "predict", "tiny.yaml:mood", "-", "--json"],
        cwd=folder,
        env=environment(),
        input="\n".join(texts),
        capture_output=True,
        text=True,
    )
    assert from_input.stdout == from_file.stdout
    one = bertline("predict", "tiny.yaml:mood", texts[0], folder=folder)
    assert one.stdout == f"{predictions[0]['label']}  {predictions[0]['probability']:.3f}  {texts[0]}\n"


def test_a_damaged_output_is_found_and_built_again(shared_tiny_recipe: Path) -> None:
    folder = shared_tiny_recipe.parent
    victim = next((folder / "workspace" / "store" / "tokens").rglob("*.arrow"))
    victim.write_bytes(victim.read_bytes()[:-100])
    assert bertline("verify", "workspace", folder=folder).returncode == 1
    done = bertline("run", "tiny.yaml", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "1 built, 19 reused" in done.stdout  # the same bytes again: nothing after it is rebuilt
    assert "its output is damaged" in done.stdout
    assert bertline("verify", "workspace", folder=folder).returncode == 0


def test_a_failed_stage_ends_with_its_message_and_its_exit_code(shared_tiny_recipe: Path) -> None:
    folder = shared_tiny_recipe.parent
    (folder / "bad.tsv").write_text("text\tlabel\n好\tpositive\n坏\tnegativ\n", encoding="utf-8")
    done = bertline("run", "tiny.yaml", "--set", "tasks.mood.sources=[{path: bad.tsv, format: tsv}]", folder=folder)
    assert done.returncode == 2
    assert "bad.tsv:3" in done.stderr
    assert "negativ" in done.stderr
    assert "Traceback" not in done.stderr
    assert children_of_this_run(folder) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_run_leaves_no_process_behind(shared_tiny_recipe: Path, stop: signal.Signals) -> None:
    folder = shared_tiny_recipe.parent
    process = subprocess.Popen(
        [*COMMAND, "run", "tiny.yaml", "--set", "pretrain.steps=100000"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 120
    while time.monotonic() < until and not any("bert_core.training" in c for c in children_of_this_run(folder)):
        time.sleep(0.2)
    running = children_of_this_run(folder)
    assert any("bert_core.training" in command for command in running)
    assert any("server start" in command for command in running)
    process.send_signal(stop)
    _, errors = process.communicate(timeout=120)
    if stop == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 130
        assert "interrupted; what is sealed or checkpointed is kept" in errors
        assert "Traceback" not in errors
    until = time.monotonic() + 30
    while time.monotonic() < until and children_of_this_run(folder):
        time.sleep(0.2)
    assert children_of_this_run(folder) == []
