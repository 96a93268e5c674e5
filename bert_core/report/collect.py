"""From manifests and folders to what a report shows.

Reads `manifest.json` values that are handed in, `metrics.jsonl`, `scores.json` and `predictions.jsonl` of training stages,
and views of examples that the caller made (`examples/inspect.py`). A count or file that is not there leaves its place
empty: a report of a half-finished or an older run is still a report.

Not here: data cards (`cards.py`), drawing (`html.py`).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from heapq import nsmallest
from pathlib import Path
from typing import Any

from bert_core.report.cards import count_facts, data_cards
from bert_core.report.lineage import Node
from bert_core.report.plots import inline_svg, loss_panels
from bert_core.report.tables import (
    StageRow,
    count,
    decimal,
    duration,
    kind_of,
    percent,
    score_rows,
    stage_rows,
)
from bert_core.report.view import (
    ClassScore,
    Curve,
    Entity,
    ExampleCard,
    Fact,
    OutputView,
    PlanRow,
    RunView,
    TaskView,
    TokenMask,
    TokenView,
    WrongAnswer,
)
from bert_core.store.manifest import Manifest

NUM_WRONG_ANSWERS = 40
"""Worst errors shown for each task."""
_ACTIONS = {"run": "built", "built": "built", "reuse": "reused", "reused": "reused"}
_NSP_LABELS = {0: "next", 1: "random", -100: "no pair"}


def collect_run(
    recipe_name: str,
    recipe_text: str,
    decisions: Sequence[Mapping[str, Any]],
    outputs: Mapping[str, tuple[Path, Manifest]],
    examples: Mapping[str, Sequence[Any]] | None = None,
) -> RunView:
    """Fill a `RunView`.

    Args:
        recipe_name: name of the recipe.
        recipe_text: its YAML, as written.
        decisions: what became of each stage, parents first: `stage`, `action` (run or built, reuse or reused),
            `reason`; may carry `seconds`, `num_rows`, `num_bytes`, else they come from the manifests.
        outputs: folder and manifest by stage id, slices by their own ids, parents first.
        examples: by stage id of examples, views as `examples/inspect.py` makes them; dataclasses or plain mappings.
    """
    manifests = [manifest for _, manifest in outputs.values()]
    rows = _grouped_rows(manifests)
    return RunView(
        name=recipe_name,
        recipe_text=recipe_text,
        plan=tuple(_plan_row(decision, rows) for decision in decisions),
        stages=tuple(rows.values()),
        tasks=tuple(_tasks(outputs)),
        nodes=tuple(_nodes(manifests, decisions, rows)),
        data=tuple(data_cards(outputs)),
        examples=tuple(example_card(stage, view) for stage, views in (examples or {}).items() for view in views),
        curves=tuple(_curves(outputs)),
        outputs=tuple(_output_view(manifest) for manifest in manifests),
        versions=_versions(manifests),
    )


def group_of(stage: str) -> str:
    """Return the id under which a stage is shown: a slice under its corpus, `slices/reviews/0003` -> `slices/reviews`."""
    parts = stage.split("/")
    return "/".join(parts[:-1]) if parts[0] in ("slice", "slices") and len(parts) > 2 else stage


def example_card(stage: str, view: Any) -> ExampleCard:
    """Turn a view of an example into a card.

    Args:
        stage: stage id of the examples.
        view: a mapping or an object with `example_id`, `next_sentence_label` (0, 1, -100 or a word), `tokens` (texts),
            `word_starts`, `length_a`, `masks` (by epoch: items of `position`, `shown`, `how`), `origin_a`, `origin_b`.
    """

    def get(name: str, default: Any = None) -> Any:
        return view.get(name, default) if isinstance(view, Mapping) else getattr(view, name, default)

    texts = [str(text) for text in get("tokens", ())]
    word_starts = list(get("word_starts") or [True] * len(texts))
    length_a = get("length_a")
    masks: dict[int, list[TokenMask]] = {}
    for epoch, items in (get("masks") or {}).items():
        for item in items:
            value = item if isinstance(item, Mapping) else {k: getattr(item, k) for k in ("position", "shown", "how")}
            masks.setdefault(int(value["position"]), []).append(
                TokenMask(epoch=int(epoch), shown=str(value["shown"]), how=str(value["how"]))
            )
    tokens = []
    for position, text in enumerate(texts):
        special = text in ("[CLS]", "[SEP]", "[PAD]")
        tokens.append(
            TokenView(
                text=text,
                kind="special" if special else "word" if word_starts[position] else "",
                in_b=not special and length_a is not None and position > int(length_a) + 1,
                masks=tuple(masks.get(position, ())),
            )
        )
    label = get("next_sentence_label", -100)
    return ExampleCard(
        stage=stage,
        example_id=str(get("example_id", "")),
        label=_NSP_LABELS.get(label, str(label)),
        tokens=tuple(tokens),
        origins=tuple(f"{side}: {get(name)}" for side, name in (("A", "origin_a"), ("B", "origin_b")) if get(name)),
        text=_readable(texts),
    )


def _readable(tokens: Sequence[str]) -> str:
    """Join tokens as a reader would write them: Han without spaces, pieces joined, words apart."""
    parts: list[str] = []
    for token in tokens:
        if token in ("[CLS]", "[SEP]", "[PAD]"):
            parts.append(" ")
        elif token.startswith("##"):
            parts.append(token[2:])
        else:
            apart = token[:1].isascii() and parts and parts[-1][-1:].isascii() and parts[-1] != " "
            parts.append(f" {token}" if apart else token)
    return "".join(parts).strip()


def _grouped_rows(manifests: Sequence[Manifest]) -> dict[str, StageRow]:
    """One row for each stage that is shown; slices of a corpus are added up."""
    grouped: dict[str, StageRow] = {}
    for row in stage_rows(manifests):
        group = group_of(row.stage)
        before = grouped.get(group)
        known = [value for value in (row.num_rows, before.num_rows if before else None) if value is not None]
        grouped[group] = StageRow(
            stage=group,
            num_rows=sum(known) if known else None,
            num_steps=row.num_steps,
            loss=row.loss,
            mlm_accuracy=row.mlm_accuracy,
            nsp_accuracy=row.nsp_accuracy,
            seconds=row.seconds + (before.seconds if before else 0.0),
            num_bytes=row.num_bytes + (before.num_bytes if before else 0),
        )
    return grouped


def _plan_row(decision: Mapping[str, Any], rows: Mapping[str, StageRow]) -> PlanRow:
    row = rows.get(str(decision["stage"]))
    given = {name: decision.get(name) for name in ("seconds", "num_rows", "num_bytes")}
    return PlanRow(
        stage=str(decision["stage"]),
        action=_ACTIONS.get(str(decision.get("action", "")), str(decision.get("action", ""))),
        reason=str(decision.get("reason", "")),
        seconds=given["seconds"] if given["seconds"] is not None else row.seconds if row else None,
        num_rows=given["num_rows"] if given["num_rows"] is not None else row.num_rows if row else None,
        num_bytes=given["num_bytes"] if given["num_bytes"] is not None else row.num_bytes if row else None,
    )


def _nodes(
    manifests: Sequence[Manifest], decisions: Sequence[Mapping[str, Any]], rows: Mapping[str, StageRow]
) -> Iterator[Node]:
    actions = {str(decision["stage"]): _ACTIONS.get(str(decision.get("action")), "") for decision in decisions}
    parents: dict[str, dict[str, None]] = {}
    kinds: dict[str, str] = {}
    for manifest in manifests:
        group = group_of(manifest.stage)
        kinds[group] = kind_of(manifest)
        found = parents.setdefault(group, {})
        found.update((group_of(parent.stage), None) for parent in manifest.parents.values())
    scores = {
        f"fine_tune/{row.task}": f"{row.main_name} {percent(row.main_score)}"
        for row in score_rows(manifests)
        if not row.is_reference
    }
    for group, its_parents in parents.items():
        row = rows[group]
        parts = [
            scores.get(group)
            or (f"{count(row.num_steps)} steps" if row.num_steps is not None else f"{count(row.num_rows)} rows"),
            duration(row.seconds),
        ]
        yield Node(
            id=group,
            kind=kinds[group],
            action=actions.get(group, ""),
            note=" · ".join(part for part in parts if not part.startswith("–")),
            parents=tuple(its_parents),
        )


def _tasks(outputs: Mapping[str, tuple[Path, Manifest]]) -> Iterator[TaskView]:
    rows = score_rows([manifest for _, manifest in outputs.values()])
    for task in dict.fromkeys(row.task for row in rows):
        folder, manifest = outputs.get(f"fine_tune/{task}", (None, None))
        test = (manifest.counts.get("test") if manifest else None) or {}
        labels = _labels(folder, manifest)
        by_class = test.get("by_label") or test.get("by_type") or {}
        names = [name for name in labels if name in by_class] or list(by_class)
        confusion = test.get("confusion_matrix") or []
        if len(labels) != len(confusion):
            labels = [f"class {index}" for index in range(len(confusion))]
        num_predictions, num_wrong, wrong = _wrong_answers(folder)
        yield TaskView(
            name=task,
            scores=tuple(row for row in rows if row.task == task),
            classes=tuple(
                ClassScore(
                    name=name,
                    precision=by_class[name].get("precision"),
                    recall=by_class[name].get("recall"),
                    f1=by_class[name].get("f1"),
                    support=by_class[name].get("support"),
                )
                for name in names
            ),
            labels=tuple(labels),
            confusion=tuple(tuple(int(cell) for cell in cells) for cells in confusion),
            num_wrong=num_wrong,
            num_predictions=num_predictions,
            wrong=tuple(wrong),
        )


def _labels(folder: Path | None, manifest: Manifest | None) -> list[str]:
    """Find the names of the classes, in the order of their indices."""
    settings = manifest.spec.get("settings") if manifest else None
    if isinstance(settings, Mapping) and isinstance(settings.get("labels"), list):
        return [str(label) for label in settings["labels"]]
    if folder is not None and (folder / "scores.json").is_file():
        return [str(label) for label in json.loads((folder / "scores.json").read_text(encoding="utf-8"))["labels"]]
    return []


def _wrong_answers(folder: Path | None) -> tuple[int, int, list[WrongAnswer]]:
    """Read predictions: how many, how many wrong, and the wrong ones that gave the truth the least probability."""
    path = folder / "predictions.jsonl" if folder else None
    if path is None or not path.is_file():
        return 0, 0, []
    num_lines = 0
    wrong: list[tuple[float, int, dict[str, Any]]] = []
    with path.open(encoding="utf-8") as file:
        for number, text in enumerate(file):
            line = json.loads(text)
            num_lines += 1
            if line.get("gold") != line.get("predicted"):
                wrong.append((float(line.get("gold_probability") or 0.0), number, line))
    worst = nsmallest(NUM_WRONG_ANSWERS, wrong, key=lambda item: item[:2])
    return num_lines, len(wrong), [_wrong_answer(line) for _, _, line in worst]


def _wrong_answer(line: Mapping[str, Any]) -> WrongAnswer:
    gold, predicted = line.get("gold"), line.get("predicted")
    is_entities = isinstance(gold, list)
    return WrongAnswer(
        text=str(line.get("text", "")),
        gold="" if is_entities else str(gold),
        predicted="" if is_entities else str(predicted),
        probability=line.get("probability"),
        gold_probability=line.get("gold_probability"),
        entities=_compared(gold, predicted or []) if isinstance(gold, list) else (),
    )


def _compared(gold: Sequence[Mapping[str, Any]], predicted: Sequence[Mapping[str, Any]]) -> tuple[Entity, ...]:
    """Lay true and predicted entities beside each other, in the order of the text."""
    verdicts: dict[tuple[int, int, str], tuple[str, str]] = {}
    for verdict, entities in (("missed", gold), ("wrong", predicted)):
        for entity in entities:
            place = (int(entity["start"]), int(entity["end"]), str(entity["type"]))
            verdicts[place] = (str(entity["text"]), "right" if place in verdicts else verdict)
    return tuple(
        Entity(text=text, type=place[2], verdict=verdict) for place, (text, verdict) in sorted(verdicts.items())
    )


def _curves(outputs: Mapping[str, tuple[Path, Manifest]]) -> Iterator[Curve]:
    for stage, (folder, manifest) in outputs.items():
        if kind_of(manifest) != "transfer" and not (stage.startswith("fine_tune/") and stage.count("/") == 1):
            continue
        panels = loss_panels(folder / "metrics.jsonl")
        if not panels:
            continue
        row = stage_rows([manifest])[0]
        counts = manifest.counts
        facts = [
            ("steps", count(row.num_steps)),
            ("loss", decimal(row.loss, 3)),
            ("held-out MLM loss", decimal(counts.get("held_out_mlm_loss"), 3)),
            ("MLM accuracy", percent(row.mlm_accuracy)),
            ("NSP accuracy", percent(row.nsp_accuracy)),
            ("best epoch", count(counts.get("best_epoch"))),
            ("tokens per second", count(counts.get("tokens_per_second"))),
            ("time", duration(row.seconds)),
            ("device", str(counts.get("device") or "–")),
        ]
        yield Curve(
            stage=stage,
            panels=tuple(inline_svg(panel, f"{stage}: training curves") for panel in panels),
            facts=tuple(Fact(name=name, value=value) for name, value in facts if value != "–"),
        )


def _output_view(manifest: Manifest) -> OutputView:
    return OutputView(
        stage=manifest.stage,
        fingerprint=manifest.fingerprint,
        content=manifest.content,
        parents=tuple(f"{role}: {parent.stage}" for role, parent in sorted(manifest.parents.items())),
        num_files=len(manifest.files),
        num_bytes=manifest.num_bytes,
        counts=count_facts(manifest.counts),
    )


def _versions(manifests: Sequence[Manifest]) -> tuple[Fact, ...]:
    """Versions that the outputs were built with; several where they differ."""
    found: dict[str, set[str]] = {}
    for manifest in manifests:
        for name, version in manifest.versions.items():
            found.setdefault(name, set()).add(version)
    return tuple(Fact(name=name, value=", ".join(sorted(found[name]))) for name in sorted(found))
