"""Documents shards written from a list of texts."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from bert_core.store.schemas import DOCUMENTS
from bert_core.store.shards import write_shards


@pytest.fixture
def write_documents(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes texts as documents shards and names their folder."""

    def write(texts: list[str], name: str = "documents", shard_bytes: int = 64 << 20) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        count = len(texts)
        columns = {
            "doc_id": pa.array(range(100, 100 + count), pa.uint64()),
            "text": pa.array(texts, pa.string()),
            "file": pa.array(["a.txt"] * count, pa.string()).dictionary_encode(),
            "line": pa.array(range(1, count + 1), pa.uint32()),
            "byte_offset": pa.array([0] * count, pa.uint64()),
            "encoding": pa.array(["utf-8"] * count, pa.string()).dictionary_encode(),
            "repairs": pa.array([[]] * count, pa.list_(pa.string())),
        }
        half = count // 2
        table = pa.table(columns)
        write_shards(folder, "documents", DOCUMENTS, [table[:half], table[half:]], shard_bytes=shard_bytes)
        return folder

    return write
