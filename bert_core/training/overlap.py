"""The reference of extractive question answering that reads without understanding: the sentence that shares most.

Of the sentences of the context the one is the answer that holds most of the question's distinct character pairs, the
first of equals. Nothing is trained. A model that does not beat it has learned nothing about answers.

Not here: scores (`answer_metrics.py`).

Source: the sliding-window baseline of Richardson, Burges and Renshaw 2013 (MCTest), by sentences instead of windows.
"""

from pathlib import Path
from typing import Any

import numpy as np

from bert_core.config import TaskConfig
from bert_core.corpus.clean import normalise
from bert_core.corpus.sentences import split_sentences
from bert_core.training.answer_metrics import answer_scores, question_scores
from bert_core.training.labelled_batches import LabelledExamples, read_labelled, record_order
from bert_core.training.scoring import write_predictions, write_scores


def run_overlap(labelled_folder: Path, task: TaskConfig, folder: Path) -> dict[str, Any]:
    """Answer every question of dev and test with a sentence.

    Args:
        labelled_folder: `train`, `dev` and `test` shards of labelled examples.
        task: for `fine_tune.answers.scoring`.
        folder: where `scores.json` and `predictions.jsonl` go; must exist.

    Returns:
        Counts: `num_train_examples`, which is 0, `dev` and `test` scores.
    """
    scoring = task.fine_tune.answers.scoring
    dev, test = (_answered(read_labelled(labelled_folder, split)) for split in ("dev", "test"))
    scores = {
        name: answer_scores([line["answers"] for line in lines], [line["predicted"] for line in lines], scoring)
        for name, lines in (("dev", dev), ("test", test))
    }
    write_scores(folder, task.family, task.labels, **scores)
    write_predictions(folder, (_readable(line, scoring) for line in test))
    return {"num_train_examples": 0, **scores}


def sentence_that_shares_most(question: str, context: str) -> tuple[int, int]:
    """Return the characters of the sentence of a context that shares most with a question.

    Example: `"谁住江南？"` about `"张伟在京。李芳住江南。"` -> (5, 11), "李芳住江南。", which has "住江" and "江南".
    """
    wanted = _pairs(question)
    best, most, start = (0, 0), -1, 0
    for sentence in split_sentences(context):
        shared = len(wanted & _pairs(sentence))
        if shared > most:
            best, most = (start, start + len(sentence.rstrip())), shared
        start += len(sentence)
    return best


def _pairs(text: str) -> set[str]:
    letters = normalise(text)
    return {letters[place : place + 2] for place in range(len(letters) - 1)}


def _answered(examples: LabelledExamples) -> list[dict[str, Any]]:
    """Answer each question of a split once, however many windows it has."""
    assert examples.questions is not None, "examples of questions"
    lines = []
    for row in np.unique(record_order(examples.record_ids), return_index=True)[1].tolist():
        question, context = examples.texts[row].as_py(), examples.texts_pair[row].as_py()
        start, end = sentence_that_shares_most(question, context)
        lines.append(
            {
                "record_id": f"{int(examples.record_ids[row]):016x}",
                "key": examples.questions.keys[row],
                "text": question,
                "text_pair": context,
                "answers": examples.questions.answers[row],
                "predicted": context[start:end],
                "start": start,
                "end": end,
            }
        )
    return lines


def _readable(line: dict[str, Any], scoring: Any) -> dict[str, Any]:
    ((exact, f1),) = question_scores([line["answers"]], [line["predicted"]], scoring).tolist()
    answers = line.pop("answers")
    return {**line, "gold": " / ".join(dict.fromkeys(answers)), "exact_match": exact, "f1": round(f1, 6)}
