"""A family whose files can be read but that no head is trained on is refused before anything runs."""

import pytest

from bert_core.config import CorpusConfig, Recipe, TaskConfig, TaskSource
from bert_core.errors import RecipeError
from bert_core.stages.graph import build_graph


def test_a_family_without_a_head_is_refused_when_the_run_is_planned(tmp_path):
    (tmp_path / "a.txt").write_text("甲乙丙。\n", encoding="utf-8")
    (tmp_path / "a.json").write_text("{}", encoding="utf-8")
    task = TaskConfig(family="extractive_qa", sources=[TaskSource(path="a.json")])
    recipe = Recipe(name="x", corpora={"c": CorpusConfig(paths=["a.txt"])}, tasks={"same": task})
    with pytest.raises(RecipeError, match=r"tasks\.same\.family is 'extractive_qa': .* no head is trained on it"):
        build_graph(recipe, tmp_path)
