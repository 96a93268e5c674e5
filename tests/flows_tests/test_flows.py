"""Flows against Prefect's test server: states named Built and Reused, true edges, errors with their own message."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State, TaskRun

from bert_core.errors import CorpusError, RecipeError, RequestError


@pytest.fixture(scope="module", autouse=True)
def _server() -> Iterator[None]:
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with (
        prefect_test_harness(server_startup_timeout=120),
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
    ):
        yield


def task_runs(state: State, num_runs: int) -> dict[str, TaskRun]:
    """Task runs of a flow run by name, once all have arrived."""
    from flows.embedded import let_records_arrive

    let_records_arrive(state.state_details.flow_run_id)
    chosen = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
    with get_client(sync_client=True) as client:
        runs = client.read_task_runs(flow_run_filter=chosen)
    assert len(runs) == num_runs
    return {run.name: run for run in runs}


def artifact_keys(state: State) -> set[str | None]:
    chosen = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[state.state_details.flow_run_id]))
    with get_client(sync_client=True) as client:
        return {artifact.key for artifact in client.read_artifacts(artifact_filter=chosen)}


def test_stages_are_built_once_and_then_reused(tiny_recipe: Path) -> None:
    from flows.ingest import ingest

    first = ingest(recipe=str(tiny_recipe), return_state=True)
    assert first.is_completed(), first.message
    runs = task_runs(first, 7)
    names = {name: run.state_name for name, run in runs.items()}
    stages = ["split/mood", "slices/general", "slices/reviews"]
    stages += ["documents/general", "documents/reviews", "documents/task_transfer"]
    assert names == {"plan": "Planned"} | dict.fromkeys(stages, "Built")
    built = runs["documents/reviews"].state
    assert built is not None
    assert built.message is not None
    assert built.message.endswith(": no earlier output")
    assert artifact_keys(first) == {
        "tiny-plan",
        "tiny-split-mood-counts",
        *(f"tiny-{kind}-{corpus}-counts" for kind in ("slices", "documents") for corpus in ("general", "reviews")),
        "tiny-documents-task-transfer-counts",
    }

    second = ingest(recipe=str(tiny_recipe), return_state=True)
    names = {name: run.state_name for name, run in task_runs(second, 7).items()}
    assert names == {"plan": "Planned"} | dict.fromkeys(stages, "Reused")


def test_edges_of_the_graph_are_the_inputs_of_the_stages(tiny_recipe: Path) -> None:
    from flows.ingest import ingest

    runs = task_runs(ingest(recipe=str(tiny_recipe), return_state=True), 7)
    name_of = {run.id: name for name, run in runs.items()}
    edges = {
        name: {name_of[source.id] for source in run.task_inputs.get("inputs", []) if source.input_type == "task_run"}
        for name, run in runs.items()
    }
    assert edges == {
        "plan": set(),
        "split/mood": set(),
        "slices/general": set(),
        "slices/reviews": set(),
        "documents/general": {"slices/general", "split/mood"},
        "documents/reviews": {"slices/reviews", "split/mood"},
        "documents/task_transfer": {"split/mood"},
    }


def test_a_failed_stage_fails_the_flow_with_its_own_error_and_is_not_retried(tiny_recipe: Path) -> None:
    from flows.ingest import ingest

    (tiny_recipe.parent / "reviews.txt").write_bytes(b"\x00\x01\x02\xff\xfe" * 2000)
    state = ingest(recipe=str(tiny_recipe), return_state=True)
    assert state.is_failed()
    with pytest.raises(CorpusError, match=r"reviews\.txt"):
        state.result()
    assert state.message is not None
    assert "reviews.txt" in state.message
    with get_client(sync_client=True) as client:
        chosen = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
        failed = [run for run in client.read_task_runs(flow_run_filter=chosen) if run.state_name == "Failed"]
    assert [run.run_count for run in failed] == [1]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"overrides": ["pretrain.stps=3"]}, RecipeError, "did you mean 'steps'"),
        ({"recipe": "missing.yaml"}, RecipeError, "does not exist"),
    ],
)
def test_a_wrong_request_fails_the_flow_before_any_stage(
    tiny_recipe: Path, change: dict, error: type[Exception], message: str
) -> None:
    from flows.transfer import transfer

    with pytest.raises(error, match=message):
        transfer(**({"recipe": str(tiny_recipe)} | change))
    assert not (tiny_recipe.parent / "workspace").exists()


def test_a_flow_named_after_a_stage_that_the_recipe_leaves_out_says_so(tiny_recipe: Path) -> None:
    from flows.train import pretrain

    with pytest.raises(RequestError, match="has no pretrain stage"):
        pretrain(recipe=str(tiny_recipe), overrides=["pretrain=null"])


@pytest.mark.slow
def test_the_whole_line_runs_as_a_flow_and_its_return_is_small(tiny_recipe: Path) -> None:
    from flows.transfer import transfer

    state = transfer(recipe=str(tiny_recipe), return_state=True)
    summary = state.result()
    assert Path(summary.report).is_file()
    assert {outcome.action for outcome in summary.outcomes} == {"built"}
    assert len(repr(summary)) < 10_000
    keys = artifact_keys(state)
    assert {
        "tiny-plan",
        "tiny-results",
        "tiny-pretrain-curve",
        "tiny-examples-pretrain-sample",
        "tiny-examples-pretrain-audit",
    } <= keys
    again = transfer(recipe=str(tiny_recipe), return_state=True)
    assert {outcome.action for outcome in again.result().outcomes} == {"reused"}


@pytest.mark.slow
def test_a_study_trains_its_arms_once_and_says_how_they_compare(tiny_recipe: Path) -> None:
    from flows.study import study

    settings = ["study.seeds=2", "study.orders=[random, D]", "study.probes=0", "tasks.mood.start=domain_transfer"]
    settings.append("study.vary={wide: [tasks.mood.fine_tune.batch_examples=4]}")
    first = study(recipe=str(tiny_recipe), overrides=settings, return_state=True)
    outcomes = {outcome.stage: outcome.action for outcome in first.result().outcomes}
    assert "fine_tune/mood/from_random" in outcomes
    assert "study/wide/fine_tune/mood/seed_2" in outcomes
    assert "task_transfer" not in outcomes
    assert set(outcomes.values()) == {"built"}
    assert "tiny-study" in artifact_keys(first)
    folder = tiny_recipe.parent / "workspace" / "runs" / "tiny"
    (found,) = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    assert [(arm["name"], len(arm["scores"])) for arm in found["orders"]] == [("random", 2), ("D", 2)]
    assert [arm["name"] for arm in found["variants"]] == ["wide"]
    assert (folder / "study.csv").read_text(encoding="utf-8").count("\n") == 1 + 3 * 2
    assert "### mood" in (folder / "study.md").read_text(encoding="utf-8")
    assert (folder / "study-mood-starts.png").is_file()
    assert '<section id="study">' in Path(first.result().report).read_text(encoding="utf-8")

    second = study(recipe=str(tiny_recipe), overrides=settings)
    assert {outcome.action for outcome in second.outcomes} == {"reused"}


def test_a_study_that_stands_is_published_without_training(tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bert_core.stages.build import run_stage
    from bert_core.stages.line import LineRequest, open_line
    from flows.study import study

    monkeypatch.chdir(tiny_recipe.parent)
    settings = ["study.seeds=2", "study.probes=1", "study.vary={fgm: [tasks.mood.fine_tune.fgm_epsilon=1.0]}"]
    line = open_line(LineRequest(recipe=str(tiny_recipe), overrides=tuple(settings), study=True))
    for number, stage in enumerate(line.stages.values()):
        if stage.kind not in ("transfer", "fine_tune"):
            run_stage(line, stage.id)
            continue
        spec, parents = line.spec(stage), line.inputs(stage)
        assert spec is not None
        assert parents is not None
        with line.workspace.building(stage.id, spec, parents) as build:
            scores = {"main_score": "macro_f1", "test": {"macro_f1": number / 100}}
            (build.folder / "scores.json").write_text(json.dumps(scores), encoding="utf-8")

    state = study(recipe=str(tiny_recipe), overrides=settings, return_state=True)
    summary = state.result()
    assert {outcome.action for outcome in summary.outcomes} == {"reused"}
    assert {"tiny-study", "tiny-study-mood-starts", "tiny-study-mood-curve"} <= artifact_keys(state)
    folder = tiny_recipe.parent / "workspace" / "runs" / "tiny"
    assert {path.name for path in folder.glob("study*")} == {
        *(f"study.{kind}" for kind in ("json", "md", "csv")),
        *(f"study-mood-{name}.png" for name in ("starts", "curve")),
    }
    (found,) = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    assert [arm["name"] for arm in found["orders"]] == ["random", "base", "D", "T", "D+T", "T+D"]
    assert [arm["name"] for arm in found["variants"]] == ["fgm"]
    assert '<section id="study">' in Path(summary.report).read_text(encoding="utf-8")
