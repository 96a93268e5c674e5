"""Data cards: the headline numbers of corpora, records, vocabulary, tokens and examples, and what was dropped and why.

Counts come from manifests as the rooms wrote them. Those that a card knows get a name and a place; all others stand
under "All counts", so that a room that counts something new shows it without a change here.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bert_core.report.formats import count, percent
from bert_core.report.tables import kind_of
from bert_core.report.view import Bar, DataCard, Fact
from bert_core.store.manifest import Manifest

MAX_COUNTS = 60
"""Counts listed under "All counts"; a confusion matrix or a list of places is not a count."""
_KINDS = {
    "documents": "corpus",
    "split": "records",
    "vocabulary": "vocabulary",
    "tokens": "tokens",
    "examples": "examples",
    "labelled": "labelled examples",
}
_HEADLINES = {
    "documents": ("documents", "characters", "repaired", "duplicates"),
    "vocabulary": ("size", "unknown_share", "coverage"),
    "tokens": ("documents", "tokens", "sentences", "words", "entities", "unknown_share"),
}
_NAMES = {"unk_fraction": "unknown share", "fill": "longest row filled", "cut": "cut short", "single": "no pair"}
_SHARES = ("fill", "fraction", "share", "rate", "accuracy", "prob")


def data_cards(outputs: Mapping[str, tuple[Path, Manifest]]) -> Iterator[DataCard]:
    """Yield a card for each output of a data stage, in the order given.

    Args:
        outputs: folder and manifest by stage id.
    """
    for folder, manifest in outputs.values():
        kind, counts = kind_of(manifest), manifest.counts
        if kind not in _KINDS:
            continue
        audit = _read_audit(folder) if kind == "examples" else {}
        train = audit.get("train") or counts.get("train") or {}
        rates = {f"share masked by {policy}": rate for policy, rate in (audit.get("mask_rates") or {}).items()}
        unknown = audit.get("unknown_characters") or counts.get("unknown_characters") or ()
        yield DataCard(
            name=manifest.stage,
            kind=_KINDS[kind],
            facts=_headline(kind, counts, train),
            bars=tuple(_bars(kind, counts)),
            histogram=tuple(_histogram(train.get("length_histogram") or {})),
            faults=tuple(
                f"{fault['subject']}: {fault['got']}, expected {fault['expected']}"
                for fault in audit.get("faults") or ()
            ),
            details=(*count_facts(counts), *count_facts(rates), *_unknown_facts(unknown)),
        )


def _unknown_facts(unknown: Sequence[Sequence[Any]]) -> Iterator[Fact]:
    """Name the characters that the vocabulary lacks, most frequent first, with how often they stand in the text."""
    if unknown:
        yield Fact(name="unknown characters", value=", ".join(f"{one} {count(number)}" for one, number in unknown))


def count_facts(counts: Mapping[str, Any]) -> tuple[Fact, ...]:
    """Flatten counts to names and values, at most `MAX_COUNTS`.

    Example: `{"dropped": {"too_short": 3}, "unknown_share": 0.02}` -> `dropped: too short` = 3, `unknown share`
    = 2.0 %.
    """
    facts = [Fact(name=name, value=written(name, value)) for name, value in _flat(counts)]
    return tuple(facts[:MAX_COUNTS])


def written(name: str, value: Any) -> str:
    """Write a count by its kind: shares as percent, whole numbers with separators, the rest as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, float) and 0.0 <= value <= 1.0 and any(word in name for word in _SHARES):
        return percent(value) if value == 0.0 or value >= 0.00995 else f"{100 * value:.2g} %"
    return count(value) if float(value).is_integer() else f"{value:,.4g}"


def waterfall(total: int, dropped: Sequence[tuple[str, int]], *, first_name: str = "read") -> Iterator[Bar]:
    """Yield the bars from what was read, past what was dropped, to what was kept; reasons without a case are left out.

    Example: 10 read, 2 too short, 3 duplicates -> bars 0-10, 8-10, 5-8, 0-5.
    """
    if total <= 0:
        return
    left = total
    yield Bar(name=first_name, num_rows=total, kind="all", start_fraction=0.0, fraction=1.0)
    for name, number in dropped:
        if number > 0:
            left -= number
            start = max(0, left) / total
            yield Bar(
                name=name.replace("_", " "),
                num_rows=number,
                kind="dropped",
                start_fraction=start,
                fraction=min(number / total, 1.0 - start),
            )
    yield Bar(name="kept", num_rows=max(0, left), kind="kept", start_fraction=0.0, fraction=max(0, left) / total)


