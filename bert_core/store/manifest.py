"""What a sealed output holds: every file's digest, counts, parents, and the specification it was built from.

A manifest is written last, so its existence means that the output is complete. It is plain JSON; file names in it
are relative POSIX names without `..`, and are refused otherwise, so that a manifest from elsewhere cannot reach out of
its folder.
"""

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bert_core.errors import StoreError
from bert_core.store.fingerprint import digest_of_file, fingerprint_of

MANIFEST_NAME = "manifest.json"
_NAME = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")


@dataclass(frozen=True, kw_only=True, slots=True)
class FileEntry:
    """One file of an output."""

    name: str
    """Relative POSIX name."""
    num_bytes: int
    """Size, bytes."""
    sha256: str
    """Digest of the content, 64 hexadecimal digits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parent:
    """An output that this one was built from."""

    stage: str
    """Stage id, such as `tokens/reviews`."""
    fingerprint: str
    """Fingerprint of that output."""
    content: str
    """Digest of that output's files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """The seal of one output."""

    stage: str
    """Stage id, such as `examples/domain_transfer`."""
    fingerprint: str
    """Digest of `spec`, 64 hexadecimal digits."""
    spec: dict[str, Any]
    """Kind, code version, settings and inputs: all that the bytes depend on."""
    files: list[FileEntry]
    """Every file but the manifest itself, sorted by name."""
    counts: dict[str, Any] = field(default_factory=dict)
    """Rows, tokens, losses, scores: plain JSON values."""
    parents: dict[str, Parent] = field(default_factory=dict)
    """Inputs by the role they play."""
    seconds: float = 0.0
    """Wall time of the build, seconds; not part of any digest."""
    built_at: str = ""
    """UTC time of the seal, ISO 8601; not part of any digest."""
    versions: dict[str, str] = field(default_factory=dict)
    """Library versions at the build; not part of any digest."""

    @property
    def content(self) -> str:
        """Digest of the files' names and contents; equal outputs have equal content."""
        return fingerprint_of({entry.name: entry.sha256 for entry in self.files})

    @property
    def num_bytes(self) -> int:
        """Size of all files, bytes."""
        return sum(entry.num_bytes for entry in self.files)

    def to_json(self) -> str:
        """Write the manifest as indented JSON."""
        return json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def read_manifest(folder: Path) -> Manifest | None:
    """Read the manifest of `folder`; None where the output is not sealed.

    Raises:
        StoreError: the manifest is damaged, or names files outside its folder.
    """
    path = folder / MANIFEST_NAME
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        data["files"] = [FileEntry(**entry) for entry in data["files"]]
        data["parents"] = {role: Parent(**parent) for role, parent in data["parents"].items()}
        manifest = Manifest(**data)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{path}: damaged manifest ({error}); delete the folder and run again") from error
    for entry in manifest.files:
        if not _NAME.fullmatch(entry.name) or ".." in entry.name.split("/"):
            raise StoreError(f"{path}: file name {entry.name!r} is not a plain relative name; refusing the folder")
    if fingerprint_of(manifest.spec) != manifest.fingerprint:
        raise StoreError(f"{path}: the specification does not give the fingerprint; delete the folder and run again")
    return manifest


def list_files(folder: Path) -> list[FileEntry]:
    """Digest every file below `folder` but the manifest, sorted by name."""
    return [
        FileEntry(
            name=path.relative_to(folder).as_posix(),
            num_bytes=path.stat().st_size,
            sha256=digest_of_file(path),
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST_NAME
    ]


def faults_of(folder: Path, manifest: Manifest, *, digests: bool) -> list[str]:
    """Say what of an output is missing or changed on disk.

    Args:
        folder: the output.
        manifest: its seal.
        digests: read every byte and compare digests; otherwise sizes alone.

    Returns:
        One line for each fault, empty where the output is whole.
    """
    faults = []
    for entry in manifest.files:
        path = folder / entry.name
        if not path.is_file():
            faults.append(f"{path}: missing")
        elif path.stat().st_size != entry.num_bytes:
            faults.append(f"{path}: {path.stat().st_size} bytes, expected {entry.num_bytes}")
        elif digests and digest_of_file(path) != entry.sha256:
            faults.append(f"{path}: content differs from the manifest's sha256 {entry.sha256[:12]}")
    return faults
