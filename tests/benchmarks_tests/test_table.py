"""Rows of a comparison, and the page written from them."""

import json
from pathlib import Path

import pytest

from benchmarks.table import compare, markdown, write_json
from benchmarks.write_readme import _shortfalls


@pytest.mark.parametrize(
    ("unit", "ours", "peer", "ratio"),
    [
        ("MB/s", 60.0, 0.75, 80.0),
        ("MB/s", 0.5, 1.0, 0.5),
        ("examples/s", 2000.0, 1000.0, 2.0),
        ("B/token", 2.0, 7.0, 3.5),
        ("s", 4.0, 2.0, 0.5),
        ("MiB", 300.0, 600.0, 2.0),
        ("MB/s", 10.0, None, None),
    ],
)
def test_a_ratio_above_one_means_that_ours_is_better(
    unit: str, ours: float, peer: float | None, ratio: float | None
) -> None:
    assert compare("work", ours, peer, "peer", unit).ratio == ratio


def test_a_table_numbers_each_note_once() -> None:
    rows = [compare("a", 2.0, 1.0, "x", "MB/s", note="first"), compare("b", 1.0, None, "none", "s", note="first")]
    assert markdown(rows).splitlines()[2:] == [
        "| a | 2 | 1 | MB/s | 2 | – | x | 1 |",
        "| b | 1 | – | s | – | – | none | 1 |",
        "",
        "1. first",
    ]


def test_the_page_names_what_falls_short() -> None:
    rows = [
        compare("fast", 9.0, 1.0, "x", "MB/s", goal=10.0),
        compare("slow", 1.0, 2.0, "y", "MB/s"),
        compare("fine", 3.0, 1.0, "z", "MB/s"),
        compare("alone", 3.0, None, "none", "s"),
    ]
    assert _shortfalls(rows) == [
        "## What falls short",
        "",
        "- fast: 9 MB/s beside 1 of x (ratio 9, goal 10)",
        "- slow: 1 MB/s beside 2 of y (ratio 0.5)",
        "",
    ]


def test_json_holds_rows_and_machine(tmp_path: Path) -> None:
    write_json(tmp_path / "rows.json", "command", [compare("a", 2.0, 1.0, "x", "MB/s")], {"check": 1})
    content = json.loads((tmp_path / "rows.json").read_text(encoding="utf-8"))
    assert content["rows"] == [
        {
            "work": "a", "ours": 2.0, "peer": 1.0, "peer_name": "x", "unit": "MB/s", "ratio": 2.0, "goal": None,
            "note": "",
        }
    ]  # fmt: skip
    assert {"cpu", "cores", "memory_gib", "python", "versions"} <= set(content["machine"])
