"""Raw files behind an address: what is there, whether it has changed, and a copy for the time of reading.

fsspec speaks to the server. Planning asks for names, sizes and stamps (ETag, digest, time of change) and fetches
nothing; a stamp stands for the bytes of a file in the fingerprint. Reading fetches the file whole into the folder that
is being built, makes sure that it is still the file that was planned, and removes the copy. Credentials come from the
environment (`AWS_ACCESS_KEY_ID` and the like) and stand in no recipe, name or message.
"""

import fnmatch
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bert_core.errors import CorpusError

SCHEMES = ("s3", "gs", "az", "http", "https")
_PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs", "http": "aiohttp", "https": "aiohttp"}
_STAMPS = ("etag", "content-md5", "digest", "md5", "md5hash", "generation", "last-modified", "lastmodified", "mtime")
_BLOCK_BYTES = 4 << 20
_GLOB_CHARACTERS = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file behind an address."""

    url: str
    """Where it is fetched from."""
    num_bytes: int | None
    """Size, bytes; None where the server does not say."""
    stamp: str
    """sha256 over its size and the marks by which the server tells versions apart, 64 hexadecimal digits."""


def is_remote(pattern: str) -> bool:
    """Say whether a path of a recipe is an address that is read."""
    return pattern.partition("://")[0] in SCHEMES and "::" not in pattern


def find_remote(pattern: str) -> list[tuple[str, RemoteFile]]:
    """Find the files that an address names: a file, a folder or a glob (http and https: one file).

    Example: `s3://bucket/raw` with the objects `raw/b.txt` and `raw/a.txt` gives the names `s3://bucket/raw/a.txt`,
    `s3://bucket/raw/b.txt`.

    Returns:
        Names and files, sorted by name; a name is the address without what stands behind `?`.

    Raises:
        CorpusError: the address holds credentials, nothing is there, or the server does not answer or tell versions.
    """
    parts = urlsplit(pattern)
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if "@" in parts.netloc:
        raise CorpusError(f"path {shown!r}: the address holds a user name or password; give them in the environment")
    with _telling(shown, parts.scheme):
        files = _open(pattern)
        if parts.scheme in ("http", "https"):
            return [(shown, _remote_file(pattern, files.info(pattern), shown))]
        inside = pattern.partition("://")[2].rstrip("/")
        if _GLOB_CHARACTERS & set(inside):
            found = {path: info for path, info in files.glob(inside, detail=True).items() if info["type"] == "file"}
        else:
            found = files.find(inside, detail=True)
        below = len(inside) + 1 if not _GLOB_CHARACTERS & set(inside) else 0
        found = {
            path: info
            for path, info in found.items()
            if not fnmatch.fnmatch(f"/{path[below:]}", "*/.*") and info["size"]
        }
    if not found:
        raise CorpusError(f"path {shown!r}: no file with content is there; correct the address in the recipe")
    names = {path: f"{parts.scheme}://{path}" for path in sorted(found)}
    return [(name, _remote_file(name, found[path], name)) for path, name in names.items()]


@contextmanager
def local_copy(name: str, file: RemoteFile, folder: Path) -> Iterator[Path]:
    """Fetch a file into a folder for the time of a block.

    Raises:
        CorpusError: it cannot be fetched, or is no longer the file that was planned.
    """
    path = folder / (name.rpartition("/")[2] or "file")
    try:
        with _telling(name, name.partition("://")[0]):
            files = _open(file.url)
            with files.open(file.url, "rb", cache_type="none") as source, path.open("wb") as copy:
                while block := source.read(_BLOCK_BYTES):
                    copy.write(block)
            files.invalidate_cache()
            now = _remote_file(file.url, files.info(file.url), name)
        if now.stamp != file.stamp or file.num_bytes not in (None, path.stat().st_size):
            raise CorpusError(f"{name}: changed while it was read; wait until it is whole and run again")
        yield path
    finally:
        path.unlink(missing_ok=True)


def _open(url: str) -> Any:
    from fsspec.core import url_to_fs

    files, _ = url_to_fs(url, skip_instance_cache=True)  # an instance remembers listings
    return files


def _remote_file(url: str, info: dict[str, Any], name: str) -> RemoteFile:
    marks = {key.lower(): str(value) for key, value in info.items() if value is not None}
    told = {key: marks[key] for key in _STAMPS if key in marks}
    if not told:
        raise CorpusError(
            f"{name}: the server gives neither an ETag nor a time of change, so changes would go unnoticed; "
            "download it and name the local file"
        )
    size = info.get("size")
    told_size = {"size": str(size), **told}
    stamp = hashlib.sha256("\n".join(f"{key}={value}" for key, value in told_size.items()).encode()).hexdigest()
    return RemoteFile(url, None if size is None else int(size), stamp)


@contextmanager
def _telling(name: str, scheme: str) -> Iterator[None]:
    """Turn what fsspec and its backends raise into an error of ours; their messages may hold addresses with secrets."""
    try:
        yield
    except CorpusError:
        raise
    except ImportError as error:
        package = _PACKAGES.get(scheme, scheme)
        raise CorpusError(f"path {name!r}: needs the package {package}; pip install {package}") from error
    except Exception as error:  # every backend has exceptions of its own
        raise CorpusError(
            f"path {name!r}: cannot be read ({type(error).__name__}); check the address, the network and "
            "the credentials in the environment"
        ) from error
