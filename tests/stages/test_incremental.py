"""A stage runs again when, and only when, something it depends on has changed; the plan says so beforehand."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bert_core.errors import RecipeError, RequestError
from bert_core.stages.build import run_stage
from bert_core.stages.line import Line, LineRequest, open_line
from bert_core.stages.plan import plan_line

DATA_KINDS = ("split", "slices", "documents", "vocabulary", "tokens", "examples", "labelled")


@pytest.fixture
def opened(tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Line]:
    """Open the tiny recipe anew, as another run would."""
    monkeypatch.chdir(tiny_recipe.parent)
    count = iter(range(1000))

    def open_again(*overrides: str) -> Line:
        return open_line(LineRequest(recipe=str(tiny_recipe), overrides=overrides, run_id=str(next(count))))

    return open_again


def build_data(line: Line) -> dict[str, str]:
    """Run every stage that needs no training, and say what became of each."""
    return {stage.id: run_stage(line, stage.id).action for stage in line.stages.values() if stage.kind in DATA_KINDS}


def built(actions: dict[str, str]) -> set[str]:
    return {stage for stage, action in actions.items() if action == "built"}


def planned(line: Line) -> dict[str, str]:
    """Data stages that the plan would run, with the reason."""
    return {d.stage: d.reason for d in plan_line(line) if d.action == "run" and d.kind in DATA_KINDS}


def test_a_second_run_reuses_everything_and_the_plan_says_so(opened):
    assert set(build_data(opened()).values()) == {"built"}
    assert planned(opened()) == {}
    assert set(build_data(opened()).values()) == {"reused"}


def test_a_touched_file_changes_nothing(opened, tiny_recipe):
    build_data(opened())
    for path in tiny_recipe.parent.glob("*.t*"):
        os.utime(path, (1, 1))
    assert planned(opened()) == {}


def test_an_appended_document_reruns_what_depends_on_it_alone(opened, tiny_recipe):
    build_data(opened())
    with (tiny_recipe.parent / "general.txt").open("a", encoding="utf-8") as file:
        file.write("\n一篇新的文章讲到春天。\n花园里的树都绿了。\n")
    reasons = planned(opened())
    assert "general.txt changed: 1 of 1 slices" in reasons["slices/general"]
    assert "documents/reviews" not in reasons
    actions = built(build_data(opened()))
    assert {"slices/general", "documents/general", "tokens/general", "examples/pretrain"} <= actions
    assert not {"slices/reviews", "documents/reviews", "split/mood"} & actions


def test_a_rebuilt_input_with_the_same_bytes_stops_the_wave(opened):
    build_data(opened())
    line = opened("corpora.general.max_bad_fraction=0.5")  # changes the settings, not what is read
    assert "slices/general" in planned(line)
    actions = built(build_data(line))
    assert "slices/general" in actions
    assert "tokens/general" not in actions


def test_a_training_setting_touches_training_alone(opened):
    build_data(opened())
    assert planned(opened("pretrain.steps=9", "tasks.mood.fine_tune.epochs=2")) == {}


def test_masking_is_read_by_training_only(opened):
    build_data(opened())
    line = opened("pretrain.masking.policy=span")
    assert planned(line) == {}
    assert line.stages["pretrain"].settings != opened().stages["pretrain"].settings


def test_the_reason_names_the_setting_with_both_values(opened):
    build_data(opened())
    reasons = planned(opened("pretrain.examples.max_tokens=40"))
    assert list(reasons) == ["examples/pretrain"]
    assert reasons["examples/pretrain"] == "examples.max_tokens 48 -> 40"


def test_augmentation_rebuilds_the_labelled_examples_alone(opened, tiny_recipe):
    build_data(opened())
    (tiny_recipe.parent / "words.txt").write_text("A01= 老师 教师\nA02= 满意 中意\n", encoding="utf-8")
    on = (
        "tasks.mood.augmentation.copies=2",
        f"tasks.mood.augmentation.thesaurus={tiny_recipe.parent / 'words.txt'}",
    )
    assert planned(opened("tasks.mood.augmentation.word_share=0.5")) == {}  # off, so nothing reads it
    assert set(planned(opened(*on))) == {"labelled/mood"}
    line = opened(*on)
    assert built(build_data(line)) == {"labelled/mood"}
    counts = line.outputs_of("labelled/mood")[0].manifest.counts["augmentation"]
    assert counts["copies"] + counts["unchanged"] + counts["repeated"] + counts["held_out"] == 2 * counts["records"]
    assert counts["copies"] > 0
    assert planned(opened(*on)) == {}
    (tiny_recipe.parent / "words.txt").write_text("A01= 老师 教师 先生\nA02= 满意 中意\n", encoding="utf-8")
    assert "words.txt" in planned(opened(*on))["labelled/mood"]


def test_a_damaged_output_is_rebuilt_with_the_damage_as_its_reason(opened):
    line = opened()
    build_data(line)
    folder = line.outputs_of("tokens/general")[0].folder
    next(folder.glob("*.arrow")).unlink()
    assert "its output is damaged" in planned(opened())["tokens/general"]
    assert built(build_data(opened())) == {"tokens/general"}


def test_from_a_stage_means_it_and_all_after_it(opened):
    build_data(opened())
    decisions = {d.stage: d for d in plan_line(opened(), from_stage="tokens/general")}
    assert decisions["tokens/general"].reason == "asked for"
    assert decisions["examples/pretrain"].action == "run"
    assert decisions["documents/general"].action == "reuse"


def test_only_a_stage_needs_its_inputs(opened):
    with pytest.raises(RequestError, match="needs documents/general, vocabulary first"):
        plan_line(opened(), only="tokens/general")
    build_data(opened())
    assert [d.action for d in plan_line(opened(), only="tokens/general")] == ["reuse"]


def test_an_unknown_stage_lists_the_known_ones(opened):
    with pytest.raises(RequestError, match=r"stage 'tokens/none' is not among the stages of .*tokens/general"):
        plan_line(opened(), only="tokens/none")


def test_two_workspaces_hold_the_same_bytes(opened, tiny_recipe):
    first, second = opened(), opened(f"workspace={tiny_recipe.parent / 'other'}")
    build_data(first)
    build_data(second)
    for stage in first.stages.values():
        if stage.kind in DATA_KINDS:
            contents = [[o.manifest.content for o in line.outputs_of(stage.id)] for line in (first, second)]
            assert contents[0] == contents[1], stage.id


def test_every_output_can_be_traced_to_raw_files_with_digests(opened):
    line = opened()
    build_data(line)
    seen, left = set(), ["examples/domain_transfer"]
    raw: dict[str, str] = {}
    while left:
        stage_id = left.pop()
        outputs = {o.manifest.stage: o.manifest for s in line.stages for o in _standing(line, s)}
        manifest = outputs[stage_id]
        raw |= manifest.spec["raw"]
        left += [parent.stage for parent in manifest.parents.values() if parent.stage not in seen]
        seen.add(stage_id)
    assert any("reviews.txt" in name for name in raw)
    assert all(len(digest) == 64 for digest in raw.values())


def _standing(line: Line, stage_id: str):
    return line.outputs_of(stage_id) if line.stages[stage_id].kind in DATA_KINDS else []


LONG_PHASE = "pretrain.long_phase={max_tokens: 64, step_share: 0.5}"


def test_a_long_phase_has_examples_of_its_own_and_its_share_rebuilds_none(opened):
    assert "examples/pretrain/long" not in opened().stages
    line = opened(LONG_PHASE)
    assert line.stages["pretrain"].parents["long_examples"] == "examples/pretrain/long"
    build_data(line)
    assert planned(opened(LONG_PHASE)) == {}
    assert planned(opened(LONG_PHASE, "pretrain.long_phase.step_share=0.25")) == {}
    assert planned(opened()) == {}
    assert set(planned(opened("pretrain.long_phase={max_tokens: 60}"))) == {"examples/pretrain/long"}


def test_a_trick_that_is_off_is_no_setting_of_a_fine_tuning(opened):
    line = opened()
    off = opened("tasks.mood.fine_tune.distillation.weight=0.5").stages["fine_tune/mood"]
    assert off.settings == line.stages["fine_tune/mood"].settings
    on = opened("tasks.mood.fine_tune.distillation.teacher=averaged_weights").stages["fine_tune/mood"]
    assert on.settings["fine_tune"]["distillation"]["teacher"] == "averaged_weights"


def test_a_teacher_stands_in_the_fingerprint_by_its_files(opened, tiny_recipe):
    settings = ("tasks.mood.fine_tune.distillation.teacher=model", "tasks.mood.fine_tune.distillation.path=teacher")
    with pytest.raises(RequestError, match=r"tasks\.mood\.fine_tune\.distillation\.path .* lacks config\.json"):
        opened(*settings)
    folder = tiny_recipe.parent / "teacher"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "vocab.txt"):
        (folder / name).write_text(name, encoding="utf-8")
    first = opened(*settings).stages["fine_tune/mood"]
    assert "path" not in first.settings["fine_tune"]["distillation"]
    (folder / "model.safetensors").write_text("others", encoding="utf-8")
    changed = {
        name for name, digest in opened(*settings).stages["fine_tune/mood"].raw.items() if first.raw[name] != digest
    }
    assert changed == {"teacher/model.safetensors"}


START = Path(__file__).parents[2] / "models" / "start_zh"
GROWTH = "vocabulary.growth={corpora: [reviews], min_count: 2, max_entries: 5}"


def test_a_vocabulary_that_grows_is_made_from_the_starting_one_and_documents(opened):
    from bert_core.tokens.vocabulary_files import load_vocabulary

    plain, grown = opened(f"model.start={START}"), opened(f"model.start={START}", GROWTH)
    assert plain.stages["vocabulary"].parents == {}
    assert grown.stages["vocabulary"].parents == {"documents_reviews": "documents/reviews"}
    for stage in ("split/mood", "slices/reviews", "documents/reviews", "vocabulary"):
        counts = run_stage(grown, stage).counts
    own, entries = load_vocabulary(START), load_vocabulary(grown.outputs_of("vocabulary")[0].folder)
    assert entries[: len(own)] == own
    assert counts["new_entries"] == len(entries) - len(own) <= 5
    with pytest.raises(RecipeError, match=r"vocabulary.growth is set, but model.start is empty"):
        opened(GROWTH)


def test_triples_stand_in_the_fingerprint_by_their_file(opened, tiny_recipe):
    path = tiny_recipe.parent / "triples.tsv"
    path.write_text("北京\t是\t首都\n", encoding="utf-8")
    off = opened("tasks.mood.fine_tune.knowledge.max_triples=3").stages["fine_tune/mood"]
    assert off.settings == opened().stages["fine_tune/mood"].settings
    setting = f"tasks.mood.fine_tune.knowledge.triples={path}"
    first = opened(setting).stages["fine_tune/mood"]
    assert first.settings["fine_tune"]["knowledge"] == {"triples": "triples.tsv", "max_triples": 2}
    path.write_text("北京\t是\t城市\n", encoding="utf-8")
    second = opened(setting).stages["fine_tune/mood"]
    assert {name for name in first.raw if first.raw[name] != second.raw[name]} == {"triples/triples.tsv"}
