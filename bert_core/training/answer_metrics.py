"""Exact match and F1 of answers, as CMRC 2018 counts them and as SQuAD does.

| | exact match | F1 |
|---|---|---|
| cmrc | equal without case and punctuation | over the longest common run of characters and words |
| squad | equal without case, punctuation, articles and spacing | over the words that both have, in any order |

Both take the best over the answers that are right. In Chinese SQuAD's words are whole clauses, so its F1 says little
there; CMRC's units are single Han characters and, between them, Latin words and numbers (cut by a rule of our own that
agrees with the Treebank tokenizer of its script but for rare forms such as "don't"). A question without an answer is
right where none is given.

Not here: which answer a model gives (`answers.py`).

Sources: Cui et al. 2019 (CMRC 2018, arXiv:1810.07366), section 4.2, and the rules of its evaluation; Rajpurkar et al.
2016, 2018 (SQuAD 1.1, 2.0).
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

_CMRC_MARKS = str.maketrans("", "", "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
_WORD = r"[^\W_\u4e00-\u9fa5]"
_CMRC_UNITS = re.compile(
    r"[\u4e00-\u9fa5]"  # a Han character
    rf"|{_WORD}+(?:\.{_WORD}+|,\d{_WORD}*)*"  # a word or number; a full stop or comma inside a number belongs to it
    r"|'(?:s|m|d|ll|re|ve)\b|\S"
)
_SQUAD_MARKS = str.maketrans("", "", string.punctuation)
_SQUAD_ARTICLES = re.compile(r"\b(a|an|the)\b")


def answer_scores(
    gold: Sequence[Sequence[str]], predicted: Sequence[str], scoring: Literal["cmrc", "squad"]
) -> dict[str, Any]:
    """Score one answer for each question.

    Args:
        gold: answers that are right, none where the question has no answer.
        predicted: the answer given, empty for none.
        scoring: whose scores stand first.

    Returns:
        `num_examples`; `exact_match` and `f1` by `scoring`, 0 to 1; both again under `cmrc` and `squad`; and where some
        questions have no answer `answerable` and `unanswerable`, each with `num_examples`, `exact_match` and `f1`.
    """
    table = {name: question_scores(gold, predicted, name) for name in ("cmrc", "squad")}
    values = table[scoring]
    found: dict[str, Any] = {"num_examples": len(gold), **_means(values), "scoring": scoring}
    found |= {name: _means(part) for name, part in table.items()}
    has_answer = np.array([len(answers) > 0 for answers in gold], bool)
    if not has_answer.all():
        for name, rows in (("answerable", has_answer), ("unanswerable", ~has_answer)):
            found[name] = {"num_examples": int(rows.sum()), **_means(values[rows])}
    return found


def question_scores(
    gold: Sequence[Sequence[str]], predicted: Sequence[str], scoring: Literal["cmrc", "squad"]
) -> np.ndarray:
    """Return exact match (0 or 1) and F1 of each question, float64 shape (num_questions, 2)."""
    exact, f1 = (_cmrc_exact, _cmrc_f1) if scoring == "cmrc" else (_squad_exact, _squad_f1)
    values = [
        (_best(exact, answers, one), _best(f1, answers, one)) for answers, one in zip(gold, predicted, strict=True)
    ]
    return np.array(values, np.float64).reshape(-1, 2)


def cmrc_units(answer: str) -> list[str]:
    """Cut an answer into the units that CMRC 2018 compares: Han characters, and words and numbers between them.

    Example: `"《Dota 2》是2.5版！"` -> `["dota", "2", "是", "2.5", "版"]`.
    """
    return _CMRC_UNITS.findall(_cmrc_text(answer))


def longest_common_run(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest run of units that stands in both.

    Example: `"江南水乡"` and `"在江南乡"` -> 2.
    """
    code = {unit: number for number, unit in enumerate(dict.fromkeys([*first, *second]))}
    units = np.array([code[unit] for unit in second], np.int64)
    runs, longest = np.zeros(len(units) + 1, np.int64), 0  # runs[j]: common run that ends before unit j of the second
    for unit in first:
        runs[1:] = np.where(units == code[unit], runs[:-1] + 1, 0)
        longest = max(longest, int(runs.max()))
    return longest


def _best(score: Callable[[str, str], float], answers: Sequence[str], predicted: str) -> float:
    if not answers:
        return float(not predicted)
    return max(score(answer, predicted) for answer in answers)


def _cmrc_exact(gold: str, predicted: str) -> float:
    return float(_cmrc_text(gold) == _cmrc_text(predicted))


def _cmrc_text(answer: str) -> str:
    return answer.lower().strip().translate(_CMRC_MARKS)


def _cmrc_f1(gold: str, predicted: str) -> float:
    true, said = cmrc_units(gold), cmrc_units(predicted)
    return _f1(longest_common_run(true, said), len(true), len(said))


def _squad_exact(gold: str, predicted: str) -> float:
    return float(_squad_words(gold) == _squad_words(predicted))


def _squad_f1(gold: str, predicted: str) -> float:
    true, said = _squad_words(gold), _squad_words(predicted)
    if not true or not said:
        return float(true == said)
    return _f1((Counter(true) & Counter(said)).total(), len(true), len(said))


def _squad_words(answer: str) -> list[str]:
    return _SQUAD_ARTICLES.sub(" ", answer.lower().translate(_SQUAD_MARKS)).split()


def _f1(num_common: int, num_true: int, num_said: int) -> float:
    return 2 * num_common / (num_true + num_said) if num_common else 0.0


def _means(values: np.ndarray) -> dict[str, float]:
    exact, f1 = values.mean(axis=0).tolist() if len(values) else (0.0, 0.0)
    return {"exact_match": exact, "f1": f1}
