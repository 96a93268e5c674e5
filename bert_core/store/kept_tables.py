"""Tables that cost a moment to fill and depend on code and library versions alone, kept on disk between processes.

A table's file is named by a digest of all that it depends on, and holds a digest of its content, so that a damaged
file is filled anew. A folder that cannot be written is no error: the next process fills the table again. Nothing here
depends on a recipe, and nothing of a run is lost when the folder is deleted.
"""

import hashlib
import os
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

_DIGEST = "digest"


def cache_folder() -> Path:
    """Return where tables are kept: $BERTLINE_CACHE, else $XDG_CACHE_HOME/bertline, else ~/.cache/bertline."""
    if folder := os.environ.get("BERTLINE_CACHE"):
        return Path(folder)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "bertline"


def kept_tables(name: str, depends_on: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return tables from the cache folder where they lie there whole, else make and keep them.

    Example: `kept_tables("squares", "1", lambda: {"squares": np.arange(9) ** 2})` makes them once a machine.

    Args:
        name: begins the file's name.
        depends_on: everything that the tables are a function of: versions, patterns, source code.
        make: fills the tables; arrays of numbers, none named "digest".
    """
    digest = hashlib.sha256(depends_on.encode("utf-8", "surrogatepass")).hexdigest()
    path = cache_folder() / f"{name}-{digest[:16]}.npz"
    tables = _read(path)
    if tables is None:
        tables = make()
        _write(path, tables)
    return tables


def _digest(tables: dict[str, np.ndarray]) -> np.ndarray:
    digest = hashlib.sha256()
    for name in sorted(tables):
        table = np.ascontiguousarray(tables[name])
        digest.update(f"{name} {table.dtype.str} {table.shape}\n".encode())
        digest.update(table.data)
    return np.frombuffer(digest.digest(), np.uint8)


def _read(path: Path) -> dict[str, np.ndarray] | None:
    """Return the tables of a file, or None where it is missing or damaged."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            tables = {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    stated = tables.pop(_DIGEST, None)
    return tables if stated is not None and np.array_equal(stated, _digest(tables)) else None


def _write(path: Path, tables: dict[str, np.ndarray]) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}.writing")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            np.savez(file, **{_DIGEST: _digest(tables)}, **tables)  # type: ignore[arg-type]
        os.replace(aside, path)
    except OSError:
        with suppress(OSError):
            aside.unlink()
