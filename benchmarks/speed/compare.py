"""Times vllm-lint beside other Python checkers on vLLM's models folder, in one run on one machine.

Usage: python -m benchmarks.speed.compare --vllm-source DIR [--only NAME ...]

`DIR` is an unpacked vLLM source distribution; README.md in this folder says how to get one. Results are printed
and written to a JSON file; a run with `--only` replaces just its own rows there.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.speed.measure import Usage, measure

HERE = Path(__file__).parent
MODELS = Path("vllm/model_executor/models")
#: Most models use it.
LAYER = Path("vllm/model_executor/layers/linear.py")
PEERS = {"torchfix": "torchfix==0.7.0", "fixit": "fixit==2.2.1", "ruff": "ruff==0.17.6"}
TOOLS = ("ours", "ast.parse", *PEERS)
Command: TypeAlias = list[str | Path]


@dataclass(frozen=True)
class Context:
    """Where everything is: `tree` holds a private copy of vLLM's package, `work` is scratch space."""

    tree: Path
    work: Path
    ours: Path
    peers: Path
    repeat: int

    @property
    def models(self) -> Path:
        """The folder that every tool checks."""
        return self.tree / MODELS


def time_ours(context: Context) -> Iterator[tuple[str, list[Usage]]]:
    """Cold, warm and after changes; in one process; the whole package; and start-up."""
    cache = context.work / "cache"
    check: Command = [context.ours, "check", "--output-format", "concise", "--cache-dir", cache]
    models: Command = [*check, MODELS]

    def cold(*command: str | Path) -> Usage:
        shutil.rmtree(cache, ignore_errors=True)
        return measure(command, context.tree)

    def changed(path: Path) -> Usage:
        with path.open("a") as file:
            file.write("\n_CHANGED = True\n")
        return measure(models, context.tree)

    yield "cold, one process", [cold(*models, "--jobs", "1") for _ in range(context.repeat)]
    yield "cold", [cold(*models) for _ in range(context.repeat)]
    yield "warm", [measure(models, context.tree) for _ in range(context.repeat)]
    yield "one file changed", [changed(context.models / "llama.py") for _ in range(context.repeat)]
    yield "a layer changed", [changed(context.tree / LAYER) for _ in range(context.repeat)]
    everything: Command = [*check, "vllm"]
    yield "cold, all of vllm", [cold(*everything)]
    yield "warm, all of vllm", [measure(everything, context.tree) for _ in range(context.repeat)]
    yield "--version", [measure([context.ours, "--version"], context.tree) for _ in range(10)]
    yield "--help", [measure([context.ours, "--help"], context.tree) for _ in range(10)]
    # What a shell runs when the user presses the tab key behind `vllm-lint check --`.
    asks = {"_VLLM_LINT_COMPLETE": "bash_complete", "COMP_WORDS": "vllm-lint check --", "COMP_CWORD": "2"}
    yield "completion", [measure([context.ours], context.tree, asks) for _ in range(10)]


def time_parse(context: Context) -> Iterator[tuple[str, list[Usage]]]:
    """`ast.parse` of the same files, on the interpreter that runs this script."""
    command: Command = [sys.executable, HERE / "parse_only.py", context.models]
    yield "cold", [measure(command, context.tree) for _ in range(context.repeat)]


def time_torchfix(context: Context) -> Iterator[tuple[str, list[Usage]]]:
    """All of TorchFix's rules, on all cores (its default). It has no cache."""
    yield "cold", [measure([context.peers / "torchfix", "--select", "ALL", MODELS], context.tree)]


def time_fixit(context: Context) -> Iterator[tuple[str, list[Usage]]]:
    """Fixit with its default rules, on all cores (its default). It has no cache."""
    yield "cold", [measure([context.peers / "fixit", "lint", MODELS], context.tree)]


def time_ruff(context: Context) -> Iterator[tuple[str, list[Usage]]]:
    """All of ruff's rules, without the configuration that vLLM's source carries."""
    base: Command = [context.peers / "ruff", "check", "--isolated", "--select", "ALL", "--output-format", "concise"]
    yield "cold", [measure([*base, "--no-cache", MODELS], context.tree) for _ in range(context.repeat)]
    cached: Command = [*base, "--cache-dir", context.work / "ruff", MODELS]
    measure(cached, context.tree)
    yield "warm", [measure(cached, context.tree) for _ in range(context.repeat)]


TIMERS: dict[str, Callable[[Context], Iterator[tuple[str, list[Usage]]]]] = {
    "ours": time_ours,
    "ast.parse": time_parse,
    "torchfix": time_torchfix,
    "fixit": time_fixit,
    "ruff": time_ruff,
}


