"""What a run shows in the Prefect UI: the plan, counts, samples of examples, curves, the scores.

Keys are stable for each stage of a recipe (`demo-examples-domain-transfer-counts`), so that the UI keeps a history
under one name. Text from a corpus, a file name or a label never becomes markup: `escape` shows it as it is. A server
that does not take an artifact is no reason to lose the work: `published_or_logged` logs the fault and goes on.
"""

import base64
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from bert_core.report.tables import duration, size
from bert_core.stages.line import Line
from bert_core.stages.plan import Decision
from tasks.visible import visible

_MARKUP = re.compile(r"([\\`*_{}\[\]()#+.!|~$:@=^-])")
_LEAF_LIMIT = 200
_COLOURS = {"run": "fill:#f9e2b0,stroke:#b8860b,color:#333", "reuse": "fill:#cfe8d5,stroke:#3c7a4e,color:#333"}


def artifact_key(recipe: str, *parts: str) -> str:
    """Return the key of an artifact: lower-case letters, digits and dashes.

    Example: `artifact_key("demo", "examples/domain_transfer", "counts") == "demo-examples-domain-transfer-counts"`.
    """
    return re.sub(r"[^a-z0-9]+", "-", "-".join((recipe, *parts)).lower()).strip("-")


def escape(text: str) -> str:
    r"""Write text so that neither markdown nor HTML in it takes effect, on one line.

    Example: `escape("<b>|*x*")` gives `&lt;b&gt;\|\*x\*`; control characters are shown as `\u{1b}`.
    """
    text = visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKUP.sub(r"\\\1", text.replace('"', "&quot;"))


@contextmanager
def published_or_logged(key: str) -> Iterator[None]:
    """Log, and go on, when the Prefect server does not take an artifact."""
    import httpx
    from prefect.exceptions import PrefectException

    try:
        yield
    except (PrefectException, httpx.HTTPError, OSError, RuntimeError) as error:
        logging.getLogger("bertline").warning("artifact %s was not published: %s", key, error)


def counts_table(counts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Lay nested counts out as rows of `count` and `value`.

    Example: `{"rows": 3, "test": {"accuracy": 0.9}}` -> `rows 3`, `test.accuracy 0.9`. Long lists are cut.
    """
    rows: list[dict[str, Any]] = []

    def add(value: Any, at: str) -> None:
        if isinstance(value, Mapping):
            for key, part in value.items():
                add(part, f"{at}.{key}" if at else str(key))
        elif isinstance(value, list | tuple):
            text = ", ".join(str(part) for part in value)
            rows.append({"count": at, "value": text if len(text) <= _LEAF_LIMIT else f"{len(value)} values"})
        else:
            rows.append({"count": at, "value": value if isinstance(value, int | float) else str(value)})

    add(counts, "")
    return rows


def plan_markdown(line: Line, decisions: Sequence[Decision]) -> str:
    """Write the plan as a coloured graph and a table of reasons.

    Args:
        line: the open recipe.
        decisions: one for each stage.
    """
    num_run = sum(decision.action == "run" for decision in decisions)
    lines = [
        f"## Plan of {escape(line.recipe.name)}: {num_run} to run, {len(decisions) - num_run} to reuse",
        "",
        "```mermaid",
        *_mermaid(line, decisions),
        "```",
        "",
        "| stage | action | why | rows | size | last took | fingerprint |",
        "| :-- | :-- | :-- | --: | --: | --: | :-- |",
    ]
    for decision in decisions:
        seconds = decision.expected_seconds if decision.action == "run" else None
        cells = (
            escape(decision.stage),
            "**run**" if decision.action == "run" else "reuse",
            escape(decision.reason),
            "–" if decision.num_rows is None else f"{decision.num_rows:,}",
            size(decision.num_bytes),
            duration(seconds),
            f"`{decision.fingerprint[:12]}`" if decision.fingerprint else "–",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _mermaid(line: Line, decisions: Sequence[Decision]) -> list[str]:
    names = {decision.stage: f"s{number}" for number, decision in enumerate(decisions)}
    lines = ["graph LR"]
    for decision in decisions:
        lines.append(f'  {names[decision.stage]}["{decision.stage}"]:::{decision.action}')
        lines += [
            f"  {names[parent]} --> {names[decision.stage]}"
            for parent in dict.fromkeys(line.stages[decision.stage].parents.values())
            if parent in names
        ]
    return lines + [f"  classDef {action} {style}" for action, style in _COLOURS.items()]


def audit_markdown(audit: Mapping[str, Any]) -> str:
    """Write an audit of examples as tables: faults, measures of both sets, mask rates, unknown characters.

    Args:
        audit: content of audit.json.
    """
    lines = ["## Audit", ""]
    if audit["faults"]:
        lines += ["| found | got | expected |", "| :-- | --: | :-- |"]
        lines += [
            f"| {escape(fault['subject'])} | {escape(fault['got'])} | {escape(fault['expected'])} |"
            for fault in audit["faults"]
        ]
    else:
        lines.append("Every threshold holds.")
    sets = {name: {row["count"]: row["value"] for row in counts_table(audit[name])} for name in ("train", "held_out")}
    lines += ["", "| measure | train | held out |", "| :-- | --: | --: |"]
    lines += [f"| {escape(key)} | {value} | {sets['held_out'].get(key, '')} |" for key, value in sets["train"].items()]
    lines += ["", "| policy | share of the tokens hidden |", "| :-- | --: |"]
    lines += [f"| {escape(policy)} | {rate:.2%} |" for policy, rate in audit["mask_rates"].items()]
    if audit["unknown_characters"]:
        shown = ", ".join(f"{escape(character)} {number:,}" for character, number in audit["unknown_characters"])
        lines += ["", f"Characters that the vocabulary lacks: {shown}"]
    return "\n".join(lines) + "\n"


def augmentation_markdown(made: Mapping[str, Any]) -> str:
    """Write the copies of training examples as tables: how many of which kind, and some before and after.

    Args:
        made: content of augmentation.json or substitution.json.
    """
    lines = ["## Copies", "", "| count | value |", "| :-- | --: |"]
    lines += [f"| {escape(row['count'])} | {row['value']} |" for row in counts_table(made["counts"])]
    lines += ["", "| operation | label | before | after |", "| :-- | :-- | :-- | :-- |"]
    for sample in made["samples"]:
        label = sample["label"] if isinstance(sample["label"], str) else ", ".join(sample["label"])
        cells = (sample["operation"], label, sample["before"], sample["after"])
        lines.append(f"| {' | '.join(escape(cell) for cell in cells)} |")
    return "\n".join(lines) + "\n"


def picture_markdown(title: str, png: bytes) -> str:
    """Write a picture into markdown as a data URI."""
    return f"## {escape(title)}\n\n![{escape(title)}](data:image/png;base64,{base64.b64encode(png).decode()})\n"


def publish_table(key: str, rows: list[dict[str, Any]], description: str) -> None:
    """Publish rows as a table artifact; nothing where there is no row."""
    from prefect.artifacts import create_table_artifact

    if rows:
        with published_or_logged(key):
            create_table_artifact(table=rows, key=key, description=description)


def publish_markdown(key: str, markdown: str, description: str) -> None:
    """Publish a markdown artifact."""
    from prefect.artifacts import create_markdown_artifact

    with published_or_logged(key):
        create_markdown_artifact(markdown=markdown, key=key, description=description)
