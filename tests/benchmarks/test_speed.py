"""The measuring itself; how fast anything is, no test says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.speed.measure import measure

ROOT = Path(__file__).parent.parent.parent
MIB = 1024 * 1024
HOLD = f"import time; block = b'x' * {100 * MIB}; time.sleep(0.5)"


def test_time_exit_code_and_output(tmp_path: Path) -> None:
    usage = measure(
        [sys.executable, "-c", "import time; time.sleep(0.3); print('done'); raise SystemExit(3)"], tmp_path
    )
    assert usage.wall_s >= 0.3
    assert usage.cpu_s < usage.wall_s
    assert (usage.exit_code, usage.output) == (3, "done\n")


def peak_mb(code: str, folder: Path) -> float:
    """Measured from a small process: a child counts its parent's memory at the fork as its own, and pytest is large."""
    script = "from pathlib import Path; import sys; from benchmarks.speed.measure import measure\n"
    script += f"print(measure([sys.executable, '-c', {code!r}], Path({str(folder)!r})).peak_mb)"
    return float(subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True).stdout)


def test_memory_of_one_process(tmp_path: Path) -> None:
    assert 100 <= peak_mb(HOLD, tmp_path) < 150


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux /proc")
def test_memory_is_summed_over_processes(tmp_path: Path) -> None:
    both = f"import subprocess, sys; child = [sys.executable, '-c', {HOLD!r}]\n"
    both += "for process in [subprocess.Popen(child), subprocess.Popen(child)]: process.wait()"
    assert 200 <= peak_mb(both, tmp_path) < 300


def test_rows_of_other_tools_are_kept(tmp_path: Path) -> None:
    models = tmp_path / "vllm-1.2" / "vllm" / "model_executor" / "models"
    models.mkdir(parents=True)
    (models / "llama.py").write_text("x = 1\n")
    results = tmp_path / "results.json"
    other = {"tool": "ruff", "version": "0", "what": "cold", "wall_s": 1.0, "cpu_s": 1.0, "peak_mb": 1.0, "run": "then"}
    results.write_text(json.dumps({"input": {}, "rows": [other, {**other, "tool": "ast.parse"}]}))
    arguments = ["--vllm-source", str(tmp_path / "vllm-1.2"), "--only", "ast.parse", "--results", str(results)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed.compare", *arguments],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    saved = json.loads(results.read_text())
    assert saved["input"] == {"files": 1, "lines": 1}
    assert [row["tool"] for row in saved["rows"]] == ["ast.parse", "ruff"]
    assert saved["rows"][1] == other
    assert saved["rows"][0]["run"] != "then"
    assert "separate runs" in done.stdout
