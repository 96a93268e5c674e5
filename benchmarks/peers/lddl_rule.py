"""NVIDIA LDDL's preprocessing for BERT, its rule re-stated with the libraries it calls.

The package (lddl 0.1.0) demands transformers 4.16.2, which would replace the version that this project needs,
and its sentence splitter fetches a model (nltk's punkt) when it runs; so the rule is re-stated. Documents are
split into sentences by a regular expression in place of punkt, which does not end a sentence at 。; each is
tokenized by BertTokenizerFast and cut at 512 tokens; pairs are drawn within a partition; A and B are stored as
strings of pieces in Parquet, not compressed (dask compresses only where python-snappy is installed, which the
package does not ask for; that size is given as well). Two worker processes share eight partitions.
duplicate_factor 1 and sample_ratio 1 here (defaults 5 and 0.9), no static masking. `pairs_of_document` makes
the draws in the package's order, so equal seeds give equal pairs.

Source: NVIDIA/lddl lddl/dask/bert/pretrain.py (Apache-2.0); algorithm re-stated, no code taken.
"""

import json
import random
import re
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.measure import clock

MAX_TOKENS = 128
NUM_PARTITIONS = 8
_SHORT_PROB = 0.1
_MAX_SENTENCE_TOKENS = 512
_SENTENCE_END = re.compile(r"(?<=[。！？；!?])|(?<=\.)\s|\n")

Document = list[list[str]]
Pair = tuple[list[str], list[str], bool]


def build(documents: str, vocabulary: str, output: str, num_processes: int = 2) -> dict[str, Any]:
    """Turn documents (JSON lines with `text`) into Parquet files, one a partition.

    Returns:
        seconds, cpu_seconds, examples, tokens, bytes, snappy_bytes.
    """
    import pyarrow.parquet as pq

    _tokenizer(vocabulary)  # the workers inherit it
    Path(output).mkdir()
    with Path(documents).open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    with clock() as taken:
        random.Random(12345).shuffle(texts)
        parts = [
            (texts[number::NUM_PARTITIONS], vocabulary, f"{output}/part.{number}.parquet", number)
            for number in range(NUM_PARTITIONS)
        ]
        with get_context("fork").Pool(num_processes) as pool:
            counts = pool.starmap(_partition, parts, chunksize=1)
            pool.close()
            pool.join()
    paths = list(Path(output).glob("*.parquet"))
    num_bytes = sum(path.stat().st_size for path in paths)
    for path in paths:
        pq.write_table(pq.read_table(path), path, compression="snappy")
    return {
        "seconds": taken.seconds,
        "cpu_seconds": taken.cpu_seconds,
        "examples": sum(examples for examples, _ in counts),
        "tokens": sum(tokens for _, tokens in counts),
        "bytes": num_bytes,
        "snappy_bytes": sum(path.stat().st_size for path in paths),
    }


def pairs_of_document(documents: list[Document], index: int, rng: random.Random) -> list[Pair]:
    """Walk along one document; return A, B and whether B is random.

    A random B that comes from the document itself, after ten tries, is labelled as if it followed.
    """
    longest = MAX_TOKENS - 3
    target = rng.randint(2, longest) if rng.random() < _SHORT_PROB else longest
    document, pairs = documents[index], []
    chunk: Document = []
    place = length = 0
    while place < len(document):
        chunk.append(document[place])
        length += len(document[place])
        if place == len(document) - 1 or length >= target:
            num_a = rng.randint(1, len(chunk) - 1) if len(chunk) >= 2 else 1
            tokens_a = [token for sentence in chunk[:num_a] for token in sentence]
            tokens_b: list[str] = []
            is_random = len(chunk) == 1 or rng.random() < 0.5
            if is_random:
                other = index
                for _ in range(10):
                    other = rng.randint(0, len(documents) - 1)
                    if other != index:
                        break
                is_random = other != index
                for sentence in documents[other][rng.randint(0, len(documents[other]) - 1) :]:
                    tokens_b.extend(sentence)
                    if len(tokens_b) >= target - len(tokens_a):
                        break
                place -= len(chunk) - num_a
            else:
                tokens_b = [token for sentence in chunk[num_a:] for token in sentence]
            while len(tokens_a) + len(tokens_b) > longest:
                cut = tokens_a if len(tokens_a) > len(tokens_b) else tokens_b
                if rng.random() < 0.5:
                    del cut[0]
                else:
                    cut.pop()
            pairs.append((tokens_a, tokens_b, is_random))
            chunk, length = [], 0
        place += 1
    return pairs


@lru_cache(maxsize=1)
def _tokenizer(vocabulary: str) -> Any:
    from transformers import BertTokenizerFast  # type: ignore

    return BertTokenizerFast(vocabulary, do_lower_case=True)


def _partition(texts: list[str], vocabulary: str, output: str, number: int) -> tuple[int, int]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    tokenizer = _tokenizer(vocabulary)
    documents = []
    for text in texts:
        sentences = filter(None, map(str.strip, _SENTENCE_END.split(text)))
        tokenized = [tokenizer.tokenize(one, max_length=_MAX_SENTENCE_TOKENS, truncation=True) for one in sentences]
        if document := [tokens for tokens in tokenized if tokens]:
            documents.append(document)
    rng = random.Random(number)
    pairs = [pair for index in range(len(documents)) for pair in pairs_of_document(documents, index, rng)]
    rng.shuffle(pairs)
    num_tokens = [len(tokens_a) + len(tokens_b) + 3 for tokens_a, tokens_b, _ in pairs]
    table = pa.table(
        {
            "A": [" ".join(tokens_a) for tokens_a, _, _ in pairs],
            "B": [" ".join(tokens_b) for _, tokens_b, _ in pairs],
            "is_random_next": [is_random for _, _, is_random in pairs],
            "num_tokens": pa.array(num_tokens, pa.uint16()),
        }
    )
    pq.write_table(table, output, compression="none")
    return len(pairs), sum(num_tokens)
