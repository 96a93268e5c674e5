"""A recipe is refused with all its faults at once, each with file and line."""

from pathlib import Path

import pytest

from bert_core.config import Recipe, load_recipe
from bert_core.errors import RecipeError

GOOD = """\
name: small
corpora:
  general:
    paths: [a.txt]
pretrain:
  corpus: general
  steps: 10
  optimization: {learning_rate: 1.0e-3}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "r.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_good_recipe_is_read_with_its_defaults(tmp_path):
    recipe = load_recipe(write(tmp_path, GOOD))
    assert recipe.pretrain is not None
    assert recipe.pretrain.optimization.learning_rate == 1e-3
    assert recipe.pretrain.masking.mlm_probability == 0.15
    assert list(recipe.transfers()) == ["pretrain"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param(
            "steps: 10", "stepz: 10", r"r\.yaml:7: pretrain\.stepz: unknown key; did you mean 'steps'\?", id="near"
        ),
        pytest.param("name: small", "name: small\nqqqq: 1", r"r\.yaml:2: qqqq: unknown key; known keys are", id="far"),
        pytest.param(
            "steps: 10", "steps: 0", r"r\.yaml:7: pretrain\.steps: .*greater than or equal to 1, got 0", id="range"
        ),
        pytest.param("steps: 10", "steps: '10'", r"r\.yaml:7: pretrain\.steps: .*valid integer, got '10'", id="kind"),
        pytest.param("corpus: general", "corpus: other", r"pretrain\.corpus is 'other', not among corpora", id="name"),
        pytest.param("name: small\n", "", r"r\.yaml:1: name: missing", id="missing"),
        pytest.param("steps: 10", "steps: 10\n  steps: 11", r"r\.yaml:8: pretrain\.steps: given twice", id="twice"),
        pytest.param("name: small", "name: [small", r"r\.yaml:\d+: .*expected", id="no yaml"),
        pytest.param(
            "{learning_rate: 1.0e-3}",
            "{learning_rat: 1}",
            r"r\.yaml:8: pretrain\.optimization\.learning_rat: unknown key; did you mean 'learning_rate'",
            id="nested",
        ),
        pytest.param(
            "paths: [a.txt]",
            "path: [a.txt]",
            r"corpora\.general\.path: unknown key; did you mean 'paths'",
            id="mapping",
        ),
    ],
)
def test_a_fault_is_named_with_its_line_and_remedy(tmp_path, old, new, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(tmp_path, GOOD.replace(old, new)))


def test_all_faults_are_reported_together(tmp_path):
    text = GOOD.replace("steps: 10", "steps: -1").replace("name: small", "name: Small Name")
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(tmp_path, text))
    assert "pretrain.steps" in str(caught.value)
    assert "name" in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_missing_recipe_says_how_to_get_one(tmp_path):
    with pytest.raises(RecipeError, match=r"does not exist; `bertline init` writes one"):
        load_recipe(tmp_path / "none.yaml")


def test_overrides_replace_single_settings(tmp_path):
    recipe = load_recipe(write(tmp_path, GOOD), ["pretrain.steps=99", "seed=7", "corpora.general.paths.0=b.txt"])
    assert recipe.pretrain is not None
    assert (recipe.pretrain.steps, recipe.seed, recipe.corpora["general"].paths) == (99, 7, ["b.txt"])


@pytest.mark.parametrize("override", ["steps", "=1", "name.x=1", "pretrain.steps=[1"])
def test_an_override_that_cannot_be_applied_is_refused(tmp_path, override):
    with pytest.raises(RecipeError, match="setting"):
        load_recipe(write(tmp_path, GOOD), [override])


def test_every_field_of_a_recipe_is_described():
    schema = Recipe.model_json_schema()
    parts = [schema, *schema["$defs"].values()]
    missing = [
        f"{part['title']}.{name}"
        for part in parts
        for name, field in part.get("properties", {}).items()
        if not field.get("description")
    ]
    assert missing == []


def test_task_transfer_reads_tasks_and_not_a_corpus(tmp_path):
    text = GOOD + "task_transfer:\n  corpus: general\n"
    with pytest.raises(RecipeError, match=r"task_transfer\.corpus is set.*task_transfer\.tasks is empty"):
        load_recipe(write(tmp_path, text))


def test_a_label_of_a_file_must_be_among_the_labels(tmp_path):
    text = GOOD + (
        "tasks:\n  mood:\n    family: single_sentence\n    labels: [good, bad]\n"
        "    sources: [{path: x.txt, format: txt_line, label: goof}]\n"
    )
    with pytest.raises(RecipeError, match=r"label 'goof' of x\.txt is not among labels \['good', 'bad'\]"):
        load_recipe(write(tmp_path, text))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("{crf: true}", r"fine_tune\.crf and fine_tune\.tags are for sequence_labelling"),
        ("{tags: bioes}", r"fine_tune\.crf and fine_tune\.tags are for sequence_labelling"),
        ("{patience_epochs: 1, keep_best_on_dev: false}", "needs keep_best_on_dev: true"),
        ("{answers: {num_best: 5}}", r"fine_tune\.answers is for extractive_qa, not for single_sentence"),
    ],
)
def test_a_setting_of_another_family_is_refused(tmp_path, settings, message):
    text = GOOD + (
        "tasks:\n  mood:\n    family: single_sentence\n    labels: [good, bad]\n"
        f"    sources: [{{path: x.tsv}}]\n    fine_tune: {settings}\n"
    )
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(tmp_path, text))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("compare: [tfidf]", "compare has tfidf, which gives a class and does not fit extractive_qa"),
        ("labels: [a]", "expected none: the answers of extractive_qa are its labels"),
        (
            "fine_tune: {max_tokens: 64, answers: {stride_tokens: 40}}",
            "leaves -3 tokens of context beside 64 of the question and 3 special ones, expected at least 40",
        ),
        (
            "fine_tune: {answers: {stride_tokens: 62}}",
            "leaves 61 tokens of context beside 64 of the question and 3 special ones, expected at least 62",
        ),
    ],
)
def test_settings_that_no_question_can_be_answered_with_are_refused(tmp_path, settings, message):
    text = GOOD + f"tasks:\n  asked:\n    family: extractive_qa\n    sources: [{{path: x.json}}]\n    {settings}\n"
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(tmp_path, text))
    load_recipe(write(tmp_path, text.replace(f"    {settings}\n", "    compare: [overlap]\n")))
