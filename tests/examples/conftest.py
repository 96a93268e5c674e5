"""A tiny vocabulary and a writer of tokens shards."""

import pyarrow as pa
import pytest

from bert_core.store.schemas import tokens_schema
from bert_core.store.shards import write_shards

ENTRIES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(chr(0x4E00 + number) for number in range(500))]


@pytest.fixture(scope="session")
def entries():
    return ENTRIES


@pytest.fixture(scope="session")
def vocabulary_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocabulary")
    (folder / "vocab.txt").write_text("\n".join(ENTRIES) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def write_tokens():
    """Write documents, each a dict of doc_id, sentences (lists of ids), and optional words and entities."""

    def write(folder, documents, shards=1):
        rows = []
        for document in documents:
            ids = [token for sentence in document["sentences"] for token in sentence]
            entities = document.get("entities", [])
            rows.append(
                {
                    "doc_id": document["doc_id"],
                    "input_ids": ids,
                    "sentence_lengths": [len(sentence) for sentence in document["sentences"]],
                    "word_starts": document.get("words", [True] * len(ids)),
                    "entity_starts": [start for start, _ in entities],
                    "entity_lengths": [length for _, length in entities],
                    "entity_lexicons": [0] * len(entities),
                }
            )
        schema = tokens_schema(len(ENTRIES))
        share = -(-len(rows) // shards) or 1
        tables = [pa.Table.from_pylist(rows[low : low + share], schema=schema) for low in range(0, len(rows), share)]
        write_shards(folder, "tokens", schema, tables, shard_bytes=1 if shards > 1 else 64 << 20)
        return folder

    return write
