"""A study: the stages that compare starts of fine-tuning, beside those of the recipe's own line.

An arm is a recipe, a chain of its transfers, and seeds: an order of transfers, a point on the way of one of them, or a
variant of the recipe. The graph of each arm is laid over the line's. A stage that equals one of the line, or of an
earlier arm, is that stage, so every arm reads the same shards and no transfer is trained twice; what is left gets an
id of its own, `study/ARM/...`:

    orders       study/T/task_transfer    study/T+D/domain_transfer    study/T/fine_tune/TASK/seed_2
    probes       study/D@150/domain_transfer                           study/D@150/fine_tune/TASK/seed_1
    variants     study/NAME/domain_transfer                            study/NAME/fine_tune/TASK/seed_1

A probe is not cut out of the longer training: it is a training of fewer steps whose learning rate falls to its end,
because a checkpoint from the middle of a schedule is worse than what the same steps can give (Hoffmann et al. 2022,
arXiv:2203.15556, section 3.1).

Seeds draw the head, the order of the labelled examples and dropout (and random weights); transfers are trained once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from bert_core.config import Recipe, varied
from bert_core.config.study import TRANSFERS_OF_ORDER
from bert_core.errors import RequestError
from bert_core.stages.graph import RawFiles, Stage, build_transfers, fine_tune_stage
from bert_core.store.fingerprint import canonical_json


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRun:
    """One fine-tuning of a study, as an arm and a seed; several may be the same stage."""

    task: str
    """Name of the task."""
    arm: str
    """`D+T`, `D@150` or the name of a variant."""
    kind: Literal["order", "probe", "variant"]
    """What the arm is."""
    seed: int
    """From 1: its place among the seeds."""
    stage: str
    """Id of the fine-tuning."""
    transfers: tuple[str, ...] = ()
    """Ids of the transfers that the arm trains beyond base."""
    probed: str = ""
    """probe only: the order whose last transfer is cut short."""
    steps: int = 0
    """probe only: optimizer steps of that transfer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Arm:
    name: str
    kind: Literal["order", "probe", "variant"]
    recipe: Recipe
    chain: tuple[str, ...]
    seeds: int
    is_random: bool = False
    probed: str = ""
    steps: int = 0


def add_study(recipe: Recipe, base: Path, stages: dict[str, Stage]) -> tuple[StudyRun, ...]:
    """Add the stages of the recipe's study to those of its line.

    Args:
        recipe: checked settings.
        base: folder that relative paths of the recipe start from.
        stages: of the line, parents first; gets those that the study adds.

    Returns:
        The fine-tunings to compare: orders first, then variants, then probes.

    Raises:
        RequestError: the recipe has no task, or a raw file of a variant is missing.
    """
    tasks = recipe.study.tasks or list(recipe.tasks)
    if not tasks:
        raise RequestError(f"recipe {recipe.name!r} has no task; a study fine-tunes at least one")
    known = {_value_of(stage): stage.id for stage in stages.values()}
    raw_files = RawFiles(base)
    own_runs: set[str] = set()
    runs: list[StudyRun] = []
    for task in tasks:
        for arm in _arms(recipe, task):
            found = _add_arm(arm, recipe, task, base, stages, known, raw_files)
            if arm.name == own_order(recipe, task):
                own_runs |= {run.stage for run in found}
            if arm.kind != "variant" or not {run.stage for run in found} <= own_runs:
                runs += found
    return tuple(runs)


def own_order(recipe: Recipe, task: str) -> str:
    """Return the order that a task of the recipe starts from: `D+T` where it starts from task_transfer after both."""
    start = recipe.tasks[task].start
    if start == "random":
        return start
    names = ["pretrain", "domain_transfer", "task_transfer"]
    letters = {"domain_transfer": "D", "task_transfer": "T"}
    trained = [letters[name] for name in names[1 : names.index(start) + 1] if name in recipe.transfers()]
    return "+".join(trained) or ("base" if recipe.has_base else "random")


def orders_of(recipe: Recipe, task: str) -> list[str]:
    """Return the orders that are compared for a task; its own is always among them."""
    standing = recipe.transfers()
    orders = [str(order) for order in recipe.study.orders] or ["random"] + [
        order
        for order, names in TRANSFERS_OF_ORDER.items()
        if all(name in standing for name in names) and (names or recipe.has_base)
    ]
    own = own_order(recipe, task)
    return orders if own in orders else [*orders, own]


