"""`bertline verify`: every sealed file of a workspace against its digest."""

from pathlib import Path

from rich.console import Console

from bert_core.store.manifest import faults_of
from bert_core.store.workspace import Workspace
from flows.terminal import plain, wide_console


def print_verification(root: Path, console: Console | None = None) -> int:
    """Read every sealed output of a workspace and print what is missing or changed on disk.

    Args:
        root: the workspace.
        console: where to; standard output by default.

    Returns:
        Number of damaged outputs.
    """
    console = console or wide_console()
    num_outputs, num_bytes, num_damaged = 0, 0, 0
    for folder, manifest in Workspace(root).outputs():
        num_outputs += 1
        if manifest is None:
            faults = [f"{folder}: damaged manifest"]
        else:
            faults = faults_of(folder, manifest, digests=True)
            num_bytes += manifest.num_bytes
        num_damaged += bool(faults)
        for fault in faults:
            console.print(plain(fault, "red"), soft_wrap=True)
    verdict = (
        "all as sealed"
        if not num_damaged
        else f"{num_damaged} damaged; remove their folders, and the next run builds them again"
    )
    console.print(plain(f"{num_outputs} outputs, {num_bytes:,} bytes: {verdict}"), soft_wrap=True)
    return num_damaged
