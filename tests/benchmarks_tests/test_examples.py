"""The whole comparison on small parts: rows are well formed and equal results are equal; no time is asserted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
WORKS = {
    "documents to examples", "raw text to examples", "examples on disk", "peak memory", "tokenizing", "masking",
    "a second process",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(not DATA.exists(), reason="no folder shared/data beside the checkout")
def test_a_quick_run_writes_well_formed_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    command = [sys.executable, "benchmarks/examples.py", "--quick", "--json", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    content = json.loads(path.read_text(encoding="utf-8"))
    for row in content["rows"]:
        assert set(row) == {"work", "ours", "peer", "peer_name", "unit", "ratio", "goal", "note"}
        assert row["ours"] > 0
        assert (row["peer"] is None) == (row["ratio"] is None)
        assert row["peer"] is None or row["peer"] > 0
        assert row["unit"] in ("MB/s", "MB/cpu-s", "examples/s", "s", "B/token", "MiB")
    assert all(any(row["work"].startswith(work) for row in content["rows"]) for work in WORKS)
    checks = {name: fact["equal"] for name, fact in content["facts"].items() if name.startswith("check ")}
    languages = [f"check {what} {language}" for language in ("zh", "en") for what in ("tokens", "tokenizing")]
    assert checks == dict.fromkeys(languages, True)


def test_a_machine_without_the_text_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from benchmarks import examples, text

    monkeypatch.setattr(text, "DATA", tmp_path / "nothing")
    monkeypatch.setattr(sys, "argv", ["examples.py", "--quick"])
    with pytest.raises(SystemExit) as stopped:
        examples.main()
    assert stopped.value.code == 2
