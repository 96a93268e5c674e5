"""Files written by the tests, and the way from files to documents."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bert_core.config import CorpusConfig
from bert_core.corpus.documents import QUARANTINE_NAME, build_slice
from bert_core.corpus.slices import plan_slices
from bert_core.store.shards import read_shards


@dataclass
class Built:
    """What the slices of a corpus became."""

    counts: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    quarantine: list[dict[str, Any]]
    folders: list[Path]

    @property
    def texts(self) -> list[str]:
        return [row["text"] for row in self.rows]


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Built]:
    """Write files given as `name=bytes` pairs and build every slice of them."""

    def build_files(files: dict[str, bytes], **settings: Any) -> Built:
        raw = tmp_path / "raw"
        raw.mkdir(exist_ok=True)
        for name, content in files.items():
            (raw / name).write_bytes(content)
        config = CorpusConfig(paths=list(files), **{"max_bad_fraction": 1.0, **settings})
        built = Built([], [], [], [])
        for number, piece in enumerate(plan_slices(config, raw)):
            folder = tmp_path / f"slice-{len(list(tmp_path.iterdir()))}-{number}"
            folder.mkdir()
            built.counts.append(build_slice(piece, config, folder))
            built.rows += read_shards(folder, "documents").to_pylist()
            with (folder / QUARANTINE_NAME).open(encoding="utf-8") as lines:
                built.quarantine += [json.loads(line) for line in lines]
            built.folders.append(folder)
        return built

    return build_files
