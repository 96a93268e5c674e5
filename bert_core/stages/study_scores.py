"""From a study's outputs to what its tables show: scores by arm and seed, and the points of its curve.

What does not stand yet is left out: an arm counts with the seeds, from the first on, whose fine-tunings stand.
"""

import json
from collections.abc import Mapping
from typing import Any

from bert_core.config.study import TRANSFERS_OF_ORDER
from bert_core.report.study import CurvePoint, StudyArm, TaskStudy
from bert_core.stages.line import Line, Output
from bert_core.stages.study import StudyRun, own_order


def study_of(line: Line) -> list[TaskStudy]:
    """Gather what stands of a line's study, task by task; a task of which nothing stands is left out.

    Args:
        line: opened with its study.
    """
    studies = []
    for task in dict.fromkeys(run.task for run in line.study):
        runs = [run for run in line.study if run.task == task]
        arms = [arm for name in dict.fromkeys(run.arm for run in runs) if (arm := _arm(line, runs, name)) is not None]
        if not arms:
            continue
        orders = tuple(arm for arm in arms if arm.kind == "order")
        own = own_order(line.recipe, task)
        studies.append(
            TaskStudy(
                task=task,
                score_name=_score_name(line, runs),
                own=own,
                orders=orders,
                variants=tuple(arm for arm in arms if arm.kind == "variant"),
                curve=_curve(line, orders, [arm for arm in arms if arm.kind == "probe"]),
                references=_references(line, task),
            )
        )
    return studies


def _arm(line: Line, runs: list[StudyRun], name: str) -> StudyArm | None:
    own = sorted((run for run in runs if run.arm == name), key=lambda run: run.seed)
    outputs: list[Output] = []
    for run in own:
        output = line.output(line.stages[run.stage])
        if output is None:
            break
        outputs.append(output)
    if not outputs:
        return None
    transfers = [line.output(line.stages[stage]) for stage in own[0].transfers]
    return StudyArm(
        task=own[0].task,
        name=name,
        kind=own[0].kind,
        scores=tuple(_main_score(output)[1] for output in outputs),
        transfer_seconds=sum(output.manifest.seconds for output in transfers if output is not None),
        fine_tune_seconds=sum(output.manifest.seconds for output in outputs) / len(outputs),
        probed=own[0].probed,
        steps=own[0].steps,
    )


def _curve(line: Line, orders: tuple[StudyArm, ...], probes: list[StudyArm]) -> tuple[CurvePoint, ...]:
    """The points of the recipe's own order: where each transfer begins, its probes, and its end."""
    points: list[CurvePoint] = []
    names = dict.fromkeys(probe.probed for probe in probes)
    by_name = {arm.name: arm for arm in orders}
    for name in names:
        before = name.rpartition("+")[0] or "base"
        last = line.recipe.transfers()[TRANSFERS_OF_ORDER[name][-1]].steps
        ends = [(0, by_name.get(before)), *((arm.steps, arm) for arm in probes if arm.probed == name)]
        ends.append((last, by_name.get(name)))
        points += [
            CurvePoint(order=name, steps=steps, mean=arm.mean, spread=arm.spread, num_seeds=len(arm.scores))
            for steps, arm in ends
            if arm is not None
        ]
    return tuple(points)


def _references(line: Line, task: str) -> tuple[tuple[str, float], ...]:
    """Scores of what has no start, where the recipe compares with it."""
    found = []
    for name in line.fine_tunes(task):
        stage = line.stages[name]
        output = line.output(stage) if stage.kind != "fine_tune" else None
        if output is not None:
            found.append((stage.kind, _main_score(output)[1]))
    return tuple(found)


def _score_name(line: Line, runs: list[StudyRun]) -> str:
    outputs = (line.output(line.stages[run.stage]) for run in runs)
    return next(_main_score(output)[0] for output in outputs if output is not None)


def _main_score(output: Output) -> tuple[str, float]:
    """Name and test value of the score by which models of a task's family are compared."""
    scores: Mapping[str, Any] = json.loads((output.folder / "scores.json").read_text(encoding="utf-8"))
    return scores["main_score"], float(scores["test"][scores["main_score"]])
