"""Training steps: bertline beside transformers' `BertForPreTraining`, same weights and batches, dropout on in both.

    python benchmarks/training.py [--quick] [--json FILE] [--sizes tiny,mini]
    python benchmarks/training.py --device cuda

Each side runs in a process of its own, with the same settings of allocator and threads; ours runs before each form of
theirs, and the median of ours counts. Gradients are compared first, and the command fails where ours are further from
float32 than goals allow. On CUDA ours alone is timed; without such a device the command says so and ends.
"""

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import table, text
from benchmarks.measure import run_alone
from benchmarks.table import Row, compare
from bert_core.training.process import training_environment

FLOAT32, BEST = "transformers, float32", "transformers, best found"
GOALS = {
    "tiny": {FLOAT32: 7.0, BEST: 2.6, "MiB": 2.0},
    "mini": {FLOAT32: 5.0, BEST: 2.1, "MiB": 2.0},
    "small": {FLOAT32: 3.0, BEST: 1.45, "MiB": 2.0},
    "base": {FLOAT32: 3.0, BEST: 1.35, "MiB": 1 / 0.9},
}
"""Ratio to reach, by size and peer; MiB is peak memory beside the best form of the peer."""
FORMS = ("float32", "bfloat16", "bfloat16 compiled")
_NOTE = (
    "Forward, backward, clipping, fused AdamW; 128 tokens, vocabulary 21,128, batches of 32 (base 8), no padding, "
    "dropout 0.1. Both sides with the same allocator settings and threads. Ours: bfloat16 autocast, not compiled."
)
_MEMORY_NOTE = "Anonymous memory of the whole process at its highest, interpreter and libraries included."
_SENTENCES_NOTE = (
    "Single sentences of drawn lengths, about a third of 128 tokens on average, model mini; tokens without padding. "
    "Ours: batches sorted by length, padded to their longest; peer: our own model on the same rows padded to 128."
)
_LOADER_NOTE = (
    "Reading, masking and padding a batch, as a share of the step that trains on it; it runs in a thread beside."
)
_CUDA_NOTE = "bfloat16 autocast, not compiled, batches of 64 examples of 128 tokens or 16 of 512, all places tokens."


def main() -> int:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny alone, within a minute; theirs not compiled")
    parser.add_argument("--sizes", default="tiny,mini,small,base", help="which, with commas between")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="cuda: tokens/s and MFU of ours")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    arguments = parser.parse_args()
    facts: dict[str, Any] = {}
    if arguments.device == "cuda":
        rows = _cuda_rows(facts)
        if not rows:
            print("no CUDA device on this machine: nothing measured")  # noqa: T201
            return 0
    else:
        rows = []
        seconds, forms = (1.0, FORMS[:2]) if arguments.quick else (8.0, FORMS)
        for size in ["tiny"] if arguments.quick else arguments.sizes.split(","):
            rows += _size_rows(size, seconds, forms, facts)
        rows += _sentence_rows(seconds, facts)
    table.show(rows)
    if arguments.json:
        words = ["python benchmarks/training.py", *(word for word in sys.argv[1:] if word in ("--quick", "cuda"))]
        table.write_json(arguments.json, " ".join(words).replace(" cuda", " --device cuda"), rows, facts)
    wrong = [name for name, fact in facts.items() if name.startswith("check ") and not fact["equal"]]
    for name in wrong:
        print(f"not equal: {name}: {facts[name]}", file=sys.stderr)  # noqa: T201
    return 1 if wrong else 0


def _size_rows(size: str, seconds: float, forms: tuple[str, ...], facts: dict[str, Any]) -> list[Row]:
    """Compare gradients, then time ours and theirs in turn."""
    found = run_alone("benchmarks.steps:gradient_distances", training_environment(), size=size)
    distances = {name: value for name, value in found.items() if "own" in name or "autocast" in name}
    is_near = distances["own bfloat16"] <= 1.5 * distances["transformers autocast"]
    facts[f"check gradients {size}"] = {**distances, "equal": is_near and distances["own float32"] <= 1e-6}
    own, theirs = [], {}
    for form in forms:
        own.append(_steps(size, "own", seconds))
        theirs[form] = _steps(size, form, seconds)
    facts[f"steps {size}"] = {"own": own, **theirs}
    rate = statistics.median(run["examples_per_second"] for run in own)
    best = max(forms[1:], key=lambda form: theirs[form]["examples_per_second"])
    work, goals = f"training step, {size}", GOALS[size]
    peaks = statistics.median(run["peak_mib"] for run in own), theirs[best]["peak_mib"]
    shown = f"{BEST}: {best}"
    return [
        _row(work, rate, theirs["float32"]["examples_per_second"], FLOAT32, "examples/s", goals[FLOAT32], _NOTE),
        _row(work, rate, theirs[best]["examples_per_second"], shown, "examples/s", goals[BEST], _NOTE),
        _row(f"peak memory, {size}", *peaks, shown, "MiB", goals["MiB"], _MEMORY_NOTE),
    ]


def _steps(size: str, side: str, seconds: float) -> dict[str, Any]:
    return run_alone("benchmarks.steps:measure", training_environment(), size=size, side=side, seconds=seconds)


def _sentence_rows(seconds: float, facts: dict[str, Any]) -> list[Row]:
    """What padding costs single sentences, and the loader's share of a step."""
    if not text.DATA.exists():
        return []
    found = run_alone(
        "benchmarks.loading:measure",
        training_environment(),
        size="mini",
        seconds=seconds,
        vocabulary=str(text.vocabulary("zh")),
    )
    facts["sentences"] = found
    work = "single sentences, mini"
    full, padded_full = 100 * found["fill"], 100 * found["padded_fill"]
    rates = found["tokens_per_second"], found["padded_tokens_per_second"]
    peer, gain = "bertline, padded to 128", full / padded_full
    return [
        _row(
            f"{work}: share of a batch that is tokens", full, padded_full, peer, "%", 98 / padded_full, _SENTENCES_NOTE
        ),
        _row(work, *rates, f"{peer} (fill alone says {gain:.2f})", "tokens/s", None, _SENTENCES_NOTE),
        _row(
            "loader's share of a step, mini",
            100 * found["loader_share"],
            1.0,
            "1 % allowed",
            "% of step",
            1.0,
            _LOADER_NOTE,
        ),
    ]


def _cuda_rows(facts: dict[str, Any]) -> list[Row]:
    import torch

    if not torch.cuda.is_available():
        return []
    rows = []
    for size in ("base", "large"):
        for num_tokens, batch_examples in ((128, 64), (512, 16)):
            made = run_alone(
                "benchmarks.steps:measure",
                size=size,
                side="own",
                seconds=10.0,
                num_tokens=num_tokens,
                batch_examples=batch_examples,
                device="cuda",
            )
            work = f"training step, cuda, {size}, {num_tokens} tokens"
            facts[work] = made
            rows.append(_row(work, made["tokens_per_second"], None, "none", "tokens/s", None, _CUDA_NOTE))
            if "mfu" in made:
                rows.append(_row(f"{work}: MFU", 100 * made["mfu"], None, "none", "%", None, _CUDA_NOTE))
    return rows


def _row(work: str, ours: float, peer: float | None, name: str, unit: str, goal: float | None, note: str) -> Row:
    return compare(work, ours, peer, name, unit, goal=goal, note=note)


if __name__ == "__main__":
    sys.exit(main())
