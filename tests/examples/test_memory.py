"""Memory from documents to examples does not grow with the corpus."""

import subprocess
import sys

import pytest

BUILD = """
import resource, sys
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from bert_core.config import ExamplesConfig, WordsConfig
from bert_core.examples import pairs
from bert_core.store.schemas import DOCUMENTS
from bert_core.store.shards import write_shards
from bert_core.tokens import tokens
from bert_core.tokens.vocabulary_files import SPECIAL_ENTRIES, write_vocabulary

root, num_documents = Path(sys.argv[1]), int(sys.argv[2])
small = partial(write_shards, shard_bytes=1 << 20)
tokens.write_shards = pairs.write_shards = small
for name in ("vocabulary", "documents", "tokens", "examples"):
    (root / name).mkdir()
characters = np.array([*map(ord, "，。"), *range(0x4E00, 0x4F00)], "<u4")
write_vocabulary([*SPECIAL_ENTRIES, *map(chr, characters)], True, root / "vocabulary")


def tables():
    rng = np.random.default_rng(1)
    for first in range(0, num_documents, 50):
        count = min(50, num_documents - first)
        drawn = characters[rng.integers(0, len(characters), (count, 2000))]
        drawn[:, 25::26] = ord("。")
        texts = [row.tobytes().decode("utf-32-le") for row in drawn]
        yield pa.table(
            {
                "doc_id": pa.array(range(first, first + count), pa.uint64()),
                "text": pa.array(texts, pa.string()),
                "file": pa.array(["a.txt"] * count).dictionary_encode(),
                "line": pa.array([1] * count, pa.uint32()),
                "byte_offset": pa.array([0] * count, pa.uint64()),
                "encoding": pa.array(["utf-8"] * count).dictionary_encode(),
                "repairs": pa.array([[]] * count, pa.list_(pa.string())),
            }
        )


small(root / "documents", "documents", DOCUMENTS, tables())
folders = [root / name for name in ("documents", "vocabulary", "tokens", "examples")]
documents, vocabulary, token_folder, example_folder = folders
tokens.build_tokens(documents, vocabulary, WordsConfig(segmenter="none"), [], token_folder, num_threads=2)
pairs.build_examples(token_folder, vocabulary, ExamplesConfig(max_tokens=128), 1, example_folder, num_threads=2)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


@pytest.mark.slow
def test_a_corpus_ten_times_as_large_takes_no_more_memory(tmp_path):
    peaks_mib = []
    for num_documents in (700, 7000):  # 4 MB and 42 MB of text
        root = tmp_path / str(num_documents)
        root.mkdir()
        run = subprocess.run(
            [sys.executable, "-c", BUILD, str(root), str(num_documents)], capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr
        peaks_mib.append(int(run.stdout))
    # The shards of the larger one hold 70 MiB; a few digests for each example stay.
    assert peaks_mib[1] - peaks_mib[0] < 30, peaks_mib
