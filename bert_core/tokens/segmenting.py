"""Segmentation in processes of its own, for large corpora: rjieba holds Python's interpreter lock while it works.

A process reads texts from its standard input and writes where words begin to its standard output, until the input
ends; `python -m bert_core.tokens.segmenting` is that process. What it computes is `words.borders_of`, so the result
does not depend on how many there are.

A request is two little-endian int64 (texts, bytes), the bytes of each text (int64 each), and the texts as UTF-8; an
answer is an int64 (characters) and as many bits, padded to bytes.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import IO

import numpy as np

from bert_core.errors import WorkError
from bert_core.tokens.words import borders_of


class SegmentingProcesses:
    """Some processes that segment; threads share them, and each request is answered by one that is free."""

    def __init__(self, num_processes: int) -> None:
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": path},
            )
            for _ in range(num_processes)
        ]
        self._free: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        for process in self._processes:
            self._free.put(process)

    def __enter__(self) -> "SegmentingProcesses":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            if kind is not None:
                process.terminate()
            process.communicate()

    def borders_of(self, rows: list[str]) -> np.ndarray:
        """Return what `words.borders_of` does.

        Raises:
            WorkError: the process has ended.
        """
        encoded = [row.encode() for row in rows]
        process = self._free.get()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            sizes = np.array([len(row) for row in encoded], "<i8")
            process.stdin.write(np.array([len(rows), sizes.sum()], "<i8").tobytes() + sizes.tobytes())
            process.stdin.write(b"".join(encoded))
            process.stdin.flush()
            answer = _read_array(process.stdout, 1, "<i8")
            num_characters = int(answer[0])
            bits = _read_array(process.stdout, -(-num_characters // 8), "u1")
        except (OSError, EOFError) as error:
            raise WorkError(
                f"segmenting process {process.pid}: ended with exit status {process.wait()} before it answered "
                f"({error}); its own message stands above; set words.segmenter to none to do without"
            ) from error
        finally:
            self._free.put(process)
        return np.unpackbits(bits, count=num_characters).view(bool)


def _read_array(stream: IO[bytes], count: int, dtype: str) -> np.ndarray:
    num_bytes = count * np.dtype(dtype).itemsize
    data = stream.read(num_bytes)
    if len(data) < num_bytes:
        raise EOFError(f"{len(data)} bytes, expected {num_bytes}")
    return np.frombuffer(data, dtype)


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until there are no more."""
    while True:
        try:
            num_rows, num_bytes = _read_array(requests, 2, "<i8").tolist()
        except EOFError:
            return
        ends = np.cumsum(_read_array(requests, num_rows, "<i8")).tolist()
        data = requests.read(num_bytes)
        borders = borders_of([data[start:end].decode() for start, end in zip([0, *ends], ends, strict=False)])
        answers.write(np.array([len(borders)], "<i8").tobytes() + np.packbits(borders).tobytes())
        answers.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    serve(sys.stdin.buffer, sys.stdout.buffer)
