"""One line of JSON, read strictly: what other readers accept and disagree on is a fault with a name.

NaN and Infinity, keys that come twice, values that are no object and nesting too deep to read are faults; a line that
ends in the middle of a value is told as cut off. Lone surrogates pass (`clean.py` mends them).
"""

import json
from functools import cache
from typing import Any, NoReturn


class _InvalidJsonError(ValueError):
    """A value that JSON does not allow."""


def parse_object(text: str) -> tuple[dict[str, Any] | None, str]:
    """Parse one JSON object.

    Example: `parse_object('{"a": 1}')` -> `({"a": 1}, "")`; `parse_object('[1]')` -> `(None, "not_an_object: ...")`.

    Returns:
        The object and ""; or None and the fault, `code: detail`.
    """
    try:
        value = strict_decoder().decode(text)
    except json.JSONDecodeError as error:
        is_cut = error.pos >= len(text) or error.msg.startswith("Unterminated")
        hint = "; is the file or the line cut off?" if is_cut else ""
        return None, f"invalid_json: {error.msg} at column {error.colno}{hint}"
    except RecursionError:
        return None, "invalid_json: nested too deeply"
    except ValueError as error:  # ours, or an integer of more digits than Python converts
        return None, f"invalid_json: {error}"
    if not isinstance(value, dict):
        return None, f"not_an_object: the line is {json_kind(value)}, expected an object"
    return value, ""


def json_kind(value: Any) -> str:
    """Say what a JSON value is, with its article: "a number", "null"."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), "a string")


@cache
def strict_decoder() -> json.JSONDecoder:
    """Return the decoder that refuses NaN, Infinity and keys that come twice, with a ValueError."""
    return json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_object_of_pairs)


def _refuse_constant(name: str) -> NoReturn:
    raise _InvalidJsonError(f"{name} is not JSON")


def _object_of_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for index, key in enumerate(keys) if key in keys[:index])
        raise _InvalidJsonError(f"key {twice!r} comes twice")
    return result
