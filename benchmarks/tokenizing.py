"""Tokenizing alone, one thread: texts in a Python list to the ids of all in one array, ours and the libraries.

Each tokenizer gets the same sentences and the same vocabulary (blingfire its own compiled copy of it). Ours
returns the characters of each token besides, which the others are not asked for. Ids of every sentence are
compared with those of the tokenizers library.
"""

from collections.abc import Callable
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.measure import best_rate

ONE_THREAD = {"RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
"""The environment that the measured process is started with."""
PEERS = {"tokenizers": "tokenizers", "flash-tokenizer": "flash_tokenizer", "blingfire": "blingfire"}
"""Packages and the modules that they bring."""
_BLINGFIRE_MODELS = {"zh": "bert_chinese.bin", "en": "bert_base_tok.bin"}
_LONGEST = 1 << 16

Encode = Callable[[Any], tuple[np.ndarray, list[int] | np.ndarray]]
"""Texts to the ids of all, int32 (num_tokens,), and the number of tokens of each."""


def measure(sentences: str, vocabulary: str, language: str, num_bytes: int, seconds: float) -> dict[str, Any]:
    """Measure every tokenizer that is installed.

    Returns:
        rates: MB of UTF-8 text per second by name, "ours from arrow" for texts in an Arrow column; equal: share of the
        sentences with the ids of the tokenizers library, by name; texts and tokens; absent: names that are not
        installed.
    """
    texts = _sentences(Path(sentences), num_bytes)
    num_bytes = sum(len(text.encode()) for text in texts)
    few = texts[: max(1, len(texts) // 8)]
    few_megabytes = sum(len(text.encode()) for text in few) / 1e6
    installed = [name for name, module in PEERS.items() if find_spec(module)]
    encoders = {"ours": _ours(vocabulary)} | {name: _MAKERS[name](vocabulary, language) for name in installed}
    expected = encoders["tokenizers"](texts)
    rates, equal = {}, {}
    for name, encode in encoders.items():
        encode(few)
        equal[name] = _equal_share(encode(texts), expected)
        work, amount = (texts, num_bytes / 1e6) if name == "ours" else (few, few_megabytes)
        rates[name] = best_rate(lambda encode=encode, work=work: encode(work), amount, seconds)
    column = pa.array(texts, pa.string())
    rates["ours from arrow"] = best_rate(lambda: encoders["ours"](column), num_bytes / 1e6, seconds)
    return {
        "rates": rates,
        "equal": equal,
        "texts": len(texts),
        "tokens": len(expected[0]),
        "bytes": num_bytes,
        "absent": [name for name in PEERS if name not in installed],
    }


def _sentences(path: Path, num_bytes: int) -> list[str]:
    texts, size = [], 0
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if text := line.strip():
                texts.append(text)
                size += len(text.encode())
                if size >= num_bytes:
                    break
    return texts


def _ours(vocabulary: str) -> Encode:
    from bert_core.tokens.tokenizer import WordPieceTokenizer
    from bert_core.tokens.vocabulary_files import load_vocabulary

    tokenizer = WordPieceTokenizer.from_vocabulary(load_vocabulary(Path(vocabulary)), lowercase=True)

    def encode(texts: list[str] | pa.Array) -> tuple[np.ndarray, list[int] | np.ndarray]:
        tokenized = tokenizer.encode(texts)
        return tokenized.ids, np.diff(tokenized.row_offsets)

    return encode


def _tokenizers(vocabulary: str, _language: str) -> Encode:
    from bert_core.tokens.vocabulary_files import library_tokenizer, load_vocabulary

    library = library_tokenizer(load_vocabulary(Path(vocabulary)), True)

    def encode(texts: list[str]) -> tuple[np.ndarray, list[int] | np.ndarray]:
        rows = [one.ids for one in library.encode_batch_fast(texts, add_special_tokens=False)]
        return _packed(rows)

    return encode


def _flash(vocabulary: str, _language: str) -> Encode:
    from flash_tokenizer import BertTokenizerFlash  # type: ignore

    tokenizer = BertTokenizerFlash(vocabulary, do_lower_case=True, model_max_length=_LONGEST)

    def encode(texts: list[str]) -> tuple[np.ndarray, list[int] | np.ndarray]:
        encoded = tokenizer.tokenizer.batch_encode(texts, "do_not_pad", _LONGEST, False)  # False: one thread
        return _packed([ids[1:-1] for ids in encoded])  # it always adds [CLS] and [SEP]

    return encode


def _blingfire(_vocabulary: str, language: str) -> Encode:
    import blingfire  # type: ignore

    model = blingfire.load_model(str(Path(blingfire.__file__).parent / _BLINGFIRE_MODELS[language]))

    def encode(texts: list[str]) -> tuple[np.ndarray, list[int] | np.ndarray]:
        rows = [blingfire.text_to_ids(model, text, len(text) + 2, 100, no_padding=True) for text in texts]
        return np.concatenate(rows).astype(np.int32), [len(row) for row in rows]

    return encode


def _packed(rows: list[list[int]]) -> tuple[np.ndarray, list[int]]:
    lengths = [len(row) for row in rows]
    return np.fromiter(chain.from_iterable(rows), np.int32, sum(lengths)), lengths


def _equal_share(ours: tuple[np.ndarray, Any], theirs: tuple[np.ndarray, Any]) -> float:
    """Share of the texts that have the same ids."""
    rows = [np.split(ids, np.cumsum(lengths)[:-1]) for ids, lengths in (ours, theirs)]
    return float(np.mean([np.array_equal(*both) for both in zip(*rows, strict=True)]))


_MAKERS = {"tokenizers": _tokenizers, "flash-tokenizer": _flash, "blingfire": _blingfire}
