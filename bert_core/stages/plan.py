"""What a run would do and why, before anything starts: reuse an output, or run a stage for a reason.

The plan walks the graph from the raw files down. While the inputs of a stage are all sealed, its fingerprint is known
and the answer is exact. Once an input must be built, what follows is planned as run; if that input comes out with
the same bytes after all, the run reuses what the plan had given up (early cut-off).

A reason compares the stage's specification with that of its last output under the same recipe, setting by setting.
"""

from dataclasses import dataclass
from typing import Any, Literal

from bert_core.errors import RequestError
from bert_core.report.tables import rows_of
from bert_core.stages.graph import CODE_VERSIONS, Stage
from bert_core.stages.line import Line
from bert_core.store.fingerprint import fingerprint_of
from bert_core.store.manifest import Manifest

MAX_NAMED_CHANGES = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What happens to one stage."""

    stage: str
    """Stage id."""
    kind: str
    """Kind of stage."""
    action: Literal["reuse", "run"]
    """Whether its output stands already."""
    reason: str
    """Why, in words."""
    fingerprint: str | None
    """Of the output; None while an input is not built, and for a group of slices."""
    expected_seconds: float | None
    """What the last build of this stage took, seconds; None where there was none. 0 for reuse."""
    built_at: str
    """When the reused output was sealed, UTC; empty for a run."""
    num_rows: int | None
    """Rows of the reused or of the last output; None where unknown."""
    num_bytes: int | None
    """Size of the reused or of the last output, bytes; None where unknown."""


def plan_line(
    line: Line, *, from_stage: str | None = None, only: str | None = None, force: bool = False
) -> list[Decision]:
    """Decide for every stage of a line.

    Args:
        line: an open recipe.
        from_stage: build this stage and everything after it again, whether changed or not.
        only: decide on this stage alone; its inputs must stand.
        force: build again every stage that is decided on.

    Returns:
        One decision for each stage, parents first.

    Raises:
        RequestError: a named stage does not exist, or the inputs of `only` are not built.
    """
    last = line.workspace.read_links(line.recipe.name)
    chosen = forced_stages(line, from_stage=from_stage, only=only, force=force)
    if only is not None:
        stage = line.stage(only)
        missing = [parent for parent in stage.parents.values() if not _stands(line, line.stage(parent))]
        if missing:
            raise RequestError(f"stage {only!r} needs {', '.join(missing)} first; run without --only")
        return [_decide(line, stage, last, set(), chosen)]
    decisions: list[Decision] = []
    running: set[str] = set()
    for stage in line.stages.values():
        decision = _decide(line, stage, last, running, chosen)
        decisions.append(decision)
        if decision.action == "run":
            running.add(stage.id)
    return decisions


def forced_stages(line: Line, *, from_stage: str | None, only: str | None, force: bool) -> frozenset[str]:
    """Return the stages that are built again whether changed or not."""
    if only is not None:
        return frozenset({line.stage(only).id} if force else ())
    if force:
        return frozenset(line.stages)
    if from_stage is None:
        return frozenset()
    forced = {line.stage(from_stage).id}
    for stage in line.stages.values():
        if forced & set(stage.parents.values()):
            forced.add(stage.id)
    return frozenset(forced)


def _stands(line: Line, stage: Stage) -> bool:
    return all(line.output(member) is not None for member in (stage.pieces or (stage,)))


def _decide(line: Line, stage: Stage, last: dict[str, str], running: set[str], forced: frozenset[str]) -> Decision:
    if stage.kind == "slices":
        return _decide_group(line, stage, last, forced)
    before = _last_manifest(line, stage, last)
    rebuilt = [parent for parent in stage.parents.values() if parent in running]
    output = None if rebuilt else line.output(stage)
    if output is not None and stage.id not in forced:
        manifest = output.manifest
        return _decision(stage, "reuse", "nothing it depends on changed", manifest, manifest.fingerprint)
    if stage.id in forced:
        reason = "asked for"
    elif rebuilt:
        own = _changes(line, stage, before) if before is not None else []
        reason = _listed([*own, f"{_listed(rebuilt)} runs"]) if before is not None else "no earlier output"
    else:
        reason = reason_to_run(line, stage, before)
    spec = None if rebuilt else line.spec(stage)
    return _decision(stage, "run", reason, before, fingerprint_of(spec) if spec else None)


def _decide_group(line: Line, stage: Stage, last: dict[str, str], forced: frozenset[str]) -> Decision:
    outputs = [line.output(piece) for piece in stage.pieces]
    standing = [output.manifest for output in outputs if output is not None]
    num_missing = len(outputs) - len(standing)
    rows = sum(rows_of(manifest.counts) or 0 for manifest in standing)
    num_bytes = sum(manifest.num_bytes for manifest in standing)
    run = num_missing > 0 or stage.id in forced
    if stage.id in forced:
        reason = "asked for"
    elif not run:
        reason = f"none of its {len(outputs)} slices changed"
    elif f"{stage.id}/0000" not in last:
        reason = "no earlier output"
    else:
        files = {
            name.rpartition("#")[0]
            for piece, o in zip(stage.pieces, outputs, strict=True)
            if o is None
            for name in piece.raw
        }
        reason = f"{_listed(sorted(files))} changed: {num_missing} of {len(outputs)} slices"
    seconds = sum(manifest.seconds for manifest in standing)
    per_slice = seconds / len(standing) if standing else None
    return Decision(
        stage=stage.id,
        kind=stage.kind,
        action="run" if run else "reuse",
        reason=reason,
        fingerprint=None,
        expected_seconds=(per_slice * (num_missing or len(outputs)) if per_slice is not None else None) if run else 0.0,
        built_at="" if run else max((manifest.built_at for manifest in standing), default=""),
        num_rows=rows or None,
        num_bytes=num_bytes or None,
    )


def reason_to_run(line: Line, stage: Stage, before: Manifest | None) -> str:
    """Say why a stage whose inputs stand must be built.

    Args:
        line: the open recipe.
        stage: one whose output does not stand.
        before: the seal of its last output under this recipe.
    """
    spec = line.spec(stage)
    if spec is not None:
        _, faults = line.workspace.find(stage.kind, fingerprint_of(spec))
        if faults:
            return f"its output is damaged: {faults[0]}"
    if before is None:
        return "no earlier output"
    return _listed(_changes(line, stage, before)) or "its output was removed"


def _changes(line: Line, stage: Stage, before: Manifest) -> list[str]:
    """Name what differs from the specification of an earlier output; inputs that are not built are left out."""
    old = before.spec
    changes = []
    version = CODE_VERSIONS[stage.kind]
    if old["code_version"] != version:
        changes.append(f"code version {old['code_version']} -> {version}")
    was, now = _flat(old["settings"]), _flat(stage.settings)
    changes += [
        f"{key} {was.get(key, 'unset')!r} -> {now.get(key, 'unset')!r}"
        for key in sorted(was.keys() | now.keys())
        if was.get(key, "unset") != now.get(key, "unset")
    ]
    changes += _raw_changes(old["raw"], stage.raw)
    inputs = line.inputs(stage)
    if inputs is not None:
        contents = {role: parent.content for role, parent in inputs.items()}
        changed = {
            role for role in contents.keys() | old["inputs"].keys() if contents.get(role) != old["inputs"].get(role)
        }
        stages = {inputs[role].stage if role in inputs else before.parents[role].stage for role in changed}
        changes += [f"{name} changed" for name in sorted(stages)]
    return changes


def _raw_changes(was: dict[str, str], now: dict[str, str]) -> list[str]:
    changes = [f"{name} changed" for name in sorted(was.keys() & now.keys()) if was[name] != now[name]]
    changes += [f"{name} is new" for name in sorted(now.keys() - was.keys())]
    changes += [f"{name} is gone" for name in sorted(was.keys() - now.keys())]
    return changes


def _flat(value: Any, at: str = "") -> dict[str, Any]:
    """Flatten nested settings to dotted keys."""
    if isinstance(value, dict):
        items = {}
        for key, part in value.items():
            items.update(_flat(part, f"{at}.{key}" if at else str(key)))
        return items
    if isinstance(value, list) and any(isinstance(part, dict) for part in value):
        return _flat({str(index): part for index, part in enumerate(value)}, at)
    return {at: value}


def _listed(parts: list[str]) -> str:
    shown = parts[:MAX_NAMED_CHANGES]
    more = len(parts) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _last_manifest(line: Line, stage: Stage, last: dict[str, str]) -> Manifest | None:
    fingerprint = last.get(stage.id)
    if fingerprint is None:
        return None
    return line.workspace.find(stage.kind, fingerprint)[0]


def _decision(
    stage: Stage,
    action: Literal["reuse", "run"],
    reason: str,
    manifest: Manifest | None,
    fingerprint: str | None,
) -> Decision:
    reuse = action == "reuse"
    return Decision(
        stage=stage.id,
        kind=stage.kind,
        action=action,
        reason=reason,
        fingerprint=fingerprint,
        expected_seconds=0.0 if reuse else (manifest.seconds if manifest else None),
        built_at=manifest.built_at if reuse and manifest else "",
        num_rows=rows_of(manifest.counts) if manifest else None,
        num_bytes=manifest.num_bytes if manifest else None,
    )