def _arms(recipe: Recipe, task: str) -> Iterator[_Arm]:
    """The arms of a task: orders, then variants of the recipe, then probes of its own chain."""
    seeds, own = recipe.study.seeds, own_order(recipe, task)
    for order in orders_of(recipe, task):
        chain = () if order == "random" else _chain(recipe, order)
        yield _Arm(name=order, kind="order", recipe=recipe, chain=chain, seeds=seeds, is_random=order == "random")
    for name in recipe.study.vary:
        variant = varied(recipe, name)
        if task not in variant.tasks:
            continue
        order = own_order(variant, task)
        chain = () if order == "random" else _chain(variant, order)
        yield _Arm(name=name, kind="variant", recipe=variant, chain=chain, seeds=seeds, is_random=order == "random")
    for end in range(len(TRANSFERS_OF_ORDER.get(own, ()))):
        order = "+".join(own.split("+")[: end + 1])
        stage = TRANSFERS_OF_ORDER[own][end]
        num_steps = recipe.transfers()[stage].steps
        for steps in sorted({num_steps >> halving for halving in range(1, recipe.study.probes + 1)} - {0}):
            transfer = recipe.transfers()[stage].model_copy(update={"steps": steps})
            yield _Arm(
                name=f"{order}@{steps}",
                kind="probe",
                recipe=recipe.model_copy(update={stage: transfer}),
                chain=_chain(recipe, order),
                seeds=recipe.study.probe_seeds,
                probed=order,
                steps=steps,
            )


def _chain(recipe: Recipe, order: str) -> tuple[str, ...]:
    """The transfers of an order, pretraining among them where the recipe has it."""
    return (*(["pretrain"] if recipe.pretrain is not None else []), *TRANSFERS_OF_ORDER[order])


def _add_arm(
    arm: _Arm,
    recipe: Recipe,
    task: str,
    base: Path,
    stages: dict[str, Stage],
    known: dict[str, str],
    raw_files: RawFiles,
) -> list[StudyRun]:
    """Lay the graph of an arm over the line's, and return its fine-tunings."""
    graph = build_transfers(arm.recipe, base, arm.chain, raw_files)
    start = "random" if arm.is_random else arm.chain[-1] if arm.chain else "model"
    fine_tunes = [
        fine_tune_stage(arm.recipe, task, f"fine_tune/{task}/seed_{number + 1}", start, arm.recipe.seed + number, base)
        for number in range(arm.seeds)
    ]
    graph |= {stage.id: stage for stage in fine_tunes}
    wanted = _with_ancestors([stage.id for stage in fine_tunes], graph)
    names: dict[str, str] = {}
    for stage in graph.values():
        if stage.id in wanted:
            names[stage.id] = _adopt(stage, arm, recipe, names, stages, known)
    trained = tuple(names[name] for name in arm.chain if name != "pretrain" and name in names)
    return [
        StudyRun(
            task=task,
            arm=arm.name,
            kind=arm.kind,
            seed=number + 1,
            stage=names[stage.id],
            transfers=trained,
            probed=arm.probed,
            steps=arm.steps,
        )
        for number, stage in enumerate(fine_tunes)
    ]


def _adopt(
    stage: Stage,
    arm: _Arm,
    recipe: Recipe,
    names: dict[str, str],
    stages: dict[str, Stage],
    known: dict[str, str],
) -> str:
    """Return the id of a stage of an arm in the line: that of an equal one, else of its own, which is added."""
    mapped = replace(stage, parents={role: names[parent] for role, parent in stage.parents.items()})
    value = _value_of(mapped)
    if value not in known:
        prefix = f"study/{arm.name}/"
        known[value] = f"{prefix}{stage.id}"
        own = {"prefix": prefix, "recipe": None if arm.recipe is recipe else arm.recipe}
        pieces = tuple(replace(piece, id=f"{prefix}{piece.id}", **own) for piece in stage.pieces)
        stages[known[value]] = replace(mapped, id=known[value], pieces=pieces, **own)
    return known[value]


def _value_of(stage: Stage) -> str:
    """What makes two stages one: all that their outputs depend on, and what they are, whatever they are called."""
    name = stage.source[0] if stage.kind == "fine_tune" else stage.own_id
    pieces = [[piece.settings, piece.raw] for piece in stage.pieces]
    return canonical_json([stage.kind, name, stage.settings, stage.raw, stage.parents, pieces])


def _with_ancestors(wanted: list[str], graph: dict[str, Stage]) -> set[str]:
    found: set[str] = set()
    left = list(wanted)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += graph[name].parents.values()
    return found
