"""Verifies clean and spoiled models of vLLM on a GPU, and writes down what it found and how long it took.

For example: python -m benchmarks.gpu.measure --out benchmarks/gpu/results
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, get_args

import msgspec

from benchmarks.gpu.plants import PLANTS, Plant
from vllm_lint.analyzer.findings import Finding
from vllm_lint.cli.rule_facts import rule_facts
from vllm_lint.cli.sources import Sources
from vllm_lint.cli.verify import SIZES, TRACE_SIZE
from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.outcomes import Backend, Result
from vllm_lint.runtime_verifier.pool import Pool, WorkerError
from vllm_lint.runtime_verifier.verdicts import from_targets as target_verdicts
from vllm_lint.runtime_verifier.verdicts import target_evidence

ARCHITECTURES = ("LlamaForCausalLM", "Qwen3ForCausalLM", "MixtralForCausalLM", "Qwen3MoeForCausalLM")
_PLANTED_JOBS = 4
ENVIRONMENT = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_USE_FLASHINFER_SAMPLER": "0", "VLLM_PLUGINS": ""}


def main() -> None:
    """Run everything; a step that fails is written down and does not end the others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time")
    parser.add_argument("--timeout", type=float, default=240, help="seconds for one target")
    parser.add_argument("--only", choices=["clean", "planted"])
    parser.add_argument("--backend", action="append", choices=get_args(Backend), help="for the clean models")
    options = parser.parse_args()
    os.environ.update(ENVIRONMENT)
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "results.json"
    found: dict[str, Any] = _facts()
    with tempfile.TemporaryDirectory() as scratch:
        if options.only != "planted":
            for backends in [options.backend] if options.backend else [["eager"], list(get_args(Backend))]:
                found[f"clean, {' '.join(backends)}"] = _clean(backends, options, Path(scratch, backends[-1]))
                file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        if options.only != "clean":
            with Pool(_PLANTED_JOBS) as pool:
                runs = [_Run(plant, pool, options.timeout, Path(scratch)) for plant in PLANTS]
                found["planted"] = {run.plant.name: run.row() for run in runs}
    file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _facts() -> dict[str, Any]:
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    names = ("torch", "triton", "vllm", "transformers", "msgspec")
    return {
        "date": dt.datetime.now(tz=dt.timezone.utc).date().isoformat(),
        "device": subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in names},
    }


def _clean(backends: list[str], options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The command as a user runs it."""
    names = [argument for name in ARCHITECTURES for argument in ("--arch", name)]
    command = [sys.executable, "-m", "vllm_lint.cli", "verify", *names, "--device", "cuda"]
    command += ["--replay", ",".join(backends), "--jobs", str(options.jobs)]
    command += ["--timeout", str(options.timeout), "--trace-dir", str(folder)]
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wall = time.monotonic() - started
    print(done.stdout, done.stderr, sep="\n", flush=True)
    results = {}
    for number, name in enumerate(ARCHITECTURES):
        inside = folder / f"{number}-{name}"
        if (inside / target_evidence.RESULT).exists():
            results[name] = _row(target_evidence.read(inside)[0])
    last = done.stderr.strip().splitlines()[-1:]
    return {"exit": done.returncode, "said": last, "wall_s": round(wall, 1), "targets": results}


class _Run:
    """The verification of one plant, under way from the start."""

    def __init__(self, plant: Plant, pool: Pool, timeout: float, scratch: Path) -> None:
        self.plant = plant
        original, copy, self._line = plant.write(scratch / "planted")
        self._copy, self._folder = Path(copy), scratch / "traces" / plant.name
        job = Job(
            target="LlamaForCausalLM",
            provider="vllm",
            overlay={original: copy},
            folder=str(self._folder),
            trace_size=TRACE_SIZE,
            sizes=SIZES,
            backends=plant.backends,
            blame=True,
            timeout=timeout,
        )
        self._future = pool.submit(job)

    def row(self) -> dict[str, Any]:
        """What was found, against what was planted."""
        try:
            result = self._future.result()
        except WorkerError as error:
            print(f"{self.plant.name}: {error}", flush=True)
            return {"failed": str(error).splitlines()[-1]}
        findings = self._findings(result)
        for finding in findings:
            print(f"{self.plant.name}: {finding.path}:{finding.line} {finding.code} {finding.evidence}", flush=True)
        confirmed = {f.code for f in findings if f.line == self._line and f.verdict == "confirmed"}
        is_expected = self.plant.finds in confirmed if self.plant.finds else not findings
        return {"as_expected": is_expected, "findings": [self._told(f) for f in findings], **_row(result)}

    def _findings(self, result: Result) -> tuple[Finding, ...]:
        evidence = list(target_evidence.parts(result, self._folder))
        sources = Sources(self._copy.parent, [])
        for part in evidence:
            for compilation in part.compilations:
                sources.learn(compilation.graph_lines)
        return target_verdicts.find(evidence, rule_facts(), sources)

    def _told(self, finding: Finding) -> dict[str, Any]:
        line = self._copy.read_text(encoding="utf-8").splitlines()[finding.line - 1].strip()
        is_here = Path(finding.path).name == self._copy.name
        return {
            "code": finding.code,
            "line": finding.line,
            "source": line if is_here else Path(finding.path).name,
            "verdict": finding.verdict,
            "message": finding.message.replace(f"{self._copy.parent}/", ""),
            "evidence": finding.evidence,
        }


def _row(result: Result) -> dict[str, Any]:
    """Without the places, which are paths of this machine."""
    outcomes = [
        {k: v for k, v in msgspec.to_builtins(outcome).items() if k not in ("place", "stack")}
        for outcome in result.outcomes
    ]
    return {
        "platform": result.platform,
        "clean": result.clean,
        "regions": [part.name for part in result.parts],
        "replayed": [part.replayed for part in result.parts],
        "seconds": round(result.seconds, 2),
        "host_mb": result.memory >> 20,
        "device_mb": round(result.device_memory / 2**20, 1),
        "outcomes": outcomes,
    }


if __name__ == "__main__":
    main()
