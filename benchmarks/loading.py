"""What padding costs and what the loader costs, on single sentences read from shards and masked as in training.

Lengths are drawn so that a batch padded to 128 tokens is about a third full, as single Chinese sentences are. The same
rows are trained on twice: batches sorted by length as the line makes them, and the same batches padded to 128.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

NUM_EXAMPLES, BATCH_EXAMPLES, NUM_TOKENS = 16_384, 32, 128


def measure(size: str, seconds: float, vocabulary: str) -> dict[str, float]:
    """Train on sorted and on padded batches in turn, and time the loader alone.

    Args:
        size: key of `benchmarks.steps.SIZES`.
        seconds: timed for each kind of batch, seconds.
        vocabulary: a vocab.txt.

    Returns:
        `fill` and `padded_fill` (share of a batch that is no padding, over a whole epoch), `tokens_per_second` and
        `padded_tokens_per_second` (padding not counted), `loader_seconds` for each batch and `loader_share` of a step.
    """
    import numpy as np

    from benchmarks.steps import step_of
    from bert_core.config import MaskingConfig
    from bert_core.examples.masking import MaskVocabulary
    from bert_core.examples.reader import ExampleSet
    from bert_core.tokens.vocabulary_files import load_vocabulary, write_vocabulary
    from bert_core.training.batches import DrawnBatch, Layout, draw_batch
    from bert_core.training.order import BatchPlan

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        entries = load_vocabulary(Path(vocabulary))
        write_vocabulary(entries, True, folder)
        _write_sentences(folder, len(entries))
        examples, masking = ExampleSet.open(folder, "train"), MaskingConfig()
        words = MaskVocabulary.from_folder(folder, masking)
        plan = BatchPlan(examples.lengths, [examples.rows_of_round(0)], BATCH_EXAMPLES, 1, "benchmark")
        plans = [plan.rows(step)[1] for step in range(plan.num_batches(0))]
        widths = np.array([examples.lengths[rows].max() for rows in plans])
        num_places = float(widths @ np.array([len(rows) for rows in plans]))

        def drawn(step: int, multiple: int) -> DrawnBatch:
            return draw_batch(examples, plans[step], masking, words, 1, 0, Layout(length_multiple=multiple))

        drawn(0, 1)
        began = time.perf_counter()
        by_kind = {
            kind: [drawn(step, multiple) for step in range(64)] for kind, multiple in (("", 1), ("padded_", 128))
        }
        loader_seconds = (time.perf_counter() - began) / 128
        steps = {kind: step_of(size, "own", [batch.parts[0] for batch in made]) for kind, made in by_kind.items()}
        taken, tokens = dict.fromkeys(by_kind, 0.0), dict.fromkeys(by_kind, 0)
        for step in steps.values():
            step(0)
            step(1)
        number = 0
        while number < 6 or taken["padded_"] < seconds:
            for kind, step in steps.items():
                began = time.perf_counter()
                step(number % 64)
                taken[kind] += time.perf_counter() - began
                tokens[kind] += by_kind[kind][number % 64].num_tokens
            number += 1
    return {
        "fill": float(examples.lengths.sum()) / num_places,
        "padded_fill": float(examples.lengths.mean()) / NUM_TOKENS,
        "loader_seconds": loader_seconds,
        "loader_share": loader_seconds * number / taken[""],
        **{f"{kind}tokens_per_second": tokens[kind] / taken[kind] for kind in taken},
    }


def _write_sentences(folder: Path, num_entries: int) -> None:
    """Write examples without pairs whose lengths follow a log-normal law around 32 tokens."""
    import numpy as np
    import pyarrow as pa

    from bert_core.examples.sources import reader_metadata
    from bert_core.store.schemas import examples_schema
    from bert_core.store.shards import write_shards

    generator, schema = np.random.default_rng(1), examples_schema(num_entries)
    schema = schema.with_metadata(reader_metadata(np.zeros(1, np.uint64), np.zeros(num_entries, bool)))
    lengths = np.clip(generator.lognormal(3.45, 0.7, NUM_EXAMPLES), 5, NUM_TOKENS).astype(int)
    rows: dict[str, Any] = {name: [0] * NUM_EXAMPLES for name in schema.names}
    rows |= {
        "first_a": list(range(NUM_EXAMPLES)),
        "first_b": list(range(NUM_EXAMPLES)),
        "input_ids": [[101, *generator.integers(200, num_entries, length - 2), 102] for length in lengths],
        "length_a": lengths - 2,
        "next_sentence_label": [-100] * NUM_EXAMPLES,
        "word_starts": [[True] * length for length in lengths],
        "entity_starts": [[]] * NUM_EXAMPLES,
        "entity_lengths": [[]] * NUM_EXAMPLES,
    }
    write_shards(folder, "train", schema, [pa.table(rows, schema=schema)])
