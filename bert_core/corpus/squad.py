"""Questions with answers inside a context, from the nested form of SQuAD to one flat row a question.

    {"data": [{"paragraphs": [{"context": "...", "qas": [{"id": "...", "question": "...",
               "answers": [{"text": "...", "answer_start": 3}]}]}]}]}

becomes `{"id", "question", "context", "answers": {"text": [...], "answer_start": [...]}}`, the row that the datasets
library has for it too; files that are flat already (JSON lines) are read as they are. Answers whose offset does not
hold are moved to the nearest place where their text stands, and left out where it stands nowhere. A question whose
list of answers is empty in the file is unanswerable, as in SQuAD 2.0; one that loses all of its answers is a fault.

Sources: Rajpurkar et al. 2016, 2018 (SQuAD 1.1, 2.0). Offsets count characters (code points), from 0.
"""

from collections.abc import Iterator
from typing import Any

from bert_core.corpus.json_values import JsonText, Value

Answer = tuple[int, str]
"""First character in the context, and the text there."""


def question_rows(document: JsonText) -> Iterator[Value]:
    """Yield one flat row for each question of a file; rows that are flat already pass as they are."""
    position = 0
    for value in document.objects():
        if value.values is None or not isinstance(value.values.get("data"), list):
            yield value
            continue
        for fault, row in _flat(value.values["data"]):
            # The place of a question inside one large object is that of its id.
            found = document.text.find(f'"{row.get("id")}"', position)
            position = max(position, found)
            line = document.line_at(found) if found >= 0 else document.line_at(position)
            excerpt = str(row)[:200] if fault else ""
            yield Value(line.number, line.byte_offset, None if fault else row, fault, excerpt)


def _flat(articles: list[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for article in articles:
        paragraphs = article.get("paragraphs") if isinstance(article, dict) else None
        if not isinstance(paragraphs, list):
            yield "not_squad: an article without a list of paragraphs", {}
            continue
        for paragraph in paragraphs:
            questions = paragraph.get("qas") if isinstance(paragraph, dict) else None
            if not isinstance(questions, list) or not isinstance(paragraph.get("context"), str):
                yield "not_squad: a paragraph without a context and a list of qas", {}
                continue
            for question in questions:
                if isinstance(question, dict):
                    yield "", {**question, "context": paragraph["context"]}
                else:
                    yield "not_squad: a question that is no object", {}


def answers_of(value: Any) -> list[Answer] | None:
    """Read the answers of a row in either form; None where they have neither.

    Example: `[{"text": "江南", "answer_start": 3}]` and `{"text": ["江南"], "answer_start": [3]}` -> `[(3, "江南")]`.
    """
    if isinstance(value, dict):
        texts, starts = value.get("text"), value.get("answer_start")
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            return None
        pairs = list(zip(starts, texts, strict=True))
    elif isinstance(value, list) and all(isinstance(answer, dict) for answer in value):
        pairs = [(answer.get("answer_start"), answer.get("text")) for answer in value]
    else:
        return None
    return pairs if all(type(start) is int and isinstance(text, str) for start, text in pairs) else None


def mend_answers(context: str, answers: list[Answer]) -> tuple[list[Answer], int, int]:
    """Move answers to where their text stands.

    Example: context `"雨水多，雨水"`, answers `[(3, "雨水"), (0, "晴")]` -> `([(4, "雨水")], 1, 1)`.

    Returns:
        The answers that stand in the context, how many were moved, and how many are left out.
    """
    kept: list[Answer] = []
    num_moved = num_lost = 0
    for start, text in answers:
        place = nearest(context, text, start)
        if place is None:
            num_lost += 1
            continue
        num_moved += place != start
        kept.append((place, text))
    return kept, num_moved, num_lost


def nearest(text: str, part: str, position: int) -> int | None:
    """Return where `part` stands nearest to a position (before it, of equals); None where it stands nowhere.

    Example: `nearest("雨水多，雨水", "雨水", 3) == 4`.
    """
    if not part:
        return None
    position = min(max(position, 0), len(text))
    before, behind = text.rfind(part, 0, position + len(part)), text.find(part, position)
    if before < 0 or behind < 0:
        return max(before, behind) if max(before, behind) >= 0 else None
    return before if position - before <= behind - position else behind
