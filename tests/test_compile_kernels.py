"""What `compile_kernels` leaves behind is all that a later process needs: it compiles nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

COUNT = """
import importlib, json, pathlib, sys
from numba.core.dispatcher import Dispatcher

def counted():
    unreached, misses = [], {}
    for path in sorted(pathlib.Path("bert_core").rglob("*.py")):
        if "from numba import njit" not in path.read_text(encoding="utf-8"):
            continue
        module = importlib.import_module(".".join(path.with_suffix("").parts))
        for name, value in vars(module).items():
            if isinstance(value, Dispatcher) and value.py_func.__module__ == module.__name__:
                if not value.signatures and value.targetoptions.get("inline") != "always":
                    unreached.append(f"{module.__name__}.{name}")
                if value.stats.cache_misses:
                    misses[f"{module.__name__}.{name}"] = [str(one) for one in value.stats.cache_misses]
    return {"unreached": unreached, "misses": misses}
"""

COLD = (
    COUNT
    + """
from bert_core.compile_kernels import compile_kernels
compile_kernels()
print(json.dumps(counted()))
"""
)

WARM = (
    COUNT
    + """
import contextlib, io
from bert_core.stages.build import run_stage, transfer_job
from bert_core.stages.line import LineRequest, open_line
from bert_core.training.__main__ import main

folder = pathlib.Path(sys.argv[1])
line = open_line(LineRequest(recipe=str(folder / "tiny.yaml")))
for stage in line.stages.values():
    if stage.kind not in ("transfer", "fine_tune", "tfidf", "majority"):
        run_stage(line, stage.id)
job = transfer_job(line, line.stage("pretrain")) | {"seed": 1}
for name in ("output_folder", "resume_folder", "runs_folder"):
    (folder / name).mkdir()
    job[name] = str(folder / name)
(folder / "job.json").write_text(json.dumps(job))
with contextlib.redirect_stdout(io.StringIO()):
    assert main([str(folder / "job.json")]) == 0
print(json.dumps(counted()))
"""
)


@pytest.mark.slow
def test_every_kernel_is_compiled_and_a_later_line_with_training_compiles_nothing(tmp_path, tiny_recipe):
    environment = os.environ | {
        "NUMBA_CACHE_DIR": str(tmp_path / "numba"),
        "BERTLINE_CACHE": str(tmp_path / "tables"),
        "PYTHONPATH": str(ROOT),
    }

    def run(code: str) -> dict[str, object]:
        command = [sys.executable, "-c", code, str(tiny_recipe.parent)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=True)
        return json.loads(done.stdout.splitlines()[-1])

    cold = run(COLD)
    assert cold["unreached"] == []
    assert cold["misses"]
    assert run(WARM)["misses"] == {}