def _headline(kind: str, counts: Mapping[str, Any], train: Mapping[str, Any]) -> tuple[Fact, ...]:
    """Pick the counts that describe a kind of output best.

    Args:
        kind: of stage.
        counts: of the manifest.
        train: counts of the training set where they are kept by set.
    """
    found: list[tuple[str, Any]]
    if kind == "split":
        splits = counts.get("splits") or {}
        found = [(name, (splits.get(name) or {}).get("records")) for name in ("train", "dev", "test")]
    elif kind == "labelled":
        found = [(name, (counts.get(name) or {}).get("examples")) for name in ("train", "dev", "test")]
        found += [(name, train.get(name)) for name in ("cut", "windowed", "entities", "unk_fraction")]
    elif kind == "examples":
        held_out = counts.get("held_out") or {}
        found = [("train", train.get("examples")), ("held-out", held_out.get("examples"))]
        found += [(name, train.get(name)) for name in ("tokens", "next", "random", "single", "unknown_share", "fill")]
    else:
        found = [(name, counts.get(name)) for name in _HEADLINES[kind]]
        if kind == "documents":
            found.append(("text of dev or test", _sum(counts.get("contaminated"))))
    return tuple(
        Fact(name=_NAMES.get(name, name.replace("_", " ")), value=written(name, value))
        for name, value in found
        if isinstance(value, int | float) and not (name in ("single", "cut", "windowed") and value == 0)
    )


def _bars(kind: str, counts: Mapping[str, Any]) -> Iterator[Bar]:
    """Yield the waterfall of records or documents."""
    seen = _whole(counts.get("seen"))
    if kind == "split":
        splits = counts.get("splits") or {}
        not_scored = [_whole((splits.get(name) or {}).get("not_scored")) for name in ("dev", "test")]
        dropped = [
            *_reasons(counts.get("quarantined"), "unreadable"),
            *((name, _whole(counts.get(name))) for name in ("duplicates", "contradictions")),
            ("in two splits", _sum(counts.get("overlaps"))),
            ("train text in dev or test", _whole(counts.get("leaks"))),
            ("not drawn for scoring", sum(not_scored)),
        ]
        yield from waterfall(seen, dropped)
    elif kind == "documents":
        dropped = [
            *_reasons(counts.get("reasons") or counts.get("quarantined"), "unreadable"),
            *_reasons(counts.get("dropped"), "dropped"),
            *((name, _whole(counts.get(name))) for name in ("duplicates", "near_duplicates")),
            ("text of dev or test", _sum(counts.get("contaminated"))),
        ]
        left = seen - sum(number for _, number in dropped)
        pieces = max(0, _whole(counts.get("documents")) - left) if seen else 0  # long documents cut into several
        yield from waterfall(seen + pieces, dropped, first_name="read" if not pieces else "read, long ones cut")


def _histogram(bins: Mapping[str, Any]) -> Iterator[Bar]:
    """Yield a bar for each range of lengths, in order, empty ranges at both ends left out."""
    numbers = sorted(((int(name.split("-")[0]), name, _whole(number)) for name, number in bins.items()))
    filled = [index for index, (_, _, number) in enumerate(numbers) if number]
    largest = max((number for _, _, number in numbers), default=0)
    for _, name, number in numbers[filled[0] : filled[-1] + 1] if filled else []:
        yield Bar(name=f"{name} tokens", num_rows=number, kind="", start_fraction=0.0, fraction=number / largest)


def _read_audit(folder: Path) -> dict[str, Any]:
    """Read what `examples/audit.py` measured; empty where it is not there."""
    path = folder / "audit.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _reasons(value: Any, name: str) -> list[tuple[str, int]]:
    """Read a count that is a number or numbers by reason."""
    if isinstance(value, Mapping):
        return [(str(reason), _whole(number)) for reason, number in sorted(value.items())]
    return [(name, _whole(value))]


def _sum(value: Any) -> int:
    """Add up a count that is a number or numbers by name."""
    return sum(number for _, number in _reasons(value, ""))


def _whole(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0


def _flat(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted names and scalars; lists are left out."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            name = str(key).replace("_", " ")
            yield from _flat(part, f"{at}: {name}" if at else name)
    elif isinstance(value, int | float | str | bool):
        yield at, value
