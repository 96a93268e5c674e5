"""What a process that does one job for another writes on its standard output: events, one JSON object a line.

    {"event": "progress", "done": 20, "total": 100, "unit": "steps", "measures": {"loss": 5.1}}
    {"event": "result", "counts": {...}}
    {"event": "error", "kind": "CorpusError", "message": "..."}

Reading them is all that stands here; who writes which is the business of the processes.
"""

import json
from typing import Any

from bert_core import errors


def parse_event(line: str) -> dict[str, Any]:
    """Read an event; anything else that a library printed counts as none."""
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def error_of(event: dict[str, Any], otherwise: type[errors.BertlineError]) -> errors.BertlineError:
    """Return another process's error as one of the same class, or of class `otherwise` where none has its name.

    Example: `error_of({"kind": "CorpusError", "message": "a.txt: is a zip archive"}, WorkError)` is a `CorpusError`.
    """
    kind = getattr(errors, str(event["kind"]), otherwise)
    if not (isinstance(kind, type) and issubclass(kind, errors.BertlineError)):
        kind = otherwise
    return kind(event["message"])
