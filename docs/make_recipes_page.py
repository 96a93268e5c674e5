"""Write docs/recipes.md: every setting of a recipe, from the models in bert_core/config/.

    python docs/make_recipes_page.py            writes the page
    python docs/make_recipes_page.py --check    exit code 1 where the page is not what the models say

The sentences are the docstrings of the fields, so a setting is described in one place. The page's own words (how a
recipe is read) stand here, in `INTRODUCTION`.
"""

import argparse
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from bert_core.config import Recipe

PAGE = Path(__file__).with_name("recipes.md")

INTRODUCTION = """\
<!-- Written by docs/make_recipes_page.py from bert_core/config/; change those files, then run the script. -->
# Settings of a recipe

A recipe is a YAML file. `bertline init` writes a commented one. Every setting but those marked *required* has a
default, and a setting that is left out has it. `recipes/demo.yaml` is a whole example.

- Paths are seen from the folder in which the command runs (on a worker: from the folder of the deployment).
- A key that is not known, given twice, or of the wrong kind is refused. The message names file, line and key, and the
  nearest key that is known.
- `--set a.b=value` replaces one setting of one run; the value is read as YAML; a number in the path picks an item of a
  list: `--set tasks.mood.sources.0.path=other.tsv`.
- A changed setting rebuilds the stages that read it and nothing else. `bertline plan` says which.

*Type* is what YAML must hold; *default* is written as YAML. A number may carry its bounds. *NAME* stands for a name of
your own: small letters, digits and `_`, a letter first, at most 40 characters.
"""

_TYPES: dict[Any, str] = {str: "text", int: "whole number", float: "number", bool: "true or false"}


def page() -> str:
    """Return the whole page."""
    parts = [INTRODUCTION]
    for place, model in _models():
        parts += [f"## {place}\n", f"{_first_paragraph(model)}\n", *_table(model)]
    return "\n".join(parts)


def _models() -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield every part of a recipe once, with the places where it may stand, outer parts first."""
    places: dict[type[BaseModel], list[str]] = {Recipe: ["The recipe itself"]}
    waiting: list[tuple[type[BaseModel], str]] = [(Recipe, "")]
    while waiting:
        model, prefix = waiting.pop(0)
        for name, field in model.model_fields.items():
            inner = _inner_model(field.annotation)
            if inner is None:
                continue
            place = f"{prefix}{name}{_suffix(field.annotation)}"
            waiting.append((inner, f"{place}."))
            places.setdefault(inner, []).append(f"`{place}`")
    for model, where in places.items():
        yield ", ".join(where), model


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = [_inner_model(argument) for argument in get_args(annotation)]
    return next((model for model in found if model is not None), None)


def _suffix(annotation: Any) -> str:
    """`.NAME` for a mapping, `[]` for a list."""
    return {dict: ".NAME", list: "[]"}.get(get_origin(annotation), "")  # type: ignore[arg-type]


def _first_paragraph(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split("\n\n")[0].split())


def _table(model: type[BaseModel]) -> Iterator[str]:
    yield "| setting | type | default | what it says |"
    yield "| :-- | :-- | :-- | :-- |"
    for name, field in model.model_fields.items():
        description = " ".join((field.description or "").split()).replace("|", "\\|")
        yield f"| `{name}` | {_type(field.annotation)}{_bounds(field)} | {_default(field)} | {description} |"
    yield ""


def _type(annotation: Any) -> str:
    """Say in words what YAML must hold."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _TYPES:
        return _TYPES[annotation]
    if origin is Literal:
        return " \\| ".join(f"`{value}`" for value in arguments)
    if origin is list:
        return f"list of {_plural(_type(arguments[0]))}"
    if origin is dict:
        return f"mapping of NAME to {_type(arguments[1])}"
    if origin in (Union, types.UnionType):
        kinds = [_type(argument) for argument in arguments if argument is not type(None)]
        return f"{' or '.join(kinds)}, or empty"
    if origin is not None and arguments:  # Annotated
        return _type(arguments[0])
    return "part, see below"


def _plural(kind: str) -> str:
    return {"text": "texts", "part, see below": "parts, see below"}.get(kind, kind)


def _bounds(field: FieldInfo) -> str:
    """Return the bounds of a number or of a list's length, such as `, 0 to 1`; empty where there is none."""
    lower = upper = ""
    for bound in field.metadata:
        if isinstance(bound, Ge):
            lower = f"{bound.ge:g}" if isinstance(bound.ge, float) else str(bound.ge)
        elif isinstance(bound, Gt):
            lower = f"above {bound.gt:g}"
        elif isinstance(bound, Le):
            upper = f"{bound.le:g}" if isinstance(bound.le, float) else str(bound.le)
        elif isinstance(bound, Lt):
            upper = f"below {bound.lt:g}"
        elif isinstance(bound, MinLen):
            return f", {bound.min_length} at least"
        elif isinstance(bound, MaxLen):
            return f", at most {bound.max_length}"
    if lower and upper:
        return f", {lower} to {upper}"
    if lower:
        return f", {lower}" if lower.startswith("above") else f", {lower} at least"
    return f", at most {upper}" if upper else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "*required*"
    value = field.default
    if value is PydanticUndefined and field.default_factory is not None:
        value = field.default_factory()  # type: ignore[call-arg]
    if isinstance(value, BaseModel):
        changed = value.model_dump(exclude_defaults=True)
        inner = ", ".join(f"{key}: {_yaml(item)}" for key, item in changed.items())
        return f"`{{{inner}}}`" if inner else "its defaults"
    if value is None:
        return "empty"
    return f"`{_yaml(value)}`"


def _yaml(value: Any) -> str:
    """Write a plain value as one line of YAML."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return f"[{', '.join(_yaml(item) for item in value)}]"
    if isinstance(value, float):
        return f"{value:g}" if abs(value) >= 1e-3 or value == 0 else f"{value:.1e}"
    return json.dumps(value)


def main() -> None:
    """Write the page, or say that it is out of date."""
    parser = argparse.ArgumentParser(description="Write docs/recipes.md from the models of a recipe.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where the page is out of date")
    text = page()
    if parser.parse_args().check:
        if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
            sys.exit(f"{PAGE.name} is not what the models say; run: python docs/make_recipes_page.py")
        return
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
