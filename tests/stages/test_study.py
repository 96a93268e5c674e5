"""A study adds stages for what the line lacks, shares everything else, and reads its scores by arm and seed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bert_core.errors import RecipeError, RequestError
from bert_core.stages.build import run_stage
from bert_core.stages.line import Line, LineRequest, open_line
from bert_core.stages.study_scores import study_of

DATA_KINDS = ("split", "slices", "documents", "vocabulary", "tokens", "examples", "labelled")


@pytest.fixture
def opened(tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Line]:
    """Open the tiny recipe with its study."""
    monkeypatch.chdir(tiny_recipe.parent)
    count = iter(range(1000))

    def open_again(*overrides: str) -> Line:
        overrides = ("study.seeds=2", "study.probes=0", *overrides)
        return open_line(LineRequest(recipe=str(tiny_recipe), overrides=overrides, study=True, run_id=str(next(count))))

    return open_again


def added(line: Line) -> dict[str, str | None]:
    """What a study added: the start of each stage, or "random"."""
    stages = [stage for stage in line.stages.values() if stage.prefix]
    return {stage.id: stage.parents.get("start", "random") for stage in stages}


def test_each_order_starts_where_its_name_says_and_shares_what_the_line_has(opened):
    line = opened()
    assert added(line) == {
        "study/random/fine_tune/mood/seed_2": "random",
        "study/base/fine_tune/mood/seed_1": "pretrain",
        "study/base/fine_tune/mood/seed_2": "pretrain",
        "study/D/fine_tune/mood/seed_1": "domain_transfer",
        "study/D/fine_tune/mood/seed_2": "domain_transfer",
        "study/T/task_transfer": "pretrain",
        "study/T/fine_tune/mood/seed_1": "study/T/task_transfer",
        "study/T/fine_tune/mood/seed_2": "study/T/task_transfer",
        "study/D+T/fine_tune/mood/seed_2": "task_transfer",
        "study/T+D/domain_transfer": "study/T/task_transfer",
        "study/T+D/fine_tune/mood/seed_1": "study/T+D/domain_transfer",
        "study/T+D/fine_tune/mood/seed_2": "study/T+D/domain_transfer",
    }
    shared = {run.arm: run.stage for run in line.study if run.seed == 1}
    assert shared["random"] == "fine_tune/mood/from_random"
    assert shared["D+T"] == "fine_tune/mood"
    assert next(run.transfers for run in line.study if run.arm == "T+D") == (
        "study/T/task_transfer",
        "study/T+D/domain_transfer",
    )


def test_no_arm_builds_a_shard_again(opened):
    line = opened("study.probes=2", "study.vary={token: [domain_transfer.masking.policy=token]}")
    assert {stage.kind for stage in line.stages.values() if stage.prefix} == {"transfer", "fine_tune"}
    for stage in line.stages.values():
        if stage.prefix:
            assert stage.parents.get("labelled", "labelled/mood") == "labelled/mood"
            assert stage.parents.get("examples", "examples/x").startswith("examples/")


def test_seeds_are_those_of_fine_tuning_alone(opened):
    stages = opened().stages
    assert stages["study/D/fine_tune/mood/seed_1"].settings["seed"] == 3
    assert stages["study/D/fine_tune/mood/seed_2"].settings["seed"] == 4
    assert stages["study/T/task_transfer"].settings["seed"] == 3


def test_probes_halve_the_steps_of_each_transfer_of_the_own_order(opened):
    line = opened("study.probes=3", "domain_transfer.steps=8", "study.orders=[base, D+T]", "study.probe_seeds=1")
    probes = [(run.arm, run.probed, run.steps, run.transfers) for run in line.study if run.kind == "probe"]
    assert probes == [
        ("D@1", "D", 1, ("study/D@1/domain_transfer",)),
        ("D@2", "D", 2, ("study/D@2/domain_transfer",)),
        ("D@4", "D", 4, ("study/D@4/domain_transfer",)),
        ("D+T@1", "D+T", 1, ("domain_transfer", "study/D+T@1/task_transfer")),
    ]
    probe = line.stages["study/D@2/domain_transfer"]
    assert probe.settings["transfer"] == line.stages["domain_transfer"].settings["transfer"] | {"steps": 2}
    assert probe.recipe is not None
    assert probe.recipe.transfers()[probe.own_id].steps == 2


def test_a_variant_differs_from_the_stage_on_that_it_changes(opened):
    line = opened(
        "study.orders=[base]",
        "study.vary={short: [domain_transfer.examples.max_tokens=32], fgm: [tasks.mood.fine_tune.fgm_epsilon=1.0], "
        "same: [pretrain.keep_checkpoints=1], early: [tasks.mood.start=domain_transfer]}",
    )
    stages = [stage for stage in added(line) if not stage.startswith(("study/base/", "study/D+T/"))]
    assert stages == [
        "study/short/examples/domain_transfer",
        "study/short/domain_transfer",
        "study/short/task_transfer",
        "study/short/fine_tune/mood/seed_1",
        "study/short/fine_tune/mood/seed_2",
        "study/fgm/fine_tune/mood/seed_1",
        "study/fgm/fine_tune/mood/seed_2",
        "study/early/fine_tune/mood/seed_1",
        "study/early/fine_tune/mood/seed_2",
    ]
    assert {run.arm for run in line.study} == {"base", "D+T", "short", "fgm", "early"}


def test_orders_need_their_stages(opened):
    line = opened("domain_transfer=null")
    assert list(dict.fromkeys(run.arm for run in line.study)) == ["random", "base", "T"]
    with pytest.raises(RecipeError, match=r"study\.orders has T\+D, which needs domain_transfer"):
        opened("domain_transfer=null", "study.orders=[T+D]")


def test_without_pretraining_there_is_no_base(opened):
    line = opened("pretrain=null")
    assert list(dict.fromkeys(run.arm for run in line.study)) == ["random", "D", "T", "D+T", "T+D"]
    with pytest.raises(RecipeError, match=r"study\.orders has base, which needs pretrain or model\.start"):
        opened("pretrain=null", "study.orders=[base]")
    bare = opened("pretrain=null", "domain_transfer=null", "task_transfer=null")
    assert {run.arm for run in bare.study} == {"random"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("study.tasks=[mod]", r"study\.tasks names 'mod', not among tasks \['mood'\]"),
        ("study.vary={a: [pretrain.stps=3]}", r"study\.vary\.a: pretrain\.stps: unknown key; did you mean 'steps'"),
        ("study.vary={a: [seed]}", r"study\.vary\.a: setting 'seed' is not of the form a\.b=value"),
        ("study.vary={a: []}", r"vary\.a replaces no setting"),
        ("study.vary={base: [seed=3]}", r"vary\.base has the name of an order"),
        ("study.orders=[D, D]", r"orders \['D', 'D'\] holds one twice"),
    ],
)
def test_what_a_study_cannot_do_is_refused_with_the_recipe(opened, setting, message):
    with pytest.raises(RecipeError, match=message):
        opened(setting)


def test_a_recipe_without_tasks_has_nothing_to_study(opened):
    with pytest.raises(RequestError, match="has no task"):
        opened("tasks={}", "task_transfer=null")


def test_the_line_of_a_run_knows_nothing_of_the_study(opened, tiny_recipe):
    own = open_line(LineRequest(recipe=str(tiny_recipe)))
    assert own.study == ()
    assert list(own.stages) == [name for name in opened().stages if not name.startswith("study/")]


def test_a_study_holds_only_what_its_arms_are_built_from(opened):
    line = opened("study.orders=[random, base]", "tasks.mood.start=pretrain")
    trained = [stage.id for stage in line.stages.values() if stage.kind in ("transfer", "fine_tune", "tfidf")]
    assert trained == [
        "pretrain",
        "fine_tune/mood",
        "fine_tune/mood/from_random",
        "fine_tune/mood/tfidf",
        "study/random/fine_tune/mood/seed_2",
        "study/base/fine_tune/mood/seed_2",
    ]
    assert "examples/domain_transfer" not in line.stages


def test_a_variant_of_the_data_is_built_from_its_own_settings(opened):
    settings = ("study.orders=[base]", "study.vary={long: [corpora.reviews.min_characters=21]}")
    line = opened(*settings)
    data = [stage.id for stage in line.stages.values() if stage.kind in DATA_KINDS]
    actions = {stage: run_stage(line, stage).action for stage in data}
    assert actions["study/long/documents/reviews"] == actions["study/long/tokens/reviews"] == "built"
    documents = {
        stage: line.output(line.stages[stage]).manifest.counts["documents"]
        for stage in ("documents/reviews", "study/long/documents/reviews")
    }
    assert 0 < documents["study/long/documents/reviews"] < documents["documents/reviews"]
    built = {stage for stage in data if stage.startswith("study/long/")}
    assert built == {f"study/long/{stage}" for stage in ("slices/reviews", "documents/reviews", "vocabulary")} | {
        f"study/long/{kind}/{name}"
        for kind, name in (
            ("tokens", "general"),
            ("tokens", "reviews"),
            ("tokens", "task_transfer"),
            ("examples", "pretrain"),
            ("examples", "domain_transfer"),
            ("examples", "task_transfer"),
            ("labelled", "mood"),
        )
    }
    again = opened(*settings)
    assert {run_stage(again, stage).action for stage in data} == {"reused"}


def seal(line: Line, stage_id: str, score: float) -> None:
    """Put an output in place of a stage, with a score where it is a fine-tuning."""
    stage = line.stages[stage_id]
    for member in stage.pieces or (stage,):
        spec, parents = line.spec(member), line.inputs(member)
        assert spec is not None
        assert parents is not None
        with line.workspace.building(member.id, spec, parents, rebuild=False) as build:
            if build.sealed is None:
                content = {"main_score": "macro_f1", "test": {"macro_f1": score}}
                (build.folder / "scores.json").write_text(json.dumps(content), encoding="utf-8")
                (build.folder / "name").write_text(member.id, encoding="utf-8")
        line.forget(member)


def test_scores_are_read_by_arm_and_seed_and_the_curve_ends_in_its_orders(opened):
    line = opened(
        "study.probes=1", "study.probe_seeds=1", "study.orders=[random, base, D]", "tasks.mood.start=domain_transfer"
    )
    wanted = line.with_ancestors(line.study_stages())
    scores = {run.stage: 0.1 * number for number, run in enumerate(line.study)}
    for stage in line.stages:
        if stage in wanted:
            seal(line, stage, scores.get(stage, 0.05))
    (study,) = study_of(line)
    assert {arm.name: [round(score, 3) for score in arm.scores] for arm in study.orders} == {
        "random": [0.0, 0.1],
        "base": [0.2, 0.3],
        "D": [0.4, 0.5],
    }
    assert [(p.order, p.steps, round(p.mean, 3), p.num_seeds) for p in study.curve] == [
        ("D", 0, 0.25, 2),
        ("D", 1, 0.6, 1),
        ("D", 3, 0.45, 2),
    ]
    assert study.references == (("tfidf", 0.05),)
    assert study.own == "D"
    seconds = line.output(line.stages["domain_transfer"]).manifest.seconds
    assert study.arm("D").transfer_seconds == seconds


def test_what_does_not_stand_is_left_out(opened):
    line = opened("study.orders=[random, base]", "tasks.mood.start=pretrain")
    assert study_of(line) == []
    for stage in line.stages:
        if stage in line.with_ancestors(["fine_tune/mood/from_random"]):
            seal(line, stage, 0.4)
    (study,) = study_of(line)
    assert [(arm.name, arm.scores) for arm in study.orders] == [("random", (0.4,))]


def test_an_output_is_known_by_the_name_that_its_stage_has_now(opened):
    line = opened("study.orders=[base]", "tasks.mood.start=pretrain")
    for stage in line.stages:
        if stage in line.with_ancestors(["study/base/fine_tune/mood/seed_2"]):
            seal(line, stage, 0.4)
    later = opened("tasks.mood.start=pretrain", "seed=4")  # not the same shards: another output
    assert later.output(later.stages["fine_tune/mood"]) is None
    again = opened("study.orders=[base]", "tasks.mood.start=pretrain", "study.seeds=3")
    found = again.output(again.stages["study/base/fine_tune/mood/seed_2"])
    assert found is not None
    assert found.manifest.stage == "study/base/fine_tune/mood/seed_2"
