"""A family whose files can be read but that no head is trained on is refused before anything runs."""

import pytest

from bert_core.config import CorpusConfig, Recipe, TaskConfig, TaskSource
from bert_core.errors import RecipeError
from bert_core.stages.graph import build_graph


def test_a_family_without_a_head_is_refused_when_the_run_is_planned(tmp_path):
    (tmp_path / "a.txt").write_text("甲乙丙。\n", encoding="utf-8")
    (tmp_path / "a.tsv").write_text("text\ttext_pair\tlabel\n甲\t乙\t1\n", encoding="utf-8")
    task = TaskConfig(family="sentence_pair", labels=["0", "1"], sources=[TaskSource(path="a.tsv")])
    recipe = Recipe(name="x", corpora={"c": CorpusConfig(paths=["a.txt"])}, tasks={"same": task})
    with pytest.raises(RecipeError, match=r"tasks\.same\.family is 'sentence_pair': .* no head is trained on it"):
        build_graph(recipe, tmp_path)
