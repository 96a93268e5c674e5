"""The task that says what a study came to: tables and pictures as artifacts, and files in the workspace."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from prefect.client.schemas.objects import State
from prefect.states import Completed

from bert_core.report.study import TaskStudy, findings, study_markdown
from bert_core.report.study_plots import curve_plot, starts_plot
from bert_core.stages.line import LineRequest, open_line
from bert_core.stages.study_scores import study_of
from bert_core.store.workspace import write_synced
from tasks.artifacts import artifact_key, escape, picture_markdown, publish_markdown
from tasks.policies import stage_task
from tasks.stage import StageOutcome


@stage_task("Study", pool="data", run_name="study")
def publish_study(request: LineRequest, inputs: list[StageOutcome]) -> State[str]:
    """Compare the starts of every task, write files that begin with `study`, show tables and pictures.

    Args:
        request: which recipe, with its study.
        inputs: outcomes of the stages of this run.

    Returns:
        A state that holds the folder of the files.
    """
    line = open_line(request)
    studies = study_of(line)
    folder = line.workspace.root / "runs" / line.recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    write_study(folder, studies)
    for study in studies:
        for name, png in plots_of(study).items():
            path = folder / f"study-{study.task}-{name}.png"
            path.write_bytes(png)
            title = f"{study.task}: {name}"
            key = artifact_key(line.recipe.name, "study", study.task, name)
            publish_markdown(key, picture_markdown(title, png), f"{title}; {path}")
    publish_markdown(
        artifact_key(line.recipe.name, "study"),
        f"## Study of {escape(line.recipe.name)}\n\n{study_markdown(studies)}",
        f"{sum(len(study.orders) + len(study.variants) for study in studies)} starts compared; files in {folder}",
    )
    return Completed(name="Studied", message=f"files in {folder}", data=str(folder))


def standing_studies(request: LineRequest) -> list[TaskStudy]:
    """Return what stands of a recipe's study; nothing where the recipe does not speak of one and none was asked for."""
    if not request.study and "study" not in open_line(request).recipe.model_fields_set:
        return []
    return study_of(open_line(replace(request, study=True)))


def plots_of(study: TaskStudy) -> dict[str, bytes]:
    """Draw the starts of a task, and the way of its transfers where it was probed, as PNG."""
    plots = {"starts": starts_plot(study, "png")}
    if study.curve:
        plots["curve"] = curve_plot(study, "png")
    return plots


def write_study(folder: Path, studies: Sequence[TaskStudy]) -> None:
    """Write a study as JSON (everything), Markdown (the tables) and CSV (a row for each start and seed)."""
    content: list[dict[str, Any]] = [asdict(study) | {"findings": findings(study)} for study in studies]
    write_synced(folder / "study.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    write_synced(folder / "study.md", study_markdown(studies))
    with (folder / "study.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["task", "start", "kind", "seed", "score_name", "score", "transfer_seconds", "fine_tune_seconds"])
        for study in studies:
            for arm in (*study.orders, *study.variants):
                for number, score in enumerate(arm.scores):
                    seconds = (round(arm.transfer_seconds, 3), round(arm.fine_tune_seconds, 3))
                    rows.writerow([arm.task, arm.name, arm.kind, number + 1, study.score_name, score, *seconds])
