"""The family of questions from records to predictions: an answer is the name that follows the character asked about."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_core.config import FineTuneConfig, ModelConfig, OptimizationConfig, TaskConfig, TaskSource
from bert_core.config.tasks import AnswersConfig
from bert_core.errors import RequestError, TaskDataError
from bert_core.examples.labelled import build_labelled
from bert_core.model.heads import load_fine_tuned
from bert_core.randomness import key_of
from bert_core.store.schemas import RECORDS
from bert_core.store.shards import read_shards, write_shards
from bert_core.training.answers import (
    SpanPredictions,
    best_threshold,
    fitted_threshold,
    merge_windows,
    readable_answers,
    score_answers,
)
from bert_core.training.fine_tune_job import FineTuneJob
from bert_core.training.fine_tuning import run_fine_tune
from bert_core.training.labelled_batches import LabelledExamples, QuestionColumns
from bert_core.training.overlap import run_overlap, sentence_that_shares_most
from bert_core.training.predict import Predictor

TASK = TaskConfig(
    family="extractive_qa",
    sources=[TaskSource(path="x.json")],
    compare=[],
    fine_tune=FineTuneConfig(
        epochs=10, batch_examples=8, max_tokens=32,
        optimization=OptimizationConfig(learning_rate=3e-3, warmup_fraction=0.1),
        answers=AnswersConfig(max_question_tokens=4, stride_tokens=12, max_answer_tokens=4, num_best=5),
    ),
)  # fmt: skip


def _write_records(folder: Path, unanswerable: bool) -> None:
    """The answer is one of 张王李 and one of 伟芳 in a context, or none where they are not there."""
    folder.mkdir()
    for name, num_rows, seed in (("train", 120, 1), ("dev", 32, 2), ("test", 32, 3)):
        generator = np.random.default_rng(seed)
        rows: dict[str, list] = {column: [] for column in RECORDS.names}
        for row in range(num_rows):
            plain = "".join(generator.choice(list("这个书店一的是"), generator.integers(4, 36)))
            answer = "".join([generator.choice(list("张王李")), generator.choice(list("伟芳"))])
            place = int(generator.integers(0, len(plain)))
            has_answer = not unanswerable or row % 3 != 0
            values = {
                "record_id": int(key_of(name, row)),
                "text": "了了",
                "text_pair": plain[:place] + answer * has_answer + plain[place:],
                "answer_starts": [place] if has_answer else [],
                "answer_texts": [answer] if has_answer else [],
                "key": f"{name}{row}",
                "file": "x",
                "line": row,
            }
            for column in rows:
                is_list = pa.types.is_list(RECORDS.field(column).type)
                rows[column].append(values.get(column, [] if is_list else None))
        write_shards(folder, name, RECORDS, [pa.table(rows, schema=RECORDS)])


def _train(vocabulary: Path, folder: Path, *, unanswerable: bool) -> dict:
    _write_records(folder / "split", unanswerable)
    (folder / "labelled").mkdir()
    (folder / "out").mkdir()
    counts = build_labelled(folder / "split", vocabulary, TASK, 5, folder / "labelled")
    assert counts["train"]["windowed"] > 0
    assert counts["train"]["lost_answers"] == 0
    sizes = ModelConfig(num_layers=2, hidden_size=32, num_heads=2, intermediate_size=64, max_positions=64)
    job = FineTuneJob(
        labelled_folder=folder / "labelled", vocabulary_folder=vocabulary, model=sizes, task=TASK, seed=5,
        output_folder=folder / "out", num_threads=1, precision="float32",
    )  # fmt: skip
    return run_fine_tune(job)


def _lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]


def test_answers_are_learned_and_predicted_as_they_were_scored(task_vocabulary, tmp_path, capsys):
    from flows.prediction import print_predictions

    counts = _train(task_vocabulary, tmp_path, unanswerable=False)
    assert counts["test"]["exact_match"] > 0.9
    lines = _lines(tmp_path / "out")
    assert [line["key"] for line in lines] == [f"test{row}" for row in range(32)]
    assert np.mean([line["exact_match"] for line in lines]) == counts["test"]["exact_match"]
    assert np.mean([line["f1"] for line in lines]) == pytest.approx(counts["test"]["f1"], abs=1e-5)
    for line in lines:
        assert line["predicted"] == line["text_pair"][line["start"] : line["end"]]
        assert line["best"][0]["text"] == line["predicted"]
        assert 0 <= line["gold_probability"] <= 1
        if line["exact_match"]:
            assert line["gold_probability"] == pytest.approx(line["probability"], abs=1e-5)
    predictor = Predictor.load(tmp_path / "out")
    found = predictor.predict_answers([(line["text"], line["text_pair"]) for line in lines])
    for line, prediction in zip(lines, found, strict=True):
        assert (prediction["answer"], prediction["start"], prediction["end"]) == (
            line["predicted"], line["start"], line["end"],
        )  # fmt: skip
        assert prediction["probability"] == pytest.approx(line["probability"], abs=1e-5)
    assert predictor.predict_answers([]) == []
    (cleaned,) = predictor.predict_answers([("了了", "　这个<b>书店</b>　 张伟是的\r\n")])
    assert cleaned["text_pair"] == "这个书店 张伟是的"
    assert (cleaned["answer"], cleaned["start"], cleaned["end"]) == ("张伟", 5, 7)

    (tmp_path / "questions.tsv").write_text("了了\t这个书店张伟是的\n", encoding="utf-8")
    print_predictions(str(tmp_path / "out"), str(tmp_path / "questions.tsv"), overrides=(), json_lines=False)
    assert capsys.readouterr().out.startswith("张伟  ")
    with pytest.raises(RequestError, match="answers a question from a context: write question and context with a tab"):
        print_predictions(str(tmp_path / "out"), "了了", overrides=(), json_lines=True)


def test_a_model_learns_when_a_context_holds_no_answer(task_vocabulary, tmp_path):
    counts = _train(task_vocabulary, tmp_path, unanswerable=True)
    assert counts["test"]["answerable"]["exact_match"] > 0.9
    assert counts["test"]["unanswerable"]["exact_match"] > 0.9
    assert load_fine_tuned(tmp_path / "out").answers.no_answer_threshold is not None
    lines = _lines(tmp_path / "out")
    declined = [line for line in lines if line["start"] == -1]
    assert declined
    assert {line["predicted"] for line in declined} == {""}
    predictor = Predictor.load(tmp_path / "out")
    found = predictor.predict_answers([(line["text"], line["text_pair"]) for line in lines])
    assert [one["answer"] for one in found] == [line["predicted"] for line in lines]


def test_a_saved_answerer_gives_the_same_logits_in_transformers(task_vocabulary, tmp_path):
    import torch
    from transformers import BertForQuestionAnswering

    _write_records(tmp_path / "split", False)
    (tmp_path / "labelled").mkdir()
    (tmp_path / "out").mkdir()
    build_labelled(tmp_path / "split", task_vocabulary, TASK, 5, tmp_path / "labelled")
    task = TASK.model_copy(update={"fine_tune": TASK.fine_tune.model_copy(update={"epochs": 1})})
    sizes = ModelConfig(num_layers=1, hidden_size=16, num_heads=2, intermediate_size=32, max_positions=64)
    run_fine_tune(
        FineTuneJob(
            labelled_folder=tmp_path / "labelled", vocabulary_folder=task_vocabulary, model=sizes, task=task, seed=5,
            output_folder=tmp_path / "out", num_threads=1, precision="float32",
        )
    )  # fmt: skip
    rows = read_shards(tmp_path / "labelled", "test")
    ids, length_a = rows["input_ids"][0].as_py(), rows["length_a"][0].as_py()
    tensors = torch.tensor([ids]), torch.tensor([[int(place >= length_a + 2) for place in range(len(ids))]])
    oracle = BertForQuestionAnswering.from_pretrained(tmp_path / "out").eval()
    theirs = oracle(input_ids=tensors[0], token_type_ids=tensors[1])
    ours = load_fine_tuned(tmp_path / "out").model(*tensors)
    torch.testing.assert_close(ours[..., 0], theirs.start_logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours[..., 1], theirs.end_logits, rtol=1e-4, atol=1e-5)


def _two_windows_and_one() -> tuple[LabelledExamples, SpanPredictions]:
    """Question 7 with two windows of one token a character, question 4 with one and without an answer."""
    contexts = ["甲乙丙丁甲", "甲乙丙丁甲", "戊己"]
    windows = [(0, 3), (2, 5), (0, 2)]
    sizes = [stop - start + 4 for start, stop in windows]  # [CLS] question [SEP] window [SEP], a question of 1 token
    chars = [[-1, 0, -1, *range(start, stop), -1] for start, stop in windows]
    starts = np.array([place for row in chars for place in row])
    examples = LabelledExamples(
        input_ids=np.zeros(sum(sizes), np.int64),
        offsets=np.concatenate([[0], np.cumsum(sizes)]),
        length_a=np.ones(3, np.int64),
        labels=np.array([[0, 0], [4, 5], [0, 0]]),
        token_labels=np.zeros(0, np.int64),
        char_starts=starts,
        char_ends=np.where(starts < 0, -1, starts + 1),
        record_ids=np.array([7, 7, 4], np.uint64),
        texts=pa.array(["问", "问", "谁"]),
        texts_pair=pa.array(contexts),
        questions=QuestionColumns(
            scored_starts=np.array([3, 4, 3]),
            scored_ends=np.array([6, 6, 5]),
            answers=[["丁甲"], ["丁甲"], []],
            keys=["a", "a", "b"],
        ),
    )
    spans = SpanPredictions(
        scores=np.array([[4.0, 1.0], [5.0, 3.0], [2.0, -np.inf]], np.float32),
        firsts=np.array([[3, 4], [4, 5], [3, 0]]),
        lasts=np.array([[3, 5], [5, 5], [4, 0]]),
        none_scores=np.array([6.0, 4.5, 3.0], np.float32),
        gold_scores=np.array([-np.inf, 5.0, -np.inf], np.float32),
        losses=np.zeros(3, np.float32),
    )
    return examples, spans


def test_windows_of_a_question_compete_and_equal_texts_add_up():
    examples, spans = _two_windows_and_one()
    answers = merge_windows(examples.record_ids, spans)
    assert answers.rows.tolist() == [0, 2]
    assert answers.none_scores.tolist() == [4.5, 3.0]  # the lowest over the windows
    assert answers.best_scores.tolist() == [5.0, 2.0]
    first, second = readable_answers(examples, spans, answers, None, num_best=3)
    powers = np.exp([5.0, 4.0, 3.0, 1.0])
    shares = (powers / powers.sum()).round(6).tolist()
    assert first["best"] == [
        {"text": "丁甲", "start": 3, "end": 5, "probability": shares[0]},
        # 甲 stands at the end of the context, too: its probability is that of both places.
        {"text": "甲", "start": 0, "end": 1, "probability": pytest.approx(shares[1] + shares[2], abs=2e-6)},
        {"text": "乙丙", "start": 1, "end": 3, "probability": shares[3]},
    ]
    assert (first["answer"], first["start"], first["end"], first["probability"]) == ("丁甲", 3, 5, shares[0])
    assert second["answer"] == "戊己"
    assert score_answers(examples, spans, answers, None, "cmrc")["exact_match"] == 0.5


def test_none_is_given_where_its_score_exceeds_the_best_by_the_threshold():
    examples, spans = _two_windows_and_one()
    answers = merge_windows(examples.record_ids, spans)
    # None less best is -0.5 for the first question, 1 for the second, which has no answer.
    assert fitted_threshold(examples, spans, answers, "cmrc") == -0.5
    for threshold, expected in ((-1.0, ["", ""]), (-0.5, ["丁甲", ""]), (1.0, ["丁甲", "戊己"])):
        lines = readable_answers(examples, spans, answers, threshold, num_best=3)
        assert [line["answer"] for line in lines] == expected
    assert score_answers(examples, spans, answers, -0.5, "cmrc")["exact_match"] == 1.0
    declined = readable_answers(examples, spans, answers, -1.0, num_best=3)[1]
    assert (declined["start"], declined["end"]) == (-1, -1)
    assert declined["probability"] == pytest.approx(np.exp(3) / (np.exp(3) + np.exp(2)), abs=1e-6)


@given(
    st.lists(
        st.tuples(st.integers(-3, 3), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 1.0])),
        min_size=1,
        max_size=12,
    )
)
def test_the_best_threshold_is_that_of_a_search_through_all(rows):
    margins, answered, declined = (np.array(part, float) for part in zip(*rows, strict=True))

    def total(threshold: float) -> float:
        return float(np.where(margins > threshold, declined, answered).sum())

    found = best_threshold(margins, answered, declined)
    candidates = [margins.min() - 1.0, *margins]
    assert total(found) == max(map(total, candidates))
    assert found == min(one for one in candidates if total(one) == total(found))


def test_examples_of_another_family_are_refused(task_vocabulary, sentiment_folder, tmp_path):
    job = FineTuneJob(
        labelled_folder=sentiment_folder, vocabulary_folder=task_vocabulary, model=ModelConfig(), task=TASK, seed=5,
        output_folder=tmp_path, num_threads=1, precision="float32",
    )  # fmt: skip
    with pytest.raises(TaskDataError, match="not those of family 'extractive_qa'"):
        run_fine_tune(job)


def test_the_sentence_that_shares_most_is_a_reference(task_vocabulary, tmp_path):
    assert sentence_that_shares_most("谁住江南？", "张伟在京。李芳住江南。") == (5, 11)
    assert sentence_that_shares_most("谁？", "张伟在京。李芳住江南。") == (0, 5)
    assert sentence_that_shares_most("谁？", "") == (0, 0)
    _write_records(tmp_path / "split", False)
    (tmp_path / "labelled").mkdir()
    build_labelled(tmp_path / "split", task_vocabulary, TASK, 5, tmp_path / "labelled")
    counts = run_overlap(tmp_path / "labelled", TASK, tmp_path)
    lines = _lines(tmp_path)
    assert counts["test"]["num_examples"] == len(lines) == 32
    assert [line["predicted"] for line in lines] == [line["text_pair"] for line in lines]  # each context is a sentence
    assert counts["test"]["f1"] == pytest.approx(np.mean([2 * 2 / (2 + len(line["text_pair"])) for line in lines]))
    assert json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))["main_score"] == "f1"
