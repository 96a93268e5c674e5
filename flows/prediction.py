"""`bertline predict`: a fine-tuned model over a text, a file of texts, or standard input.

The model is a folder, or `RECIPE:TASK` for the one that a recipe built. What a model says of a text is the matter of
`bert_core/training/predict.py`.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from bert_core.errors import RequestError
from bert_core.stages.line import LineRequest, open_line
from flows.terminal import plain, wide_console

TEXTS_AT_ONCE = 256
_FILE_NAME_CHARACTERS = 255
_OF_TWO = {
    "sentence_pair": ("compares two texts", "both"),
    "extractive_qa": ("answers a question from a context", "question and context"),
}


def print_predictions(model: str, source: str, *, overrides: tuple[str, ...], json_lines: bool) -> None:
    """Predict each text of a source and print a line for it, in order.

    Args:
        model: a model's folder, or `RECIPE:TASK`.
        source: a text, a file with one text a line, or `-` for standard input.
        overrides: settings of the recipe replaced, `a.b=value` each.
        json_lines: one JSON object for each text instead of a line for people.

    Raises:
        RequestError: no such model, or nothing to read.
    """
    folder = _model_folder(model, overrides)
    texts = _texts(source)
    from bert_core.training.predict import Predictor

    predictor, console = Predictor.load(folder), wide_console()
    num_texts, batch = 0, []
    for text in texts:
        batch.append(text)
        if len(batch) == TEXTS_AT_ONCE:
            num_texts += _print_batch(_predicted(predictor, batch), json_lines, console)
            batch = []
    num_texts += _print_batch(_predicted(predictor, batch), json_lines, console)
    if not num_texts:
        raise RequestError(f"{source!r} holds no text; expected at least one line that is not empty")


def _predicted(predictor: Any, lines: list[str]) -> list[dict[str, Any]]:
    """Predict lines: texts, or two with a tab between them for a model of pairs, or of questions and contexts."""
    if predictor.family not in _OF_TWO:
        return predictor.predict(lines)
    does, both = _OF_TWO[predictor.family]
    pairs = [tuple(line.split("\t")) for line in lines]
    wrong = next((line for line, pair in zip(lines, pairs, strict=True) if len(pair) != 2), None)
    if wrong is not None:
        raise RequestError(f"{wrong!r} is no pair; this model {does}: write {both} with a tab between them")
    if predictor.family == "extractive_qa":
        return predictor.predict_answers(pairs)
    return predictor.predict_pairs(pairs)


def _print_batch(predictions: list[dict[str, Any]], json_lines: bool, console: Console) -> int:
    for prediction in predictions:
        if json_lines:
            sys.stdout.write(json.dumps(prediction, ensure_ascii=False) + "\n")
        else:
            console.print(plain(describe_prediction(prediction)), soft_wrap=True)
    sys.stdout.flush()
    return len(predictions)


def describe_prediction(prediction: dict[str, Any]) -> str:
    """Word a prediction on one line.

    Example: `positive  0.970  很好`, or `张伟在京  张伟/nr 京/ns`, or `张伟  0.800  谁在京？`.
    """
    text = prediction["text"]
    if "answer" in prediction:
        return f"{prediction['answer'] or '(no answer)'}  {prediction['probability']:.3f}  {text}"
    if "text_pair" in prediction:
        text = f"{text} | {prediction['text_pair']}"
    if "label" in prediction:
        return f"{prediction['label']}  {prediction['probability']:.3f}  {text}"
    entities = " ".join(f"{entity['text']}/{entity['type']}" for entity in prediction["entities"])
    return f"{text}  {entities or '(no entity)'}"


def _model_folder(model: str, overrides: tuple[str, ...]) -> Path:
    """Find the folder that is named, or that a recipe's task was fine-tuned into."""
    if Path(model).is_dir():
        return Path(model)
    recipe, colon, task = model.rpartition(":")
    if not colon or not recipe:
        raise RequestError(f"model {model!r} is no folder; expected the folder of a fine-tuned model, or RECIPE:TASK")
    line = open_line(LineRequest(recipe=recipe, overrides=overrides))
    if task not in line.recipe.tasks:
        known = ", ".join(line.recipe.tasks) or "none"
        raise RequestError(f"recipe {recipe!r} has no task {task!r}; its tasks are {known}")
    (output,) = line.outputs_of(f"fine_tune/{task}")
    return output.folder


def _texts(source: str) -> Iterator[str]:
    """Yield the texts of a source; empty lines are passed over."""
    if source == "-":
        lines = iter(sys.stdin)
    elif len(source.encode()) <= _FILE_NAME_CHARACTERS and "\n" not in source and Path(source).is_file():
        try:
            lines = iter(Path(source).read_text(encoding="utf-8-sig").splitlines())
        except UnicodeDecodeError as error:
            raise RequestError(f"{source!r} is not UTF-8 at byte {error.start}; convert it first") from None
    elif not source.strip():
        raise RequestError("the text is empty; give a text, a file, or - for standard input")
    else:
        lines = iter([source])
    return (line.strip("\r\n") for line in lines if line.strip())
