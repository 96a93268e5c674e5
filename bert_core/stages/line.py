"""A recipe opened for work: its graph of stages and the workspace that holds their outputs.

What travels between tasks is a `LineRequest`; `open_line` turns it into a `Line`, once per process and run, so that all
stages of a run see the same raw files. A `Line` answers which output a stage would have now and whether it exists.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from bert_core.config import Recipe, load_recipe
from bert_core.errors import RequestError
from bert_core.stages.graph import CODE_VERSIONS, Stage, build_graph
from bert_core.stages.study import StudyRun, add_study
from bert_core.store.fingerprint import fingerprint_of
from bert_core.store.manifest import Manifest, Parent
from bert_core.store.workspace import Workspace
from bert_core.tokens.ordered_threads import available_threads


@dataclass(frozen=True, kw_only=True, slots=True)
class LineRequest:
    """Which recipe to run, with which settings replaced; small enough to be a task's parameter."""

    recipe: str
    """Path of the recipe, seen from the current folder."""
    overrides: tuple[str, ...] = ()
    """Settings replaced, `a.b=value` each."""
    study: bool = False
    """The stages of the recipe's study and what they are built from, in place of the recipe's own line."""
    run_id: str = ""
    """Names the run; requests of one run share one look at the raw files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """A sealed output."""

    folder: Path
    manifest: Manifest


@dataclass(frozen=True, kw_only=True)
class Line:
    """A recipe, its stages in an order in which they can run, and its workspace."""

    request: LineRequest
    recipe: Recipe
    workspace: Workspace
    stages: dict[str, Stage]
    study: tuple[StudyRun, ...] = ()
    """Fine-tunings that the study compares; empty where it was not asked for."""
    _sealed: dict[str, Output] = field(default_factory=dict, repr=False)

    def stage(self, stage_id: str) -> Stage:
        """Return a stage by its id, or by the id of a slice.

        Raises:
            RequestError: the recipe has no such stage.
        """
        if stage_id in self.stages:
            return self.stages[stage_id]
        raise RequestError(
            f"stage {stage_id!r} is not among the stages of {self.request.recipe}: {', '.join(self.stages)}"
        )

    @property
    def processors(self) -> int:
        """How many processors one data stage uses."""
        return self.recipe.work.processors or available_threads()

    @property
    def fine_tunings_at_once(self) -> int:
        """How many fine-tunings run at once on this machine, each with its share of the processors."""
        has_gpu = Path("/dev/nvidiactl").exists()  # the driver's own file: torch is not loaded in this process
        return self.recipe.work.fine_tunings_at_once or (1 if has_gpu else min(2, available_threads()))

    def fine_tunes(self, task: str) -> list[str]:
        """Return the fine-tuning stages of a task: its own first, then its references."""
        prefix = f"fine_tune/{task}"
        return [stage for stage in self.stages if stage == prefix or stage.startswith(f"{prefix}/")]

    def with_ancestors(self, stages: Iterable[str]) -> set[str]:
        """Return the ids of stages and of all that they are built from.

        Raises:
            RequestError: the recipe has no such stage.
        """
        wanted: set[str] = set()
        left = list(stages)
        while left:
            stage = self.stage(left.pop())
            if stage.id not in wanted:
                wanted.add(stage.id)
                left += stage.parents.values()
        return wanted

    def study_stages(self) -> list[str]:
        """Return what a study ends in: references without a network first, then the fine-tunings of all arms."""
        references = [
            stage.id
            for task in dict.fromkeys(run.task for run in self.study)
            for stage in (self.stages[name] for name in self.fine_tunes(task))
            if stage.kind != "fine_tune"
        ]
        return [*references, *(run.stage for run in self.study)]

    def inputs(self, stage: Stage) -> dict[str, Parent] | None:
        """Return what a stage is built from, by role; None while one of its inputs is not built."""
        found: dict[str, Parent] = {}
        for role, parent_id in stage.parents.items():
            parent = self.stages[parent_id]
            for suffix, member in _members(parent):
                output = self.output(member)
                if output is None:
                    return None
                found[role + suffix] = Parent(
                    stage=member.id,
                    fingerprint=output.manifest.fingerprint,
                    content=output.manifest.content,
                )
        return found

    def spec(self, stage: Stage) -> dict[str, Any] | None:
        """Return all that a stage's output depends on; None while one of its inputs is not built."""
        inputs = self.inputs(stage)
        if inputs is None:
            return None
        return {
            "kind": stage.kind,
            "code_version": CODE_VERSIONS[stage.kind],
            "settings": stage.settings,
            "raw": stage.raw,
            "inputs": {role: parent.content for role, parent in inputs.items()},
        }

    def output(self, stage: Stage) -> Output | None:
        """Return the sealed output that the stage has now; None where it must be built.

        Looks at sizes, not at every byte; `bertline verify` reads the bytes.
        """
        if stage.id in self._sealed:
            return self._sealed[stage.id]
        spec = self.spec(stage)
        if spec is None:
            return None
        fingerprint = fingerprint_of(spec)
        manifest, _ = self.workspace.find(stage.kind, fingerprint)
        if manifest is None:
            return None
        if manifest.stage != stage.id:  # built under another name, by a study or before the recipe changed
            manifest = replace(manifest, stage=stage.id, parents=self.inputs(stage) or manifest.parents)
        output = Output(folder=self.workspace.folder_of(stage.kind, fingerprint), manifest=manifest)
        self._sealed[stage.id] = output
        return output

    def outputs_of(self, stage_id: str) -> list[Output]:
        """Return the outputs of a stage that has been built: one, or one for each slice of a group.

        Raises:
            RequestError: the stage has not been built.
        """
        outputs = [self.output(member) for _, member in _members(self.stage(stage_id))]
        if None in outputs:
            raise RequestError(f"stage {stage_id!r} has not been built; `bertline run {self.request.recipe}` builds it")
        return [output for output in outputs if output is not None]

    def forget(self, stage: Stage) -> None:
        """Look again for the output of a stage that was rebuilt."""
        self._sealed.pop(stage.id, None)


def _members(stage: Stage) -> list[tuple[str, Stage]]:
    """The stages that have outputs: the pieces of a group, else the stage itself."""
    if stage.kind == "slices":
        return [(f"_{number:04d}", piece) for number, piece in enumerate(stage.pieces)]
    return [("", stage)]


def open_line(request: LineRequest) -> Line:
    """Read the recipe, look at the raw files, and lay out the stages.

    Raises:
        RequestError: the recipe, a path in it or a starting model is not as it must be.
    """
    return _open(request, str(Path.cwd()))


@lru_cache(maxsize=8)
def _open(request: LineRequest, current_folder: str) -> Line:
    base = Path(current_folder)
    recipe = load_recipe(Path(request.recipe), request.overrides)
    stages = build_graph(recipe, base)
    study = add_study(recipe, base, stages) if request.study else ()
    line = Line(
        request=request,
        recipe=recipe,
        workspace=Workspace(base / recipe.workspace),
        stages=stages,
        study=study,
    )
    if not request.study:
        return line
    wanted = line.with_ancestors(line.study_stages())  # a study leaves out what none of its arms is built from
    return replace(line, stages={name: stage for name, stage in stages.items() if name in wanted})
