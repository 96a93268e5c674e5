"""What the stages of a family read of the recipe, and which references stand beside its models."""

from bert_core.config import CorpusConfig, FineTuneConfig, Recipe, TaskConfig, TaskSource
from bert_core.config.tasks import AnswersConfig
from bert_core.stages.graph import build_graph


def _graph(tmp_path, **answers):
    (tmp_path / "a.txt").write_text("甲乙丙。\n", encoding="utf-8")
    (tmp_path / "a.json").write_text("{}", encoding="utf-8")
    task = TaskConfig(
        family="extractive_qa",
        sources=[TaskSource(path="a.json")],
        compare=["random", "overlap"],
        fine_tune=FineTuneConfig(answers=AnswersConfig(**answers)),
    )
    return build_graph(Recipe(name="x", corpora={"c": CorpusConfig(paths=["a.txt"])}, tasks={"asked": task}), tmp_path)


def test_questions_have_labelled_examples_a_model_and_the_overlap_beside_it(tmp_path):
    graph = _graph(tmp_path)
    assert graph["labelled/asked"].parents == {"split": "split/asked", "vocabulary": "vocabulary"}
    assert graph["fine_tune/asked"].parents["labelled"] == "labelled/asked"
    assert graph["fine_tune/asked/overlap"].kind == "overlap"
    assert graph["fine_tune/asked/overlap"].settings == {"scoring": "cmrc"}


def test_the_stride_rebuilds_examples_and_the_longest_answer_trains_alone(tmp_path):
    before = _graph(tmp_path)
    stride, longest = _graph(tmp_path, stride_tokens=20), _graph(tmp_path, max_answer_tokens=9)
    assert stride["labelled/asked"].settings != before["labelled/asked"].settings
    assert longest["labelled/asked"].settings == before["labelled/asked"].settings
    assert longest["fine_tune/asked"].settings != before["fine_tune/asked"].settings
    assert longest["fine_tune/asked/overlap"].settings == before["fine_tune/asked/overlap"].settings
