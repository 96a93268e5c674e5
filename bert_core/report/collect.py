"""From the manifests and folders of a run to what its report shows.

A count or file that is not there leaves its place empty: a report of a half-finished or an older run is still a report.

Not here: data cards (`cards.py`), scores and errors of tasks (`outcomes.py`), examples with their masks (`explore.py`),
drawing (`html.py`).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bert_core.examples.inspect import ExampleView
from bert_core.report.canvas import inline_svg
from bert_core.report.cards import count_facts, data_cards
from bert_core.report.explore import document_places, example_card, sample_examples
from bert_core.report.formats import DASH, count, decimal, duration, percent
from bert_core.report.lineage import Node
from bert_core.report.outcomes import task_views
from bert_core.report.plots import loss_panels
from bert_core.report.scores import score_rows
from bert_core.report.study import TaskStudy, findings, study_rows
from bert_core.report.study_plots import curve_plot, starts_plot
from bert_core.report.tables import StageRow, kind_of, stage_rows
from bert_core.report.view import Curve, Fact, OutputView, PlanRow, RunView, StudyView
from bert_core.store.manifest import Manifest

_ACTIONS = {"run": "built", "built": "built", "reuse": "reused", "reused": "reused"}


def collect_run(
    recipe_name: str,
    recipe_text: str,
    decisions: Sequence[Mapping[str, Any]],
    outputs: Mapping[str, tuple[Path, Manifest]],
    examples: Mapping[str, Sequence[ExampleView]] | None = None,
    studies: Sequence[TaskStudy] = (),
) -> RunView:
    """Fill a `RunView`.

    Args:
        recipe_name: name of the recipe.
        recipe_text: its YAML, as written.
        decisions: what became of each stage, parents first: `stage`, `action` (run or built, reuse or reused),
            `reason`; may carry `seconds`, `num_rows`, `num_bytes`, else they come from the manifests.
        outputs: folder and manifest by stage id, slices by their own ids, parents first.
        examples: views to show by stage id of examples; None to draw some from every set of examples in `outputs`.
        studies: what stands of the recipe's study, a value for each task.
    """
    manifests = [manifest for _, manifest in outputs.values()]
    rows = _grouped_rows(manifests)
    views = sample_examples(outputs) if examples is None else examples
    places = document_places(outputs, [view for some in views.values() for view in some])
    return RunView(
        name=recipe_name,
        recipe_text=recipe_text,
        plan=tuple(_plan_row(decision, rows) for decision in decisions),
        stages=tuple(rows.values()),
        tasks=tuple(task_views(outputs)),
        nodes=tuple(_nodes(manifests, decisions, rows)),
        data=tuple(data_cards(outputs)),
        examples=tuple(example_card(stage, view, places) for stage, some in views.items() for view in some),
        curves=tuple(_curves(outputs)),
        outputs=tuple(_output_view(manifest) for manifest in manifests),
        versions=_versions(manifests),
        studies=tuple(_study_view(study) for study in studies),
    )


def group_of(stage: str) -> str:
    """Return the id under which a stage is shown, a slice under its corpus: `slices/news/0003` -> `slices/news`."""
    parts = stage.split("/")
    return "/".join(parts[:-1]) if parts[0] in ("slice", "slices") and len(parts) > 2 else stage


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
            note=" · ".join(part for part in parts if not part.startswith(DASH)),
            parents=tuple(its_parents),
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
            ("SOP accuracy", percent(counts.get("held_out_sop_accuracy"))),
            ("best epoch", count(counts.get("best_epoch"))),
            ("tokens per second", count(counts.get("tokens_per_second"))),
            ("model FLOPs utilisation", percent(counts.get("mfu"))),
            ("time", duration(row.seconds)),
            ("device", str(counts.get("device") or DASH)),
        ]
        yield Curve(
            stage=stage,
            panels=tuple(inline_svg(panel, f"{stage}: training curves") for panel in panels),
            facts=tuple(Fact(name=name, value=value) for name, value in facts if value != DASH),
        )


def _study_view(study: TaskStudy) -> StudyView:
    panels = [inline_svg(starts_plot(study), f"{study.task}: every seed of every start")]
    if study.curve:
        panels.append(inline_svg(curve_plot(study), f"{study.task}: points on the way of each transfer"))
    return StudyView(
        name=study.task,
        table=tuple(tuple(row) for row in study_rows(study)),
        findings=tuple(findings(study)),
        panels=tuple(panels),
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
