"""What built examples are really like: counts, shares, and the thresholds that they must hold.

Everything is measured on the written shards, not taken from the builder's own counts, so the audit finds what the
builder did wrong. A hard fault stops the run: labels out of balance, a negative that is not proved, or a threshold of
`AuditConfig` that does not hold. Any other is a warning and shown. Nothing is repaired here.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pyarrow as pa

from bert_core.config import AuditConfig, MaskingConfig
from bert_core.config.text import Objective
from bert_core.examples.masking import MaskVocabulary, mask_examples
from bert_core.examples.reader import ExampleSet
from bert_core.examples.repeats import DigestStream
from bert_core.examples.sources import Sources
from bert_core.examples.thesaurus import SimilarWords
from bert_core.store.schemas import NEXT, NO_PAIR, RANDOM
from bert_core.store.shards import read_shard, shard_paths
from bert_core.tokens.ordered_threads import map_in_order

if TYPE_CHECKING:
    from bert_core.tokens.tokenizer import WordPieceTokenizer

WARN = AuditConfig(
    max_unknown_share=0.01,  # above it the vocabulary does not fit the text
    max_duplicate_share=0.01,
    min_fill=0.5,  # below it most examples are short, and a smaller max_tokens or no pairs may suit better
    min_segmenter_coverage=0.2,  # below it masking by words is masking by tokens
    max_mask_rate_error=0.02,
)
"""Where a warning begins."""
NUM_SAMPLED = 2_000
_COUNTED = (
    *("next", "random", "swapped", "single"),
    *("other_document_continuations", "continuations_out_of_order", "swapped_in_order"),
)
_EVER = {
    "other_document_continuations": "other document continuations",
    "continuations_out_of_order": "continuations out of order",
    "repeated_example_ids": "repeated example ids",
}
_NEVER = {
    "nsp": {"swapped": "same document negatives"} | _EVER,
    "sop": {"random": "swaps of two documents", "swapped_in_order": "swaps in order"} | _EVER,
    "none": {
        "next": "pairs without an objective",
        "random": "random pairs without an objective",
        "swapped": "swapped pairs without an objective",
    }
    | _EVER,
}
"""Measures that must be 0, with the words for them, by objective."""
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


def audit_examples(
    folder: Path,
    tokenizer: "WordPieceTokenizer",
    objective: Objective = "nsp",
    unknown_characters: Sequence[Sequence[Any]] = (),
    num_threads: int = 1,
    limits: AuditConfig | None = None,
) -> dict[str, Any]:
    """Measure the `train` and `held_out` examples of a folder.

    Args:
        folder: holds the shards of both sets.
        tokenizer: with the vocabulary of their tokens.
        objective: what the pairs were built for.
        unknown_characters: pairs of character and count that the tokens stage found, most frequent first.
        num_threads: threads that share the record batches.
        limits: thresholds whose breach is a hard fault; None for the default ones.

    Returns:
        Plain JSON values: for each set its counts; `mask_rates`, hidden share of the maskable tokens by policy on
        up to NUM_SAMPLED training examples; `unknown_characters` as given; `faults`, a list of AuditFault as
        dictionaries, warnings among them.

    Raises:
        StoreError: shards are missing or not readable.
    """
    limits = limits or AuditConfig()
    vocabulary = MaskVocabulary.of(tokenizer)
    han = _han_entries(tokenizer)
    sources = Sources.read(folder)
    faults: list[AuditFault] = []
    audit: dict[str, Any] = {"unknown_characters": [list(pair) for pair in unknown_characters]}
    for name in ("train", "held_out"):
        audit[name] = _measure(folder, name, sources, tokenizer.unk_id, han, num_threads)
        faults += _faults_of(name, audit[name], objective, limits)
    audit["mask_rates"] = _mask_rates(ExampleSet.open(folder, "train"), vocabulary, limits, faults)
    audit["faults"] = [asdict(fault) for fault in faults]
    return audit


def _measure(
    folder: Path, name: str, sources: Sources, unk_id: int, han: np.ndarray, num_threads: int
) -> dict[str, Any]:
    """Measure one set, batch by batch; two digests of each example are laid aside, to find repeated ones."""
    batches = (batch for path in shard_paths(folder, name) for batch in read_shard(path).to_batches())
    key = ExampleSet.open(folder, name).corpus_key
    counts: Counter[str] = Counter()
    of_length = np.zeros(1, np.int64)
    num_rounds = 0
    with DigestStream.open() as example_ids, DigestStream.open() as contents:
        for measured in map_in_order(
            lambda batch: _measure_batch(batch, key, sources, unk_id, han), batches, num_threads
        ):
            counts.update(measured.counts)
            example_ids.add(measured.example_ids)
            contents.add(measured.contents)
            num_rounds = max(num_rounds, measured.num_rounds)
            longer, shorter = sorted((of_length, measured.of_length), key=len, reverse=True)
            longer[: len(shorter)] += shorter
            of_length = longer
        num_repeated, num_duplicates = map_in_order(DigestStream.num_repeated, (example_ids, contents), num_threads)
    num_examples, num_tokens = counts["examples"], int(of_length @ np.arange(len(of_length)))
    text_tokens = num_tokens - 3 * num_examples + counts["single"]
    return {
        "examples": num_examples,
        "rounds": num_rounds,
        **{measure: counts[measure] for measure in _COUNTED},
        "repeated_example_ids": num_repeated,
        "duplicates": num_duplicates,
        "duplicate_share": _share(num_duplicates, num_examples),
        "tokens": num_tokens,
        "mean_tokens": _share(num_tokens, num_examples),
        "longest_tokens": len(of_length) - 1,
        "fill": _share(num_tokens, num_examples * (len(of_length) - 1)),
        "unknown_share": _share(counts["unknown"], text_tokens),
        "han_tokens": counts["han"],
        "segmenter_coverage": _share(counts["in_words"], counts["han"]),
        "length_histogram": {
            f"{low}-{high - 1}": int(of_length[low:high].sum()) for low, high in pairwise(_LENGTH_EDGES)
        },
    }


@dataclass(frozen=True)
class _BatchMeasures:
    """What a record batch of examples is like."""

    counts: dict[str, int]
    example_ids: np.ndarray
    """uint64, shape (num_examples,)."""
    contents: np.ndarray
    """Digests of tokens and round, uint64, shape (num_examples,)."""
    of_length: np.ndarray
    """Examples of each length, int64, shape (longest_tokens + 1,)."""
    num_rounds: int


def _measure_batch(
    batch: pa.RecordBatch, key: np.uint64, sources: Sources, unk_id: int, han: np.ndarray
) -> _BatchMeasures:
    from bert_core.examples.audit_kernels import measure_rows

    tokens = batch.column("input_ids")
    offsets = tokens.offsets.to_numpy()
    bits, first_bit = np.frombuffer(b"", np.uint8), 0
    if "word_starts" in batch.schema.names:
        word_starts = batch.column("word_starts").values
        bits = np.frombuffer(word_starts.buffers()[1] or b"", np.uint8)
        first_bit = word_starts.offset - int(offsets[0])
    names = ("length_a", "next_sentence_label", "round", "first_a", "first_b")
    length_a, labels, rounds, first_a, first_b = (batch.column(name).to_numpy() for name in names)
    contents, example_ids, num_unknown, num_han, num_in_words = measure_rows(
        tokens.values.to_numpy(),
        offsets,
        bits,
        first_bit,
        han,
        unk_id,
        key,
        length_a,
        labels,
        rounds,
        first_a,
        first_b,
    )
    doc_a, doc_b = (sources.doc_ids[sources.documents_of(first)] for first in (first_a, first_b))
    is_same, is_next, is_second = doc_a == doc_b, labels == NEXT, labels == RANDOM
    counted = {
        "next": is_next,
        "random": is_second & ~is_same,
        "swapped": is_second & is_same,
        "single": labels == NO_PAIR,
        "other_document_continuations": is_next & ~is_same,
        "continuations_out_of_order": is_next & is_same & (first_a >= first_b),
        "swapped_in_order": is_second & is_same & (first_a <= first_b),
    }
    counts = {measure: int(np.count_nonzero(mask)) for measure, mask in counted.items()}
    counts |= {"examples": len(labels), "unknown": int(num_unknown), "han": int(num_han), "in_words": int(num_in_words)}
    return _BatchMeasures(counts, example_ids, contents, np.bincount(np.diff(offsets)), int(rounds.max()) + 1)


def _faults_of(name: str, measured: dict[str, Any], objective: Objective, limits: AuditConfig) -> Iterator[AuditFault]:
    """Hold the measures of one set against the thresholds."""

    def fault(subject: str, got: str, expected: str, *, is_hard: bool = False) -> AuditFault:
        return AuditFault(f"{name} {subject}", got, expected, is_hard)

    num_next, num_second = measured["next"], measured["random"] + measured["swapped"]
    if abs(num_next - num_second) > 1:
        got = f"labels 0 and 1 differ by {abs(num_next - num_second)}"
        yield fault("label balance", got, "at most 1", is_hard=True)
    for measure, subject in _NEVER[objective].items():
        if measured[measure]:
            yield fault(subject, str(measured[measure]), "0", is_hard=True)
    held = [
        ("share of duplicates", "max_duplicate_share", measured["duplicate_share"], "{:.1%}"),
        ("[UNK] share", "max_unknown_share", measured["unknown_share"], "{:.1%}"),
    ]
    if measured["examples"]:
        held.append(("fill of the longest example", "min_fill", measured["fill"], "{:.2f}"))
    if measured["han_tokens"]:
        got = "{:.0%} of the Han tokens in words of several tokens"
        held.append(("segmenter coverage", "min_segmenter_coverage", measured["segmenter_coverage"], got))
    for subject, setting, value, got in held:
        if breach := _breach(setting, value, limits):
            yield fault(subject, got.format(value), breach[0], is_hard=breach[1])


def _breach(setting: str, value: float, limits: AuditConfig) -> tuple[str, bool] | None:
    """Hold a measure against a setting: what was expected and whether its breach is hard; None where it holds."""
    is_upper = setting.startswith("max_")
    for thresholds, is_hard in ((limits, True), (WARN, False)):
        bound = getattr(thresholds, setting)
        if value > bound if is_upper else value < bound:
            told = f"; the limit is examples.audit.{setting}" if is_hard else ""
            return f"at {'most' if is_upper else 'least'} {100 * bound:g}%{told}", is_hard
    return None


def _han_entries(tokenizer: "WordPieceTokenizer") -> np.ndarray:
    """True for the entries that begin with a Han character, bool, shape (vocabulary_size,)."""
    from bert_core.tokens.characters import is_han

    plain = [entry.removeprefix("##") or entry for entry in tokenizer.entries]
    return is_han(np.array([ord(entry[0]) for entry in plain]))


def _share(part: float, whole: float) -> float:
    """Divide and round to six digits; 0 of nothing is 0."""
    return round(float(part) / float(whole), 6) if whole else 0.0


def _mask_rates(
    train: ExampleSet, vocabulary: MaskVocabulary, limits: AuditConfig, faults: list[AuditFault]
) -> dict[str, float]:
    """Mask a sample, evenly spread over the set, by every policy with default settings.

    What hidden tokens become is of no matter here, so an empty thesaurus does.
    """
    vocabulary = replace(vocabulary, similar=SimilarWords.empty())
    num_sampled = min(NUM_SAMPLED, train.num_examples)
    rows = np.linspace(0, train.num_examples - 1, num_sampled).astype(np.int64)
    batch = train.take(np.unique(rows) if num_sampled else rows)
    unmaskable = np.append(vocabulary.special_ids, vocabulary.unk_id)
    is_maskable = ~np.isin(batch.input_ids, unmaskable)
    num_maskable = int(is_maskable.sum())
    counted = np.concatenate([np.zeros(1, np.int64), np.cumsum(is_maskable)])
    of_example = np.diff(counted[batch.offsets])
    rates = {}
    for policy in get_args(MaskingConfig.model_fields["policy"].annotation):
        masking = MaskingConfig(policy=policy, thesaurus="none" if policy == "similar_word" else None)
        _, is_target = mask_examples(batch, 0, 0, masking, vocabulary)
        rates[policy] = _share(int(is_target.sum()), num_maskable)
        at_least = np.maximum(np.rint(masking.mlm_probability * of_example), of_example > 0)  # one in each example
        expected = _share(at_least.sum(), num_maskable)
        breach = _breach("max_mask_rate_error", round(abs(rates[policy] - expected), 6), limits)
        if num_maskable and breach is not None:
            told = f"{expected:.1%}, off by {breach[0]}"
            faults.append(AuditFault(f"train mask rate of {policy}", f"{rates[policy]:.1%}", told, breach[1]))
    return rates
