"""The slices of a corpus, several at a time: by worker processes of this run, and by other runs on the same workspace.

A slice that another run is building is left for last, so two runs divide the slices between them and neither does one
twice; what is left then is waited for, and built here where the other run died. Results come in the order of the
slices, whoever built them.
"""

import threading
from collections.abc import Sequence
from typing import Any, Protocol

from bert_core.errors import HeldError, WorkError
from bert_core.progress import Progress
from bert_core.stages.graph import Stage
from bert_core.stages.line import Line
from bert_core.stages.result import StageResult
from bert_core.store.fingerprint import fingerprint_of
from bert_core.tokens.ordered_threads import map_in_order

WORTH_A_PROCESS_BYTES = 2 << 20
"""Raw text from which work goes to processes of its own, bytes; less is done before they have started."""


class RunPiece(Protocol):
    """Builds a slice, or reuses it."""

    def __call__(self, piece: Stage, *, progress: Progress, is_waiting: bool, num_bytes: int) -> StageResult:
        """Build or reuse one slice.

        Args:
            piece: the slice.
            progress: told bytes.
            is_waiting: wait for another run that builds it, else raise HeldError.
            num_bytes: raw text of all slices that are to be built, bytes.
        """
        ...


def run_group(line: Line, stage: Stage, run_piece: RunPiece, *, force: bool, progress: Progress) -> StageResult:
    """Build the slices that do not stand and add up the counts of all.

    Args:
        line: the open recipe.
        stage: the group.
        run_piece: builds or reuses one; called in several threads at once.
        force: build all of them again.
        progress: told slices.

    Raises:
        BertlineError: of the first slice that failed; those after it are given up.
    """
    num_bytes = sum(piece.source.size_bytes for piece in stage.pieces if force or line.output(piece) is None)
    num_threads = line.processors if num_bytes >= WORTH_A_PROCESS_BYTES else 1
    results = _divided(stage.pieces, run_piece, num_bytes, num_threads, progress)
    line.workspace.link(line.recipe.name, {result.stage: result.fingerprint for result in results})
    built = [result for result in results if result.action == "built"]
    counts: dict[str, Any] = {"slices": len(results), "slices_built": len(built)}
    for result in results:
        for key, value in result.counts.items():
            if isinstance(value, int):
                counts[key] = counts.get(key, 0) + value
    return StageResult(
        stage=stage.id,
        action="built" if built else "reused",
        reason=built[0].reason if built else f"none of its {len(results)} slices changed",
        fingerprint=fingerprint_of({result.stage: result.fingerprint for result in results}),
        folder=str(line.workspace.root / "store" / "slice"),
        counts=counts,
        seconds=round(sum(result.seconds for result in results), 3),
    )


def _divided(
    pieces: Sequence[Stage], run_piece: RunPiece, num_bytes: int, num_threads: int, progress: Progress
) -> list[StageResult]:
    """Run all slices, those that another run holds after the others."""
    has_failed = threading.Event()
    results: dict[str, StageResult] = {}

    def listen(done: int, total: int, unit: str, **measures: float) -> None:
        if has_failed.is_set():
            raise WorkError("given up because another slice failed")
        progress(len(results), len(pieces), "slices")

    def run(piece: Stage, is_waiting: bool) -> None:
        try:
            listen(0, 0, "bytes")
            results[piece.id] = run_piece(piece, progress=listen, is_waiting=is_waiting, num_bytes=num_bytes)
        except HeldError:
            if is_waiting:
                has_failed.set()
                raise
        except BaseException:
            has_failed.set()
            raise

    for is_waiting in (False, True):
        left = [piece for piece in pieces if piece.id not in results]
        for _ in map_in_order(lambda piece, wait=is_waiting: run(piece, wait), left, num_threads):
            pass
    progress(len(results), len(pieces), "slices")
    return [results[piece.id] for piece in pieces]
