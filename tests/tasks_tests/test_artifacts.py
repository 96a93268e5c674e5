"""Artifacts have stable keys, and nothing in a text or a name becomes markup."""

import re
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_core.stages.plan import Decision
from tasks.artifacts import (
    artifact_key,
    augmentation_markdown,
    counts_table,
    escape,
    picture_markdown,
    plan_markdown,
    publish_markdown,
    publish_table,
)
from tasks.visible import visible


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("demo", "examples/domain_transfer", "counts"), "demo-examples-domain-transfer-counts"),
        (("demo", "fine_tune/sentiment/from_random", "curve"), "demo-fine-tune-sentiment-from-random-curve"),
        (("my_line", "plan"), "my-line-plan"),
    ],
)
def test_keys_are_lower_case_with_dashes(parts: tuple[str, ...], expected: str) -> None:
    assert artifact_key(*parts) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain 文字", "plain 文字"),
        ("<script>alert('x')</script>", "&lt;script&gt;alert\\('x'\\)&lt;/script&gt;"),
        ("a|b", "a\\|b"),
        ("![x](javascript:1)", "\\!\\[x\\]\\(javascript\\:1\\)"),
        ("```mermaid", "\\`\\`\\`mermaid"),
        ("one\ntwo", "one\\\\u\\{a\\}two"),
        ("\x1b[31mred", "\\\\u\\{1b\\}\\[31mred"),
        ("\u202eright to left", "\\\\u\\{202e\\}right to left"),
    ],
)
def test_markup_is_shown_and_not_obeyed(text: str, expected: str) -> None:
    assert escape(text) == expected


@given(st.text(max_size=60))
def test_an_escaped_text_stays_in_its_table_cell(text: str) -> None:
    escaped = escape(text)
    assert "\n" not in escaped
    assert "<" not in escaped
    assert not re.search(r"(?<!\\)(\\\\)*\|", escaped), "a bar that ends the cell"


@given(st.text(max_size=60))
def test_visible_text_holds_no_control_character(text: str) -> None:
    assert all(ord(character) >= 0x20 and not 0x7F <= ord(character) < 0xA0 for character in visible(text))


def test_nested_counts_become_rows() -> None:
    counts = {"rows": 3, "test": {"accuracy": 0.5, "labels": ["a", "b"]}, "long": list(range(500)), "note": None}
    assert counts_table(counts) == [
        {"count": "rows", "value": 3},
        {"count": "test.accuracy", "value": 0.5},
        {"count": "test.labels", "value": "a, b"},
        {"count": "long", "value": "500 values"},
        {"count": "note", "value": "None"},
    ]


@dataclass
class _Stage:
    parents: dict[str, str]


def _decision(stage: str, action: str, reason: str, **values: object) -> Decision:
    empty = {"fingerprint": None, "expected_seconds": None, "built_at": "", "num_rows": None, "num_bytes": None}
    return Decision(stage=stage, kind="any", action=action, reason=reason, **(empty | values))  # type: ignore[arg-type]


def test_the_plan_is_a_coloured_graph_and_a_table_of_reasons() -> None:
    line = SimpleNamespace(
        recipe=SimpleNamespace(name="tiny"),
        stages={
            "documents/a": _Stage({}),
            "tokens/a": _Stage({"documents": "documents/a"}),
            "elsewhere": _Stage({"start": "not planned"}),
        },
    )
    decisions = [
        _decision(
            "documents/a", "reuse", "nothing changed", fingerprint="0123456789abcdef", num_rows=1200, num_bytes=2048
        ),
        _decision("tokens/a", "run", "file `x|y` changed", expected_seconds=75.0),
        _decision("elsewhere", "run", "no earlier output"),
    ]
    assert plan_markdown(line, decisions) == (  # type: ignore[arg-type]
        "## Plan of tiny: 2 to run, 1 to reuse\n"
        "\n"
        "```mermaid\n"
        "graph LR\n"
        '  s0["documents/a"]:::reuse\n'
        '  s1["tokens/a"]:::run\n'
        "  s0 --> s1\n"
        '  s2["elsewhere"]:::run\n'
        "  classDef run fill:#f9e2b0,stroke:#b8860b,color:#333\n"
        "  classDef reuse fill:#cfe8d5,stroke:#3c7a4e,color:#333\n"
        "```\n"
        "\n"
        "| stage | action | why | rows | size | last took | fingerprint |\n"
        "| :-- | :-- | :-- | --: | --: | --: | :-- |\n"
        "| documents/a | reuse | nothing changed | 1,200 | 2.0 KiB | – | `0123456789ab` |\n"
        "| tokens/a | **run** | file \\`x\\|y\\` changed | – | – | 1 min 15 s | – |\n"
        "| elsewhere | **run** | no earlier output | – | – | – | – |\n"
    )


def test_a_picture_is_a_data_uri() -> None:
    assert picture_markdown("Loss of pretrain", b"\x89PNG") == (
        "## Loss of pretrain\n\n![Loss of pretrain](data:image/png;base64,iVBORw==)\n"
    )


@pytest.mark.parametrize("publish", [publish_markdown, publish_table])
def test_an_artifact_that_is_not_taken_is_logged(publish, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    def refuse(**_: object) -> None:
        raise ConnectionRefusedError("no server")

    monkeypatch.setattr("prefect.artifacts.create_markdown_artifact", refuse)
    monkeypatch.setattr("prefect.artifacts.create_table_artifact", refuse)
    publish("some-key", "text" if publish is publish_markdown else [{"count": "rows", "value": 1}], "description")
    assert "artifact some-key was not published: no server" in caplog.text


def test_an_audit_shows_faults_measures_rates_and_unknown_characters_as_text() -> None:
    from tasks.artifacts import audit_markdown

    fault = {"subject": "train fill", "got": "0.04", "expected": "at least 0.5", "is_hard": False}
    audit = {
        "faults": [fault],
        "train": {"examples": 3, "length_histogram": {"0-15": 3}},
        "held_out": {"examples": 1, "length_histogram": {"0-15": 1}},
        "mask_rates": {"span": 0.1504},
        "unknown_characters": [["<", 7]],
    }
    lines = audit_markdown(audit).splitlines()
    assert r"| train fill | 0\.04 | at least 0\.5 |" in lines
    assert "| examples | 3 | 1 |" in lines
    assert r"| length\_histogram\.0\-15 | 3 | 1 |" in lines
    assert "| span | 15.04% |" in lines
    assert lines[-1] == "Characters that the vocabulary lacks: &lt; 7"
    assert "Every threshold holds." in audit_markdown(audit | {"faults": []})


def test_copies_are_shown_before_and_after_as_text() -> None:
    made = {
        "counts": {"copies": 1, "by_operation": {"swap": 1}},
        "samples": [
            {"operation": "swap", "label": "bad|", "before": "<b>ab", "after": "ba"},
            {"operation": "swap", "label": ["nr", "ns"], "before": "c", "after": "d"},
        ],
    }
    lines = augmentation_markdown(made).splitlines()
    assert lines[-2:] == [r"| swap | bad\| | &lt;b&gt;ab | ba |", "| swap | nr, ns | c | d |"]
    assert r"| by\_operation\.swap | 1 |" in lines
