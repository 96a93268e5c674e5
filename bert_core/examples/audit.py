"""What built examples are really like: counts, shares, and the thresholds that they must hold.

Everything is measured on the written shards, not taken from the builder's own counts, so the audit finds what the
builder did wrong. A hard fault stops the run; a soft one is shown. Nothing is repaired here.
"""

from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa

from bert_core.config.recipe import MaskingConfig
from bert_core.examples.masking import MaskVocabulary, mask_batch
from bert_core.examples.reader import ExampleSet
from bert_core.store.schemas import NEXT, NO_PAIR, RANDOM
from bert_core.store.shards import list_column, read_shard, shard_paths

MAX_UNKNOWN_SHARE = 0.05
MAX_DUPLICATE_SHARE = 0.01
MASK_RATE_TOLERANCE = 0.02
NUM_SAMPLED = 2_000
_LENGTH_EDGES = (0, 16, 32, 64, 96, 128, 192, 256, 384, 513)


@dataclass(frozen=True)
class AuditFault:
    """One threshold that the examples do not hold."""

    subject: str
    """Set and measure, such as `train label balance`."""
    got: str
    """What was found."""
    expected: str
    """What must hold."""
    is_hard: bool
    """Whether the examples must not be trained on."""


def audit_examples(folder: Path, vocabulary_folder: Path) -> dict[str, Any]:
    """Measure the `train` and `held_out` examples of a folder.

    Args:
        folder: holds the shards of both sets.
        vocabulary_folder: vocabulary of their tokens.

    Returns:
        Plain JSON values: for each set its counts; `mask_rates`, hidden share of the maskable tokens by policy on
        up to NUM_SAMPLED training examples; `faults`, a list of AuditFault as dictionaries.

    Raises:
        StoreError: shards are missing or not readable.
    """
    vocabulary = MaskVocabulary.from_folder(vocabulary_folder)
    faults: list[AuditFault] = []
    audit: dict[str, Any] = {name: _audit_set(folder, name, vocabulary, faults) for name in ("train", "held_out")}
    audit["mask_rates"] = _mask_rates(ExampleSet.open(folder, "train"), vocabulary, faults)
    audit["faults"] = [asdict(fault) for fault in faults]
    return audit


def _audit_set(folder: Path, name: str, vocabulary: MaskVocabulary, faults: list[AuditFault]) -> dict[str, Any]:
    """Measure one set, shard by shard."""
    scalars: list[pa.Table] = []
    lengths, digests, num_unknown = [], [], 0
    for path in shard_paths(folder, name):
        table = read_shard(path)
        scalars.append(table.select(["example_id", "next_sentence_label", "doc_id_a", "doc_id_b", "round"]))
        tokens, offsets = list_column(table, "input_ids")
        lengths.append(np.diff(offsets))
        digests.append(_row_digests(tokens, offsets))
        num_unknown += int(np.sum(tokens == vocabulary.unk_id))
    table = pa.concat_tables(scalars)
    labels = table.column("next_sentence_label").to_numpy()
    same = table.column("doc_id_a").to_numpy() == table.column("doc_id_b").to_numpy()
    length = np.concatenate(lengths)
    num_examples = len(labels)
    num_rounds = int(table.column("round").to_numpy().max()) + 1 if num_examples else 0
    text_tokens = int(length.sum()) - 2 * num_examples - int(np.sum(labels != NO_PAIR))
    # The same text in another round is meant; within one round it is a duplicate.
    contents = np.concatenate(digests) + table.column("round").to_numpy().astype(np.uint64)
    measured = {
        "examples": num_examples,
        "rounds": num_rounds,
        "next": int(np.sum(labels == NEXT)),
        "random": int(np.sum(labels == RANDOM)),
        "single": int(np.sum(labels == NO_PAIR)),
        "same_document_negatives": int(np.sum(same & (labels == RANDOM))),
        "other_document_continuations": int(np.sum(~same & (labels == NEXT))),
        "repeated_example_ids": num_examples - len(np.unique(table.column("example_id").to_numpy())),
        "duplicates": num_examples - len(np.unique(contents)),
        "tokens": int(length.sum()),
        "mean_tokens": _share(length.sum(), num_examples),
        "longest_tokens": int(length.max()) if num_examples else 0,
        "fill": _share(length.sum(), num_examples * int(length.max())) if num_examples else 0.0,
        "unknown_share": _share(num_unknown, text_tokens),
        "length_histogram": {
            f"{low}-{high - 1}": int(np.sum((length >= low) & (length < high))) for low, high in pairwise(_LENGTH_EDGES)
        },
    }
    balance = abs(measured["next"] - measured["random"])
    unknown, repeated = measured["unknown_share"], _share(measured["duplicates"], num_examples)
    checks = [
        ("label balance", balance <= 1, f"next and random differ by {balance}", "at most 1", True),
        *(
            (measure.replace("_", " "), measured[measure] == 0, str(measured[measure]), "0", True)
            for measure in ("same_document_negatives", "other_document_continuations", "repeated_example_ids")
        ),
        ("[UNK] share", unknown <= MAX_UNKNOWN_SHARE, f"{unknown:.1%}", f"at most {MAX_UNKNOWN_SHARE:.0%}", False),
        (
            "share of duplicates",
            repeated <= MAX_DUPLICATE_SHARE,
            f"{repeated:.1%}",
            f"at most {MAX_DUPLICATE_SHARE:.0%}",
            False,
        ),
    ]
    faults += [
        AuditFault(f"{name} {subject}", got, expected, is_hard)
        for subject, holds, got, expected, is_hard in checks
        if not holds
    ]
    return measured


def _share(part: float, whole: float) -> float:
    """Divide and round to six digits; 0 of nothing is 0."""
    return round(float(part) / float(whole), 6) if whole else 0.0


def _row_digests(tokens: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Digest the tokens of each row, uint64; equal rows have equal digests."""
    from bert_core.examples.reader_kernels import row_digests

    return row_digests(tokens, offsets)


def _mask_rates(train: ExampleSet, vocabulary: MaskVocabulary, faults: list[AuditFault]) -> dict[str, float]:
    """Mask a sample, evenly spread over the set, by every policy with default settings."""
    num_sampled = min(NUM_SAMPLED, train.num_examples)
    rows = np.linspace(0, train.num_examples - 1, num_sampled).astype(np.int64)
    batch = train.take(np.unique(rows) if num_sampled else rows)
    unmaskable = np.append(vocabulary.special_ids, vocabulary.unk_id)
    num_maskable = int(np.sum(~np.isin(batch.input_ids, unmaskable)))
    rates = {}
    for policy in get_args(MaskingConfig.model_fields["policy"].annotation):
        masking = MaskingConfig(policy=policy)
        _, is_target = mask_batch(
            batch.input_ids,
            batch.offsets,
            batch.word_starts,
            batch.entity_starts,
            batch.entity_lengths,
            batch.entity_offsets,
            batch.example_ids,
            0,
            0,
            masking,
            vocabulary,
        )
        rates[policy] = _share(int(is_target.sum()), num_maskable)
        expected = masking.mlm_probability
        if num_maskable and abs(rates[policy] - expected) > MASK_RATE_TOLERANCE:
            faults.append(
                AuditFault(
                    f"train mask rate of {policy}",
                    f"{rates[policy]:.1%}",
                    f"{expected:.0%} within {MASK_RATE_TOLERANCE:.0%}",
                    is_hard=False,
                )
            )
    return rates
