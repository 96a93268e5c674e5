"""Dynamic masking of 256 examples of at most 128 tokens: our policies beside transformers' collator.

Ours reads the rows from Arrow shards, masks and pads them and makes the tensors that training takes
(`draw_batch`). The collator gets lists of ids with their special-token masks already in memory, which is the
fastest form that it takes, and pads, masks and makes tensors. One thread each.
"""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import best_rate

BATCH_EXAMPLES = 256
POLICIES = ("token", "whole_word", "ngram", "span", "entity")
_NUM_BATCHES = 8


def measure(examples: str, vocabulary: str, seconds: float) -> dict[str, Any]:
    """Measure every policy and the collator with and without whole words.

    Returns:
        rates: examples per second by name ("token", ..., "collator", "collator whole_word"); kernels: the same of our
        masking without reading and padding; masked_share: share of the maskable tokens that became targets, by name;
        untouched_share: share of the rows without any target, by name.
    """
    import torch

    from bert_core.config import MaskingConfig
    from bert_core.examples.masking import MaskVocabulary, mask_batch
    from bert_core.examples.reader import ExampleSet
    from bert_core.training.batches import draw_batch

    torch.set_num_threads(1)
    shards = ExampleSet.open(Path(examples), "train")
    mask_vocabulary = MaskVocabulary.from_folder(Path(vocabulary))
    batches = np.array_split(np.arange(shards.num_examples)[: BATCH_EXAMPLES * _NUM_BATCHES], _NUM_BATCHES)
    num_examples = sum(map(len, batches))
    rates, kernels, masked, untouched = {}, {}, {}, {}
    for policy in POLICIES:
        masking = MaskingConfig(policy=policy)

        def draw(masking: MaskingConfig = masking) -> list[Any]:
            return [draw_batch(shards, rows, masking, mask_vocabulary, 1, 0) for rows in batches]

        ragged = [shards.take(rows) for rows in batches]

        def mask(masking: MaskingConfig = masking, ragged: list[Any] = ragged) -> list[Any]:
            return [
                mask_batch(
                    one.input_ids, one.offsets, one.word_starts, one.entity_starts, one.entity_lengths,
                    one.entity_offsets, one.example_ids, 1, 0, masking, mask_vocabulary,
                )
                for one in ragged
            ]  # fmt: skip

        draw()
        targets = [
            np.add.reduceat(is_target.astype(np.int64), one.offsets[:-1])
            for (_, is_target), one in zip(mask(), ragged, strict=True)
        ]
        maskable = sum(len(one.input_ids) for one in ragged) - 3 * num_examples
        masked[policy] = float(sum(map(np.sum, targets)) / maskable)
        untouched[policy] = float(np.mean(np.concatenate(targets) == 0))
        rates[policy] = best_rate(draw, num_examples, seconds)
        kernels[policy] = best_rate(mask, num_examples, seconds / 2)
    for name, whole_words in (("collator", False), ("collator whole_word", True)):
        collate, features = _collator(shards, batches, vocabulary, whole_words)
        collated = [collate(batch) for batch in features]
        targets = [(one["labels"] != -100).sum(dim=1).numpy() for one in collated]
        maskable = sum(len(row["input_ids"]) - 3 for batch in features for row in batch)
        masked[name] = float(sum(map(np.sum, targets)) / maskable)
        untouched[name] = float(np.mean(np.concatenate(targets) == 0))
        rates[name] = best_rate(
            lambda features=features, collate=collate: [*map(collate, features)], num_examples, seconds
        )
    return {"rates": rates, "kernels": kernels, "masked_share": masked, "untouched_share": untouched}


def _collator(shards: Any, batches: list[np.ndarray], vocabulary: str, whole_words: bool) -> tuple[Any, list[Any]]:
    """The collator and the batches in the form that it takes.

    Offsets are those of Chinese text, where each token begins where the one before ends.
    """
    import warnings

    from transformers import BertTokenizerFast, DataCollatorForLanguageModeling  # type: ignore

    warnings.simplefilter("ignore")
    tokenizer = BertTokenizerFast(str(Path(vocabulary) / "vocab.txt"), do_lower_case=True)
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    features = []
    for rows in batches:
        ragged, batch = shards.take(rows), []
        for first, stop in zip(ragged.offsets[:-1], ragged.offsets[1:], strict=True):
            ids = ragged.input_ids[first:stop].tolist()
            feature: dict[str, Any] = {"input_ids": ids}
            feature["special_tokens_mask"] = [int(index in special) for index in ids]
            if whole_words:
                feature["offset_mapping"] = [
                    (0, 0) if index in special else (place, place + 1) for place, index in enumerate(ids)
                ]
            batch.append(feature)
        features.append(batch)
    if whole_words:
        width = max(len(feature["input_ids"]) for batch in features for feature in batch)
        for feature in (feature for batch in features for feature in batch):  # the collator cannot pad offsets
            missing = width - len(feature["input_ids"])
            feature["input_ids"] += [tokenizer.pad_token_id] * missing
            feature["attention_mask"] = [1] * (width - missing) + [0] * missing
            feature["special_tokens_mask"] += [1] * missing
            feature["offset_mapping"] += [(0, 0)] * missing
    return DataCollatorForLanguageModeling(tokenizer, whole_word_mask=whole_words), features