def main() -> None:
    """Measure, print and save."""
    options = _options()
    run = dt.datetime.now(tz=dt.timezone.utc).isoformat(timespec="seconds")
    peers = _install_peers(options.peers_venv, [tool for tool in options.only if tool in PEERS])
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        tree = work / "tree"
        shutil.copytree(options.vllm_source / "vllm", tree / "vllm")
        context = Context(tree=tree, work=work, ours=options.ours, peers=peers, repeat=options.repeat)
        size = _input_size(context.models)
        for tool in options.only:
            version = _version(tool, context)
            for what, usages in TIMERS[tool](context):
                rows.append(_row(run, tool, version, what, usages))
                print(_line(rows[-1]), flush=True)
    saved = _merge(options.results, rows, size)
    print(f"\n{options.results}: {size['files']} files, {size['lines']} lines of vLLM {options.vllm_version}\n")
    for row in saved["rows"]:
        print(_line(row))
    if len({row["run"] for row in saved["rows"]}) > 1:
        print("\nrows come from separate runs, see `run` in the file")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--vllm-source", type=Path, required=True, help="unpacked vLLM source distribution")
    parser.add_argument("--only", nargs="+", choices=TOOLS, default=list(TOOLS), help="tools to measure")
    parser.add_argument("--ours", type=Path, default=Path(sys.executable).parent / "vllm-lint", help="our program")
    parser.add_argument("--peers-venv", type=Path, default=HERE / ".venv-peers", help="where to install the others")
    parser.add_argument("--repeat", type=int, default=3, help="runs of the fast ones; the median is reported")
    parser.add_argument("--results", type=Path, help="JSON file to write or update")
    options = parser.parse_args()
    if not (options.vllm_source / MODELS).is_dir():
        parser.error(f"no {MODELS} in {options.vllm_source}")
    options.vllm_version = options.vllm_source.resolve().name.removeprefix("vllm-")
    options.results = options.results or HERE / "results" / f"vllm-{options.vllm_version}.json"
    return options


def _install_peers(folder: Path, tools: list[str]) -> Path:
    """Install what is missing into a virtual environment of their own; returns its folder of programs."""
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    missing = [PEERS[tool] for tool in tools if not (programs / tool).exists()]
    if missing:
        venv.create(folder, with_pip=True)
        subprocess.run([programs / "python", "-m", "pip", "install", "--quiet", *missing], check=True)
    return programs.resolve()


def _version(tool: str, context: Context) -> str:
    if tool == "ast.parse":
        return platform.python_version()
    program = context.ours if tool == "ours" else context.peers / tool
    return measure([program, "--version"], context.tree).output.strip().rsplit(" ", 1)[-1]


def _input_size(models: Path) -> dict[str, int]:
    files = list(models.rglob("*.py"))
    return {"files": len(files), "lines": sum(path.read_bytes().count(b"\n") for path in files)}


def _row(run: str, tool: str, version: str, what: str, usages: list[Usage]) -> dict[str, Any]:
    return {
        "tool": "vllm-lint" if tool == "ours" else tool,
        "version": version,
        "what": what,
        "wall_s": round(statistics.median(usage.wall_s for usage in usages), 3),
        "cpu_s": round(statistics.median(usage.cpu_s for usage in usages), 3),
        "peak_mb": round(max(usage.peak_mb for usage in usages), 1),
        "repeats": len(usages),
        "exit_code": usages[-1].exit_code,
        "output_lines": usages[-1].output.count("\n"),
        "run": run,
        "machine": machine(),
    }


def machine() -> str:
    """Cores, processor and system."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    except OSError:  # not Linux
        pass
    return f"{os.cpu_count()} cores, {model}, {platform.system()}"


def _merge(path: Path, rows: list[dict[str, Any]], size: dict[str, int]) -> dict[str, Any]:
    """Replace the rows of the tools measured now and write the file in one step."""
    old: list[dict[str, Any]] = json.loads(path.read_text())["rows"] if path.exists() else []
    measured = {row["tool"] for row in rows}
    saved = {"input": size, "rows": sorted([row for row in old if row["tool"] not in measured] + rows, key=_order)}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(saved, indent=2) + "\n")
    partial.replace(path)
    return saved


def _order(row: dict[str, Any]) -> int:
    return ["vllm-lint", *TOOLS].index(row["tool"])


def _line(row: dict[str, Any]) -> str:
    name = f"{row['tool']} {row['version']}"
    return f"{name:20} {row['what']:18} {row['wall_s']:9.2f} s {row['cpu_s']:9.2f} s cpu {row['peak_mb']:8.0f} MB"


if __name__ == "__main__":
    main()
