"""A workspace: outputs under `store/<kind>/<fingerprint>/`, built aside and sealed by their manifest.

An output is written to `store/<kind>/.building-<fingerprint>/`, under a lock that the operating system drops when
the writer dies; then every file is digested, `manifest.json` is written and synced, and the folder is renamed to its
name. A reader that finds the folder finds it whole. What a dead writer left is swept by the next one, except for
`resume/`, where a training run keeps the checkpoints from which it goes on.

Beside the store lie `runs/` (what each run did) and `links/<recipe>.json` (the last output of each stage of a recipe,
to say what changed since). Nothing here knows what the outputs mean.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bert_core.errors import HeldError, StoreError
from bert_core.store.fingerprint import fingerprint_of
from bert_core.store.manifest import (
    MANIFEST_NAME,
    Manifest,
    Parent,
    faults_of,
    list_files,
    read_manifest,
)

RESUME_FOLDER = "resume"
_RECORDED_PACKAGES = ("bertline", "numpy", "pyarrow", "tokenizers", "torch", "transformers")


class Build:
    """An output that is being written: its folder, and what its manifest will say."""

    def __init__(self, folder: Path, sealed: Manifest | None = None) -> None:
        self.folder = folder
        """Where files are written; every file below it becomes part of the output."""
        self.sealed = sealed
        """The seal that another run set while this one waited: there is nothing to build; else None."""
        self.counts: dict[str, Any] = {}
        """Plain JSON values for the manifest."""

    @property
    def resume_folder(self) -> Path:
        """Folder that survives a killed build; it is removed before the output is sealed."""
        return self.folder / RESUME_FOLDER


class Workspace:
    """One folder of outputs, links and runs."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder_of(self, kind: str, fingerprint: str) -> Path:
        """Return where the output of that kind and fingerprint lives once it is sealed."""
        return self.root / "store" / kind / fingerprint

    def find(self, kind: str, fingerprint: str, *, digests: bool = False) -> tuple[Manifest | None, list[str]]:
        """Look for a sealed and whole output.

        Args:
            kind: kind of stage.
            fingerprint: of its specification.
            digests: compare every byte with its digest, not sizes alone.

        Returns:
            The manifest, or None with the faults of an output that is there but damaged.
        """
        folder = self.folder_of(kind, fingerprint)
        try:
            manifest = read_manifest(folder)
        except StoreError as error:
            return None, [str(error)]
        if manifest is None:
            return None, []
        faults = faults_of(folder, manifest, digests=digests)
        return (None, faults) if faults else (manifest, [])

    @contextmanager
    def building(
        self,
        stage: str,
        spec: dict[str, Any],
        parents: dict[str, Parent],
        *,
        wait_seconds: float = 0.0,
        rebuild: bool = True,
    ) -> Iterator[Build]:
        """Build an output aside; it is sealed and put in place when the block ends without an error.

        Args:
            stage: stage id, `kind/name`.
            spec: what the bytes depend on; `spec["kind"]` names the folder.
            parents: outputs it is built from, by role.
            wait_seconds: how long to wait for another run that builds the same output, seconds.
            rebuild: build although a whole output stands; otherwise `Build.sealed` says that it does.

        Yields:
            The build, with an empty folder (but for `resume/` of a build that was killed).

        Raises:
            HeldError: another run holds this output.
        """
        kind, fingerprint = spec["kind"], fingerprint_of(spec)
        target = self.folder_of(kind, fingerprint)
        aside = target.with_name(f".building-{fingerprint}")
        aside.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(target.with_name(f".lock-{fingerprint}"))
        try:
            lock.acquire(timeout=wait_seconds)
        except Timeout:
            raise HeldError(
                f"{target}: another run is building it now; wait for it to end, or stop it, and run again"
            ) from None
        try:
            sealed = None if rebuild else self.find(kind, fingerprint)[0]
            if sealed is not None:
                yield Build(target, sealed)
                return
            _sweep(aside)
            began = time.monotonic()
            build = Build(aside)
            yield build
            shutil.rmtree(build.resume_folder, ignore_errors=True)
            with ThreadPoolExecutor(1) as syncing:  # the disk writes while digests are computed
                written = [path for path in aside.rglob("*") if path.is_file()]
                synced = [syncing.submit(_sync, path) for path in written]
                files = list_files(aside)
                for one in synced:
                    one.result()
            manifest = Manifest(
                stage=stage,
                fingerprint=fingerprint,
                spec=spec,
                files=files,
                counts=build.counts,
                parents=parents,
                seconds=round(time.monotonic() - began, 3),
                built_at=datetime.now(UTC).isoformat(timespec="seconds"),
                versions=_versions(),
            )
            write_synced(aside / MANIFEST_NAME, manifest.to_json())
            if target.exists():  # damaged, or this build was forced
                shutil.rmtree(target)
            os.replace(aside, target)
            _sync(target.parent)
        finally:
            lock.release()

    def read_links(self, recipe: str) -> dict[str, str]:
        """Return the fingerprint of each stage's last output under a recipe, by stage id."""
        try:
            return json.loads((self.root / "links" / f"{recipe}.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}

    def link(self, recipe: str, fingerprints: dict[str, str]) -> None:
        """Remember the outputs that stages of a recipe have now, fingerprints by stage id; only read where known."""
        if fingerprints.items() <= self.read_links(recipe).items():
            return
        folder = self.root / "links"
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".lock-{recipe}"):
            links = self.read_links(recipe) | fingerprints
            write_synced(folder / f"{recipe}.json", json.dumps(links, indent=1, sort_keys=True) + "\n")

    def outputs(self) -> Iterator[tuple[Path, Manifest | None]]:
        """Yield every sealed output's folder and manifest (None where the manifest is damaged), sorted."""
        for path in sorted(self.root.glob(f"store/*/*/{MANIFEST_NAME}")):
            try:
                yield path.parent, read_manifest(path.parent)
            except StoreError:
                yield path.parent, None


def write_synced(path: Path, text: str) -> None:
    """Write a small text file so that a reader sees the old content or the new, never a part."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.writing")
    aside.write_text(text, encoding="utf-8")
    _sync(aside)
    os.replace(aside, path)


def _sweep(aside: Path) -> None:
    """Empty a build folder but for its `resume/`."""
    aside.mkdir(parents=True, exist_ok=True)
    for path in aside.iterdir():
        if path.name == RESUME_FOLDER:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@cache
def _versions() -> dict[str, str]:
    found = {}
    for name in _RECORDED_PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
