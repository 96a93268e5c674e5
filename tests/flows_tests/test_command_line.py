"""The command line refuses a wrong request within a second, with one message, exit code 2 and nothing written."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

BERTLINE = [sys.executable, "-m", "flows.cli"]
ROOT = Path(__file__).parents[2]


def bertline(
    *arguments: str, folder: Path, text: str | None = None, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder."""
    import os

    environment = {**os.environ, "PYTHONPATH": str(ROOT), **settings}
    environment.pop("BERTLINE_DEBUG", None)
    return subprocess.run(
        [*BERTLINE, *arguments], cwd=folder, env=environment, input=text, capture_output=True, text=True, timeout=120
    )


def files_of(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*")}


WRONG_REQUESTS = {
    "a recipe that does not exist": (["plan", "missing.yaml"], "recipe 'missing.yaml' does not exist"),
    "an unknown key": (
        ["run", "unknown_key.yaml"],
        "unknown_key.yaml:2: workspce: unknown key; did you mean 'workspace'?",
    ),
    "a value out of range": (["plan", "tiny.yaml", "--set", "pretrain.steps=0"], "pretrain.steps"),
    "a setting without a value": (["plan", "tiny.yaml", "--set", "seed"], "'seed' is not of the form a.b=value"),
    "a path that does not exist": (
        ["run", "tiny.yaml", "--set", "corpora.general.paths=[generl.txt]"],
        "path 'generl.txt'",
    ),
    "a stage that does not exist": (["plan", "tiny.yaml", "--from", "pretain"], "'pretain' is not among the stages"),
    "a stage whose inputs do not stand": (["run", "tiny.yaml", "--only", "pretrain"], "needs examples/pretrain"),
    "a stage that is not built": (["inspect", "tiny.yaml", "examples/pretrain"], "has not been built"),
    "nothing built at all": (["inspect", "tiny.yaml"], "nothing of 'tiny.yaml' has been built"),
    "a policy that does not exist": (
        ["inspect", "tiny.yaml", "examples/pretrain", "--policy", "spam"],
        "--policy 'spam'",
    ),
    "a step of no training": (["inspect", "tiny.yaml", "examples/pretrain", "--step", "1"], "trains nothing; name one"),
    "a page of no examples": (["inspect", "tiny.yaml", "pretrain", "--html", "a.html"], "--html shows examples"),
    "epochs that are none": (
        ["materialize", "tiny.yaml", "pretrain", "--epochs", "3-1", "--out", "new"],
        "--epochs '3-1': expected numbers from 0 and ranges",
    ),
    "epochs of what is not built": (
        ["materialize", "tiny.yaml", "pretrain", "--epochs", "0", "--out", "new"],
        "'examples/pretrain' has not been built",
    ),
    "a model that does not exist": (["predict", "nowhere", "text"], "model 'nowhere' is no folder"),
    "a task that does not exist": (["predict", "tiny.yaml:mod", "text"], "has no task 'mod'; its tasks are mood"),
    "a task that is not built": (["predict", "tiny.yaml:mood", "text"], "'fine_tune/mood' has not been built"),
    "a study of a task that does not exist": (["study", "tiny.yaml", "--set", "study.tasks=[mod]"], "names 'mod'"),
    "a folder that is no workspace": (["verify", "."], "'.' is no workspace"),
    "an option that does not exist": (["plan", "tiny.yaml", "--form", "pretrain"], "No such option: --form"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG_REQUESTS.values(), ids=WRONG_REQUESTS.keys())
def test_a_wrong_request_is_refused_and_writes_nothing(tiny_recipe: Path, arguments: list[str], message: str) -> None:
    folder = tiny_recipe.parent
    text = tiny_recipe.read_text(encoding="utf-8").replace("workspace:", "workspce:")
    (folder / "unknown_key.yaml").write_text(text, encoding="utf-8")
    before = files_of(folder)
    done = bertline(*arguments, folder=folder)
    assert done.returncode == 2, done.stderr
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert files_of(folder) == before


def test_a_plan_names_every_stage_and_writes_nothing(tiny_recipe: Path) -> None:
    before = files_of(tiny_recipe.parent)
    done = bertline("plan", "tiny.yaml", folder=tiny_recipe.parent)
    assert done.returncode == 0, done.stderr
    for stage in ("split/mood", "documents/task_transfer", "examples/pretrain", "fine_tune/mood/from_random"):
        assert stage in done.stdout
    assert "20 of 20 stages to run" in done.stdout
    assert files_of(tiny_recipe.parent) == before


def test_the_plan_of_a_study_names_what_it_adds_and_writes_nothing(tiny_recipe: Path) -> None:
    before = files_of(tiny_recipe.parent)
    done = bertline("study", "tiny.yaml", "--plan", "--set", "study.seeds=2", folder=tiny_recipe.parent)
    assert done.returncode == 0, done.stderr
    for stage in ("study/T+D/domain_transfer", "study/D@1/domain_transfer", "study/base/fine_tune/mood/seed_2"):
        assert stage in done.stdout
    assert "fine_tune/mood/tfidf" in done.stdout
    assert files_of(tiny_recipe.parent) == before


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["plan", "tiny.yaml"], ["study", "tiny.yaml", "--plan"], ["inspect", "tiny.yaml"]],
)
def test_a_command_that_needs_no_flow_loads_neither_prefect_nor_torch(tiny_recipe: Path, arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from flows.cli import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "finally:\n"
        "    print([name for name in ('prefect', 'torch', 'transformers') if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tiny_recipe.parent,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.stderr.splitlines()[-1] == "[]" or "[]\n" in done.stderr, done.stderr


def test_a_server_that_does_not_answer_is_a_wrong_request(tiny_recipe: Path) -> None:
    url = "http://127.0.0.1:9/api"
    done = bertline("run", "tiny.yaml", folder=tiny_recipe.parent, PREFECT_API_URL=url)
    assert done.returncode == 2
    assert f"the Prefect server at PREFECT_API_URL {url!r} does not answer" in done.stderr
    assert not (tiny_recipe.parent / "workspace").exists()


def test_a_plan_answers_in_about_a_second(tiny_recipe: Path) -> None:
    bertline("plan", "tiny.yaml", folder=tiny_recipe.parent)
    times = []
    for _ in range(3):
        began = time.perf_counter()
        bertline("plan", "tiny.yaml", folder=tiny_recipe.parent)
        times.append(time.perf_counter() - began)
    assert min(times) < 3.0  # 0.5 s on a machine at rest; the bound allows for a busy one


def test_the_starter_recipe_is_valid_and_never_overwritten(tmp_path: Path) -> None:
    from bert_core.config import load_recipe

    done = bertline("init", "new", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    recipe = tmp_path / "new" / "recipe.yaml"
    assert load_recipe(recipe).transfers().keys() == {"pretrain", "domain_transfer", "task_transfer"}
    again = bertline("init", "new", folder=tmp_path)
    assert again.returncode == 2
    assert "exists already" in again.stderr


def test_a_bug_is_one_message_and_a_traceback_on_demand(
    tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    import bert_core.stages.line
    from flows.cli import main

    def broken(_request: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(bert_core.stages.line, "open_line", broken)
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(tiny_recipe)])
    assert ended.value.code == 1
    assert capsys.readouterr().err == (
        "bertline: unexpected ZeroDivisionError: a bug\nBERTLINE_DEBUG=1 shows where it happened\n"
    )
    monkeypatch.setenv("BERTLINE_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main(["plan", str(tiny_recipe)])


def test_damage_is_found_and_named(tmp_path: Path) -> None:
    from bert_core.store.workspace import Workspace

    workspace = Workspace(tmp_path / "workspace")
    for name in ("first", "second"):
        with workspace.building(f"any/{name}", {"kind": "any", "name": name}, {}) as build:
            (build.folder / "data.bin").write_bytes(name.encode() * 10)
    assert bertline("verify", "workspace", folder=tmp_path).returncode == 0
    victim = sorted((tmp_path / "workspace").rglob("data.bin"))[0]
    data = bytearray(victim.read_bytes())
    data[3] ^= 1
    victim.write_bytes(bytes(data))
    done = bertline("verify", "workspace", folder=tmp_path)
    assert done.returncode == 1
    assert "content differs" in done.stdout
    assert "1 damaged" in done.stdout


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        (
            {"text": "很好", "label": "positive", "probability": 0.97, "probabilities": {}},
            "positive  0.970  很好",
        ),
        (
            {"text": "张伟在京", "entities": [{"text": "张伟", "type": "nr"}, {"text": "京", "type": "ns"}]},
            "张伟在京  张伟/nr 京/ns",
        ),
        ({"text": "没有", "entities": []}, "没有  (no entity)"),
    ],
)
def test_a_prediction_is_one_line(prediction: dict, expected: str) -> None:
    from flows.prediction import describe_prediction

    assert describe_prediction(prediction) == expected
    assert json.dumps(prediction, ensure_ascii=False)
