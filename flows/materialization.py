"""`bertline materialize`: masked epochs of a stage as Arrow shards in a folder of the user's.

The folder is written aside, digested, sealed by a manifest and renamed, so that it is there whole or not at all; one
that is there already is never touched.
"""

import os
import re
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bert_core.errors import RequestError
from bert_core.stages.line import LineRequest, open_line
from bert_core.store.fingerprint import fingerprint_of
from bert_core.store.manifest import MANIFEST_NAME, Manifest, Parent, list_files
from bert_core.store.workspace import write_synced

CODE_VERSION = 1
"""Raised by hand when a change of code changes the bytes that are written."""
MAX_EPOCHS = 1000


def parse_epochs(text: str) -> list[int]:
    """Read epochs: `0-2,5` gives 0, 1, 2 and 5.

    Raises:
        RequestError: it is no list of numbers and ranges, names an epoch twice, or more than MAX_EPOCHS.
    """
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?", part)
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if high < low or high - low >= MAX_EPOCHS:
            raise RequestError(f"--epochs {text!r}: expected numbers from 0 and ranges, such as 0-2,5")
        found += range(low, high + 1)
    if len(set(found)) < len(found) or len(found) > MAX_EPOCHS:
        raise RequestError(f"--epochs {text!r}: expected each epoch once, and at most {MAX_EPOCHS}")
    return found


def materialize(
    recipe: str, stage: str, epochs: str, out: Path, *, overrides: tuple[str, ...] = (), held_out: bool = False
) -> dict[str, Any]:
    """Write masked epochs of a stage's examples into a new folder.

    Args:
        recipe: path of the recipe.
        stage: a transfer stage, or its examples.
        epochs: such as `0-2,5`.
        out: the folder; must not exist.
        overrides: settings replaced, `a.b=value` each; masking among them.
        held_out: the examples kept for evaluation, not those of training.

    Returns:
        Counts of `build_masked_epochs`.

    Raises:
        RequestError: no such stage, its examples have not been built, or the folder is there.
    """
    from bert_core.examples.materialize import build_masked_epochs

    wanted = parse_epochs(epochs)
    line = open_line(LineRequest(recipe=recipe, overrides=overrides))
    of_examples = stage if stage.startswith("examples/") else f"examples/{stage}"
    if of_examples not in line.stages:
        raise RequestError(f"{stage!r} has no examples to mask; name one of {', '.join(line.recipe.transfers())}")
    name = of_examples.split("/")[1]
    (examples,), (vocabulary,) = line.outputs_of(of_examples), line.outputs_of("vocabulary")
    if out.exists() or out.is_symlink():
        raise RequestError(f"--out {str(out)!r} is there already and is never written over; name a new folder")
    if not out.parent.is_dir():
        raise RequestError(f"--out {str(out)!r}: the folder {str(out.parent)!r} does not exist; make it first")
    masking, chosen = line.recipe.transfers()[name].masking, "held_out" if held_out else "train"
    inputs = {"examples": examples.manifest, "vocabulary": vocabulary.manifest}
    settings = {"masking": line.stages[name].settings["transfer"]["masking"], "seed": line.recipe.seed}
    spec = {
        "kind": "masked_epochs",
        "code_version": CODE_VERSION,
        "settings": settings | {"epochs": wanted, "set": chosen},
        "raw": {key: digest for key, digest in line.stages[name].raw.items() if key.startswith("thesaurus/")},
        "inputs": {role: manifest.content for role, manifest in inputs.items()},
    }
    aside, began = out.with_name(f".building-{out.name}-{os.getpid()}"), time.monotonic()
    aside.mkdir()
    try:
        counts = build_masked_epochs(
            examples.folder, chosen, vocabulary.folder, masking, line.recipe.seed, wanted, aside
        )
        manifest = Manifest(
            stage=f"masked_epochs/{name}",
            fingerprint=fingerprint_of(spec),
            spec=spec,
            files=list_files(aside),
            counts=counts,
            parents={
                role: Parent(stage=each.stage, fingerprint=each.fingerprint, content=each.content)
                for role, each in inputs.items()
            },
            seconds=round(time.monotonic() - began, 3),
            built_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        write_synced(aside / MANIFEST_NAME, manifest.to_json())
        os.rename(aside, out)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return counts
