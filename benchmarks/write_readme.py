"""Write README.md from the JSON of full runs: `python benchmarks/write_readme.py [examples.json] [--machine "quiet"]`.

The words are here, the figures in the JSON; so the page never says what was not measured.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.table import Row, markdown

FOLDER = Path(__file__).resolve().parent
_HEAD = """# Benchmarks

The same work done by bertline and by the tools that people use for it: same text, same vocabulary, one run.

```
python benchmarks/examples.py            # everything
python benchmarks/examples.py --quick    # the same table on small parts, within a minute on an idle machine
python benchmarks/training.py            # training steps beside transformers; --quick: tiny alone
python benchmarks/training.py --device cuda          # tokens/s and MFU of ours; ends at once where there is no GPU
python benchmarks/examples.py --json benchmarks/examples.json
python benchmarks/training.py --json benchmarks/training.json
python benchmarks/decoding.py --text FILE.json       # encodings found from short excerpts: decoding.md
python benchmarks/write_readme.py        # this page from both files
```

`pip install -e '.[bench]'` brings flash-tokenizer and blingfire; a peer that is not installed is skipped and
said to be. Each side runs in a process of its own. Compiled code is loaded from its cache before the clock
starts, by a small run in the same process; the first run ever on a machine compiles, which takes some seconds
more. Rates are in MB (10^6 bytes) of UTF-8 text after cleaning; a `MB/cpu-s` row is the figure per core: it
divides by processor time of all processes in place of wall time, which other work on the machine disturbs less. A
ratio is how many times better ours is: faster, or smaller; **below 1 ours is worse**.

- **Text.** Chinese: translated articles, histories in modern Chinese, laws (`shared/data` beside the checkout).
  English: docstrings, README and METADATA files of the packages installed here. Both in a fixed random order.
- **google-research** needs TensorFlow 1: its rule is re-stated in pure Python like the original
  (`reference_rule.py`, `peers/google_rule.py`).
- **LDDL**'s package demands versions that would replace this project's, and fetches a sentence model when it runs: its
  rule is re-stated (`peers/lddl_rule.py`); from equal seeds it makes the pairs that lddl 0.1.0's own function makes.
- **run_mlm** is the recipe of the transformers example, with `datasets` and `transformers` themselves.
- tokenizers, flash-tokenizer, blingfire and the collator are the packages themselves.
"""


def main() -> None:
    """Read the JSON, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("json", nargs="?", type=Path, default=FOLDER / "examples.json")
    parser.add_argument("--training", type=Path, default=FOLDER / "training.json", help="rows of training.py, if any")
    parser.add_argument("--machine", default="quiet", help="what else ran: quiet, or loaded")
    arguments = parser.parse_args()
    content = json.loads(arguments.json.read_text(encoding="utf-8"))
    rows = [Row(**row) for row in content["rows"]]
    page = "\n".join([_HEAD, *_machine(content, arguments.machine), *_shortfalls(rows), *_checks(content["facts"])])
    page += f"\n## All rows\n\n{markdown(rows)}\n"
    if arguments.training.is_file():
        page += "\n".join(_training(json.loads(arguments.training.read_text(encoding="utf-8")), arguments.machine))
    (FOLDER / "README.md").write_text(page, encoding="utf-8")


def _machine(content: dict[str, Any], state: str) -> list[str]:
    machine = content["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return [
        "## The run",
        "",
        f"`{content['command']}` on a {state} machine: {machine['cores']} cores of {machine['cpu']}, "
        f"{machine['memory_gib']} GiB, load average {machine['load_average']} at the end, Python {machine['python']}; "
        f"{versions}.",
        "",
    ]


def _shortfalls(rows: list[Row]) -> list[str]:
    """Name every row in which ours is worse or misses its goal."""
    short = [row for row in rows if row.ratio is not None and row.ratio < (row.goal or 1.0)]
    lines = ["## What falls short", ""]
    for row in short:
        goal = f", goal {row.goal:g}" if row.goal else ""
        lines.append(
            f"- {row.work}: {row.ours:g} {row.unit} beside {row.peer:g} of {row.peer_name} (ratio {row.ratio:g}{goal})"
        )
    return [*(lines if short else [*lines, "Nothing in this run."]), ""]


def _training(content: dict[str, Any], state: str) -> list[str]:
    """Lay out the rows of training.py: what falls short, how near gradients are, the table."""
    rows = [Row(**row) for row in content["rows"]]
    lines = ["", "# Training steps", "", *_machine(content, state), *_shortfalls(rows)]
    lines += [
        "## How far gradients are from transformers in float32",
        "",
        "Relative L2 of all gradients, dropout off.",
        "",
    ]
    for name, fact in content["facts"].items():
        if name.startswith("check gradients"):
            distances = ", ".join(f"{side} {value:.2g}" for side, value in fact.items() if side != "equal")
            lines.append(f"- {name.split()[-1]}: {distances}.")
    return [*lines, "", "## Rows of training", "", markdown(rows), ""]


def _checks(facts: dict[str, Any]) -> list[str]:
    lines = ["## What was checked to be equal", ""]
    for name, fact in facts.items():
        if name.startswith("check tokens"):
            lines.append(
                f"- {name.split()[-1]}: ids of {fact['documents']:,} documents in our shards beside those of the "
                f"tokenizers library: {fact['differing']} documents differ."
            )
        elif name.startswith("check tokenizing"):
            shares = ", ".join(f"{peer} {share:.4%}" for peer, share in fact["by"].items() if peer != "tokenizers")
            lines.append(
                f"- {name.split()[-1]}: share of {fact['texts']:,} sentences ({fact['tokens']:,} tokens) with the ids "
                f"of the tokenizers library: {shares}."
            )
    masked = facts["masking"]
    shares = ", ".join(f"{name} {share:.1%}" for name, share in masked["masked_share"].items())
    bare = ", ".join(f"{name} {share:.0%}" for name, share in masked["untouched_share"].items() if share)
    lines.append(
        f"- share of the maskable tokens that became targets: {shares}; rows without any target: {bare or 'none'}."
    )
    return [*lines, ""]


if __name__ == "__main__":
    main()
