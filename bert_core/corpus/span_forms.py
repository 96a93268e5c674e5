"""The forms in which JSON files hold the entities of a text, all read to (first character, one past the last, type).

- `[{"start": 0, "end": 3, "label": "PER"}]`; also with `start_offset`/`end_offset` and `type`;
- `[[0, 3, "PER"]]`;
- `[{"label": "PER", "span": ["0;3", [5, 7]]}]`: all places of a type together;
- `{"PER": {"王小明": [[0, 2]]}}`: by type and surface; also `{"PER": [[0, 2]]}`.

Whether ends are inclusive is not to be seen in a file, so the recipe says it (`span_ends`). Where the file has the
surface of an entity (as above, or under the key `text`), a span that does not hold it is moved to where it stands
nearest. Nothing is checked against the task's types here.
"""

from collections.abc import Iterator
from typing import Any

from bert_core.corpus.entities import Span
from bert_core.corpus.squad import nearest

_STARTS, _ENDS, _TYPES = ("start", "start_offset"), ("end", "end_offset"), ("label", "type")


class _UnknownFormError(ValueError):
    """Entities in none of the forms."""


def spans_of(entities: Any, text: str, inclusive: bool) -> tuple[list[Span], int, int] | None:
    """Read the entities of one text.

    Example: `spans_of({"name": {"小明": [[1, 2]]}}, "王小明", True)` -> `([(1, 3, "name")], 0, 0)`.

    Args:
        entities: as the JSON file has them.
        text: that they are in.
        inclusive: whether an end is the last character.

    Returns:
        Spans in the order of the file, how many were moved to their surface, and how many have a surface that stands
        nowhere in the text (left out); None where the entities have another form.
    """
    spans: list[Span] = []
    num_moved = num_lost = 0
    try:
        for start, end, label, surface in _places(entities):
            end += inclusive
            if surface and text[max(start, 0) : end] != surface:
                place = nearest(text, surface, start)
                if place is None:
                    num_lost += 1
                    continue
                num_moved += 1
                start, end = place, place + len(surface)
            spans.append((start, end, label))
    except _UnknownFormError:
        return None
    return spans, num_moved, num_lost


def _places(entities: Any) -> Iterator[tuple[int, int, str, str]]:
    """Yield (start, end as in the file, type, surface or "")."""
    if isinstance(entities, dict):
        for label, places in entities.items():
            by_surface = places.items() if isinstance(places, dict) else [("", places)]
            for surface, ends in by_surface:
                for place in _listed(ends):
                    yield *_pair(place), label, surface
        return
    for entity in _listed(entities):
        if isinstance(entity, list):
            if len(entity) != 3 or not isinstance(entity[2], str):
                raise _UnknownFormError
            yield *_pair(entity[:2]), entity[2], ""
            continue
        if not isinstance(entity, dict):
            raise _UnknownFormError
        label, surface = _first(entity, _TYPES), entity.get("text", "")
        if not isinstance(label, str) or not isinstance(surface, str):
            raise _UnknownFormError
        if "span" in entity:
            for place in _listed(entity["span"]):
                yield *_pair(place), label, ""
        else:
            yield *_pair([_first(entity, _STARTS), _first(entity, _ENDS)]), label, surface


def _first(entity: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((entity[key] for key in keys if key in entity), None)


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise _UnknownFormError
    return value


def _pair(place: Any) -> tuple[int, int]:
    if isinstance(place, str):
        place = [int(number) if number.strip().isdecimal() else None for number in place.split(";")]
    if not isinstance(place, list) or len(place) != 2 or not all(type(number) is int for number in place):
        raise _UnknownFormError
    return place[0], place[1]
