"""How the tasks of a run came out: scores beside references, confusion, and the worst errors.

Reads counts of fine-tuning manifests, and `predictions.jsonl` of the run's own models (one line a test text, written by
`training/scoring.py`). Only the worst errors are kept in memory, however long the file is.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from heapq import nsmallest
from pathlib import Path
from typing import Any

from bert_core.report.scores import score_rows
from bert_core.report.view import ClassScore, Entity, TaskView, WrongAnswer
from bert_core.store.manifest import Manifest

NUM_WRONG_ANSWERS = 40
"""Worst errors shown for each task."""
_CONTEXT_CHARACTERS = 60
_NO_ANSWER = "(no answer)"


def task_views(outputs: Mapping[str, tuple[Path, Manifest]]) -> Iterator[TaskView]:
    """Yield how each task came out.

    Args:
        outputs: folder and manifest by stage id.
    """
    rows = score_rows([manifest for _, manifest in outputs.values()])
    for task in dict.fromkeys(row.task for row in rows):
        folder, manifest = outputs.get(f"fine_tune/{task}", (None, None))
        test = (manifest.counts.get("test") if manifest else None) or {}
        labels = _labels(folder, manifest)
        by_class = test.get("by_label") or test.get("by_type") or {}
        names = [name for name in labels if name in by_class] or list(by_class)
        confusion = test.get("confusion_matrix") or []
        if len(labels) != len(confusion):
            labels = [f"class {index}" for index in range(len(confusion))]
        num_predictions, num_wrong, wrong = _wrong_answers(folder)
        yield TaskView(
            name=task,
            scores=tuple(row for row in rows if row.task == task),
            classes=tuple(
                ClassScore(
                    name=name,
                    precision=by_class[name].get("precision"),
                    recall=by_class[name].get("recall"),
                    f1=by_class[name].get("f1"),
                    support=by_class[name].get("support"),
                )
                for name in names
            ),
            labels=tuple(labels),
            confusion=tuple(tuple(int(cell) for cell in cells) for cells in confusion),
            num_wrong=num_wrong,
            num_predictions=num_predictions,
            wrong=tuple(wrong),
        )


def _labels(folder: Path | None, manifest: Manifest | None) -> list[str]:
    """Find the names of the classes, in the order of their indices."""
    settings = manifest.spec.get("settings") if manifest else None
    if isinstance(settings, Mapping) and isinstance(settings.get("labels"), list):
        return [str(label) for label in settings["labels"]]
    if folder is not None and (folder / "scores.json").is_file():
        return [str(label) for label in json.loads((folder / "scores.json").read_text(encoding="utf-8"))["labels"]]
    return []


def _wrong_answers(folder: Path | None) -> tuple[int, int, list[WrongAnswer]]:
    """Read predictions: how many, how many wrong, and the wrong ones that gave the truth the least probability."""
    path = folder / "predictions.jsonl" if folder else None
    if path is None or not path.is_file():
        return 0, 0, []
    num_lines = 0
    wrong: list[tuple[float, int, dict[str, Any]]] = []
    with path.open(encoding="utf-8") as file:
        for number, text in enumerate(file):
            line = json.loads(text)
            num_lines += 1
            if not line.get("exact_match", line.get("gold") == line.get("predicted")):
                wrong.append((float(line.get("gold_probability") or 0.0), number, line))
    worst = nsmallest(NUM_WRONG_ANSWERS, wrong, key=lambda item: item[:2])
    return num_lines, len(wrong), [_wrong_answer(line) for _, _, line in worst]


def _wrong_answer(line: Mapping[str, Any]) -> WrongAnswer:
    gold, predicted = line.get("gold"), line.get("predicted")
    is_entities = isinstance(gold, list)
    if "exact_match" in line:
        line = {**line, "text_pair": _around(str(line.get("text_pair")), int(line["start"]), int(line["end"]))}
        gold, predicted = gold or _NO_ANSWER, predicted or _NO_ANSWER
    return WrongAnswer(
        text=" | ".join(str(line[key]) for key in ("text", "text_pair") if line.get(key) is not None),
        gold="" if is_entities else str(gold),
        predicted="" if is_entities else str(predicted),
        probability=line.get("probability"),
        gold_probability=line.get("gold_probability"),
        entities=_compared(gold, line.get("predicted") or []) if isinstance(gold, list) else (),
    )


def _around(context: str, start: int, end: int) -> str:
    """Cut a context to the neighbourhood of the answer that was given, or to its head where none was."""
    first, stop = max(0, start - _CONTEXT_CHARACTERS), max(end, 0) + _CONTEXT_CHARACTERS
    return ("…" if first else "") + context[first:stop] + ("…" if stop < len(context) else "")


def _compared(gold: Sequence[Mapping[str, Any]], predicted: Sequence[Mapping[str, Any]]) -> tuple[Entity, ...]:
    """Lay true and predicted entities beside each other, in the order of the text."""
    verdicts: dict[tuple[int, int, str], tuple[str, str]] = {}
    for verdict, entities in (("missed", gold), ("wrong", predicted)):
        for entity in entities:
            place = (int(entity["start"]), int(entity["end"]), str(entity["type"]))
            verdicts[place] = (str(entity["text"]), "right" if place in verdicts else verdict)
    return tuple(
        Entity(text=text, type=place[2], verdict=verdict) for place, (text, verdict) in sorted(verdicts.items())
    )
