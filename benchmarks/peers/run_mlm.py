"""The recipe of transformers' run_mlm example: `datasets.map` with BertTokenizerFast, then `group_texts`.

As there: documents are tokenized in batches of 1,000 with special tokens and their mask, joined across
documents, cut into blocks of 128 and the rest of each batch dropped; two passes, each cached as Arrow files. It
makes no sentence pairs and no words. num_proc 2.

Source: huggingface/transformers examples/pytorch/language-modeling/run_mlm.py (Apache-2.0); recipe re-stated.
"""

from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks.measure import clock

BLOCK_TOKENS = 128


def build(documents: str, vocabulary: str, output: str, num_processes: int = 2) -> dict[str, Any]:
    """Turn documents (JSON lines with `text`) into a cached dataset of blocks.

    Returns:
        seconds, cpu_seconds, examples, tokens, bytes (of the blocks), cache_bytes (of both passes).
    """
    from datasets import load_dataset
    from datasets.utils.logging import disable_progress_bar
    from transformers import BertTokenizerFast  # type: ignore

    disable_progress_bar()
    tokenizer = BertTokenizerFast(vocabulary, do_lower_case=True, model_max_length=10**9)
    raw = load_dataset("json", data_files=documents, split="train", cache_dir=f"{output}/raw")
    Path(output, "passes").mkdir(parents=True)

    def tokenize(batch: dict[str, list[Any]]) -> Any:
        return tokenizer(batch["text"], return_special_tokens_mask=True)

    def group_texts(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        joined = {key: list(chain(*batch[key])) for key in batch}
        total = len(joined["input_ids"]) // BLOCK_TOKENS * BLOCK_TOKENS
        return {
            key: [values[first : first + BLOCK_TOKENS] for first in range(0, total, BLOCK_TOKENS)]
            for key, values in joined.items()
        }

    with clock() as taken:
        tokenized = raw.map(  # type: ignore
            tokenize,
            batched=True,
            num_proc=num_processes,
            remove_columns=["text"],
            cache_file_name=f"{output}/passes/tokenized.arrow",
        )
        blocks = tokenized.map(
            group_texts, batched=True, num_proc=num_processes, cache_file_name=f"{output}/passes/blocks.arrow"
        )
    return {
        "seconds": taken.seconds,
        "cpu_seconds": taken.cpu_seconds,
        "examples": len(blocks),
        "tokens": len(blocks) * BLOCK_TOKENS,
        "bytes": sum(path.stat().st_size for path in Path(output, "passes").glob("blocks*")),
        "cache_bytes": sum(path.stat().st_size for path in Path(output, "passes").iterdir()),
    }
