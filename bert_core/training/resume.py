"""Checkpoints from which a killed training goes on, bit for bit.

A checkpoint is a folder `step-N/` with the weights, the optimizer's moments, the history of all steps so far, and
state.json with the digest of each. It is written aside and renamed when complete. The newest one that verifies is
taken; damaged ones are passed over with a warning. Nothing random has to be kept: batches, masks and dropout are
functions of the step number.
"""

import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bert_core.store.fingerprint import digest_of_file

_log = logging.getLogger(__name__)
_FILES = ("model.safetensors", "optimizer.safetensors", "history.safetensors")


def save_resume_checkpoint(
    folder: Path,
    step: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    history: Mapping[str, Tensor],
    job_digest: str,
    keep: int = 2,
    made_on: str = "",
) -> Path:
    """Write `folder/step-N` and remove all but the newest `keep`.

    Args:
        folder: of all checkpoints of the job.
        step: optimizer steps done.
        model: its weights.
        optimizer: AdamW over them.
        history: what else is to come back, by name.
        job_digest: digest of all that the training depends on; a checkpoint of another job is not taken.
        keep: checkpoints that stay, at least 1.
        made_on: device, format and number of processes, for the warning that another is not exact.
    """
    folder.mkdir(parents=True, exist_ok=True)
    aside, final = folder / f"writing-{step}", checkpoint_folder(folder, step)
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    parts: tuple[Mapping[str, Tensor], ...] = (model.state_dict(), _moments(model, optimizer), history)
    for name, tensors in zip(_FILES, parts, strict=True):
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, aside / name)
        _sync(aside / name)
    state = {
        "step": step,
        "job": job_digest,
        "made_on": made_on,
        "sha256": {name: digest_of_file(aside / name) for name in _FILES},
    }
    (aside / "state.json").write_text(json.dumps(state, indent=1), encoding="utf-8")
    _sync(aside / "state.json")
    shutil.rmtree(final, ignore_errors=True)
    aside.rename(final)
    _sync(folder)
    for _, old in _checkpoints(folder)[keep:]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def load_resume_checkpoint(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, job_digest: str, made_on: str = ""
) -> tuple[int, dict[str, Tensor]]:
    """Bring model and optimizer to the newest whole checkpoint of this job.

    Returns:
        steps done and the history saved with them; (0, {}) where there is no checkpoint to go on from.
    """
    found = _checkpoints(folder)
    for step, checkpoint in found:
        fault = _fault_of(checkpoint, job_digest)
        if fault is None:
            try:
                weights, moments, history = (load_file(checkpoint / name) for name in _FILES)
            except (SafetensorError, OSError) as error:
                fault = str(error)
            else:
                own = {name: tensor.shape for name, tensor in model.state_dict().items()}
                if own == {name: tensor.shape for name, tensor in weights.items()}:
                    model.load_state_dict(weights)
                    _restore_moments(model, optimizer, moments)
                    _compare_machines(checkpoint, made_on)
                    return step, history
                fault = "its weights are those of another model"
        _log.warning("checkpoint %s is passed over: %s", checkpoint, fault)
    if found:
        _log.warning("none of %s checkpoints in %s can be taken; training begins again at step 0", len(found), folder)
    return 0, {}


def checkpoint_folder(folder: Path, step: int) -> Path:
    """Return where the checkpoint of a step lies."""
    return folder / f"step-{step}"


def weights_sum(model: nn.Module) -> float:
    """Return the sum of all weights, to see that two processes have the same."""
    with torch.no_grad():
        return float(sum(parameter.double().sum() for parameter in model.parameters()))


def _checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """Return (step, folder) of each checkpoint, newest first."""
    found = [
        (int(path.name.removeprefix("step-")), path)
        for path in folder.glob("step-*")
        if path.name.removeprefix("step-").isdigit()
    ]
    return sorted(found, reverse=True)


def _fault_of(checkpoint: Path, job_digest: str) -> str | None:
    """Say why a checkpoint cannot be taken; None where it can."""
    try:
        state = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
        if state["job"] != job_digest:
            return "it belongs to a job with other settings or inputs"
        for name in _FILES:
            if digest_of_file(checkpoint / name) != state["sha256"][name]:
                return f"{name} differs from its digest"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"damaged ({type(error).__name__}: {error})"
    return None


def _compare_machines(checkpoint: Path, made_on: str) -> None:
    before = json.loads((checkpoint / "state.json").read_text(encoding="utf-8")).get("made_on")
    if before != made_on:
        _log.warning(
            "%s was made on %s, this is %s; training goes on, but not to the same bits", checkpoint, before, made_on
        )


def _moments(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's tensors as `PARAMETER|KEY`."""
    return {
        f"{name}|{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def _restore_moments(model: nn.Module, optimizer: torch.optim.Optimizer, moments: Mapping[str, Tensor]) -> None:
    parameters = dict(model.named_parameters())
    optimizer.state.clear()
    for name, value in moments.items():
        parameter_name, _, key = name.partition("|")
        parameter = parameters[parameter_name]
        where = torch.device("cpu") if key == "step" and parameter.device.type == "cpu" else parameter.device
        optimizer.state[parameter][key] = value.to(where)


def _sync(path: Path) -> None:
    """Flush a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
