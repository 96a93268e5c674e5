"""Read a recipe from YAML into its typed model, and say everything that is wrong with it at once.

Every fault is reported as `file:line: key: what is wrong`, unknown keys with the nearest known one. YAML is read
with the safe loader; a key given twice is a fault, because YAML itself would silently take the last.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from bert_core.config.recipe import Recipe
from bert_core.errors import RecipeError

_Path = tuple[str | int, ...]


def load_recipe(path: Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read the recipe at `path`, replace the settings named in `overrides`, and check the whole.

    Example: `load_recipe(Path("recipes/demo.yaml"), ["pretrain.steps=10", "seed=3"])`.

    Args:
        path: a YAML file.
        overrides: `a.b=value` each; the value is read as YAML.

    Raises:
        RecipeError: the file is missing, is no YAML mapping, or has faults; all faults are listed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeError(f"recipe {str(path)!r} does not exist; `bertline init` writes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe {str(path)!r} cannot be read: {error}") from error
    lines: dict[_Path, int] = {}
    faults: list[str] = []
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 1
        problem = getattr(error, "problem", None) or "not YAML"
        raise RecipeError(f"{path}:{line}: {problem}; expected YAML with spaces, not tabs") from error
    if root is not None:
        _note_lines(root, (), lines, faults, path)
    if not isinstance(data, dict):
        raise RecipeError(f"{path}:1: expected a mapping of settings, got {type(data).__name__}")
    for override in overrides:
        _override(data, override)
    try:
        recipe = Recipe.model_validate(data)
    except ValidationError as error:
        faults += [
            f"{path}:{_line_of(tuple(e['loc']), lines)}: {_describe(e, tuple(e['loc']))}" for e in error.errors()
        ]
    else:
        for name in recipe.study.vary:
            try:
                varied(recipe, name)
            except RecipeError as error:
                faults.append(f"{path}:{_line_of(('study', 'vary', name), lines)}: {error}")
        if not faults:
            return recipe
    raise RecipeError("\n".join(faults))


def varied(recipe: Recipe, name: str) -> Recipe:
    """Return a recipe with the settings of one of its study's variants in place.

    Raises:
        RecipeError: a setting is not one of a recipe, or the values do not go together.
    """
    data = recipe.plain()
    del data["study"]
    try:
        for override in recipe.study.vary[name]:
            _override(data, override)
        return Recipe.model_validate(data)
    except RecipeError as error:
        raise RecipeError(f"study.vary.{name}: {error}") from error
    except ValidationError as error:
        faults = [_describe(fault, tuple(fault["loc"])) for fault in error.errors()]
        raise RecipeError(f"study.vary.{name}: {'; '.join(faults)}") from error


def _note_lines(node: yaml.Node, at: _Path, lines: dict[_Path, int], faults: list[str], path: Path) -> None:
    """Remember the line of every key and list item, and note keys given twice."""
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                faults.append(f"{path}:{key.start_mark.line + 1}: {_dotted((*at, name))}: given twice; keep one")
            seen.add(name)
            lines[(*at, name)] = key.start_mark.line + 1
            _note_lines(value, (*at, name), lines, faults, path)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*at, index)] = value.start_mark.line + 1
            _note_lines(value, (*at, index), lines, faults, path)


def _override(data: dict[str, Any], override: str) -> None:
    """Set one `a.b=value` in the plain data of a recipe."""
    key, equals, value = override.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"setting {override!r} is not of the form a.b=value")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RecipeError(f"setting {override!r}: the value is not YAML") from error
    *parents, last = key.strip().split(".")
    part: Any = data
    for name in parents:
        if isinstance(part, list) and name.isdigit() and int(name) < len(part):
            part = part[int(name)]
            continue
        if not isinstance(part, dict):
            raise RecipeError(f"setting {override!r}: {name!r} lies in something that is no mapping")
        if part.get(name) is None:
            part[name] = {}
        part = part[name]
    if isinstance(part, list) and last.isdigit() and int(last) < len(part):
        part[int(last)] = parsed
    elif isinstance(part, dict):
        part[last] = parsed
    else:
        raise RecipeError(f"setting {override!r}: {last!r} lies in something that is no mapping")


def _line_of(at: _Path, lines: dict[_Path, int]) -> int:
    """Return the line of the deepest known part of `at`."""
    while at and at not in lines:
        at = at[:-1]
    return lines.get(at, 1)


def _dotted(at: _Path) -> str:
    return ".".join(str(part) for part in at if part != "[key]") or "recipe"


def _describe(error: Any, at: _Path) -> str:
    """Word one pydantic fault as subject, got, expected, remedy."""
    kind, message = error["type"], error["msg"].removeprefix("Value error, ")
    if kind == "extra_forbidden":
        known = _keys_at(at[:-1])
        near = difflib.get_close_matches(str(at[-1]), known, n=1, cutoff=0.5)
        remedy = f"did you mean {near[0]!r}?" if near else f"known keys are {', '.join(known)}"
        return f"{_dotted(at)}: unknown key; {remedy}"
    if kind == "missing":
        return f"{_dotted(at)}: missing; it has no default"
    message = message[0].lower() + message[1:]
    if kind == "value_error":
        return f"{_dotted(at)}: {message}"
    return f"{_dotted(at)}: {message}, got {error['input']!r}"


def _keys_at(at: _Path) -> list[str]:
    """Return the keys that the recipe's models know at a place."""
    model: Any = Recipe
    for part in at:
        if isinstance(model, type) and issubclass(model, BaseModel):
            field = model.model_fields.get(str(part))
            model = field.annotation if field else None
        else:  # inside a list or a mapping: step into its element type
            model = get_args(model)[-1] if get_args(model) else None
        options = [option for option in get_args(model) if isinstance(option, type)]
        if type(None) in options:  # an optional part
            model = next(option for option in options if option is not type(None))
    return sorted(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []
