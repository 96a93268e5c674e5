"""The name of an output: a digest over everything that its bytes depend on.

A fingerprint is sha256 over canonical JSON of the stage's kind and code version, the part of the recipe that it
reads, and the content digests of its inputs. It never covers times, paths of the machine, or how many workers ran.
"""

import hashlib
import json
from pathlib import Path
from typing import Any


def canonical_json(value: Any) -> str:
    """Write plain JSON values in the one form that equal values share: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def fingerprint_of(spec: dict[str, Any]) -> str:
    """Return the sha256 of a specification, 64 hexadecimal digits.

    Example: `fingerprint_of({"b": 1, "a": 2}) == fingerprint_of({"a": 2, "b": 1})`.
    """
    return hashlib.sha256(canonical_json(spec).encode()).hexdigest()


def digest_of_file(path: Path, start: int = 0, num_bytes: int | None = None) -> str:
    """Return the sha256 of a file or of one range of its bytes, 64 hexadecimal digits.

    Args:
        path: a readable file.
        start: first byte, bytes.
        num_bytes: length of the range, bytes; None for all the rest.
    """
    digest = hashlib.sha256()
    left = num_bytes
    with path.open("rb") as file:
        file.seek(start)
        while left is None or left > 0:
            block = file.read(1 << 20 if left is None else min(left, 1 << 20))
            if not block:
                break
            digest.update(block)
            if left is not None:
                left -= len(block)
    return digest.hexdigest()
