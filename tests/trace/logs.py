"""Logs made by hand, and those of tests/data/traces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vllm_lint.runtime_verifier.trace.evidence import Compilation, TraceEvidence
from vllm_lint.runtime_verifier.trace.log import TraceLog

DATA = Path(__file__).parents[1] / "data" / "traces"
TORCH = "/env/lib/python3.12/site-packages/torch/"
#: Number of each interned string of a log made here.
PATHS = {
    "/app/model.py": 0,
    "/app/layers.py": 1,
    TORCH + "_logging/_internal.py": 2,
    TORCH + "_dynamo/variables/tensor.py": 3,
    TORCH + "nn/modules/module.py": 4,
    "/env/lib/python3.12/contextlib.py": 5,
}
MODEL, LAYERS, LOGGING, VARIABLES, MODULE, CONTEXTLIB = PATHS
#: torch's own stack when an `if` asked, when an operation did, and when an argument was described.
PYTHON = [("_call", 1, MODULE), ("evaluate_expr", 1956, VARIABLES), ("trace_structured", 1430, LOGGING)]
OPERATION = [("__torch_dispatch__", 924, MODULE), ("trace_structured", 1430, LOGGING)]
ARGUMENT = [("_wrap_to_fake_tensor_and_record_impl", 4048, MODULE), ("trace_structured", 1430, LOGGING)]


def line(metadata: dict[str, Any], payload: str = "", process: int = 7) -> str:
    """One record as it stands in a log."""
    if payload:
        metadata = {**metadata, "has_payload": "0" * 32}
    text = f"V0125 13:45:01.123000 {process} torch/_dynamo/utils.py:99] {json.dumps(metadata)}\n"
    return text + "".join(f"\t{row}\n" for row in payload.splitlines())


def event(kind: str, fields: Any, payload: str = "", **context: Any) -> str:
    """One event of compilation 0/0 on rank 0."""
    where = {"rank": 0, "frame_id": 0, "frame_compile_id": 0, "attempt": 0, **context}
    return line({kind: fields, **{name: value for name, value in where.items() if value is not None}}, payload)


def strings() -> str:
    """The interned strings, which come before their first use."""
    return "".join(line({"str": [path, number]}) for path, number in PATHS.items())


def frames(*stack: tuple[str, int, str]) -> list[dict[str, Any]]:
    """A stack of (function, line, path), outermost first."""
    return [{"name": name, "line": number, "filename": PATHS[path]} for name, number, path in stack]


def start(**context: Any) -> str:
    """A capture of `forward` in the model begins."""
    return event("dynamo_start", {"stack": frames(("<module>", 90, MODEL), ("forward", 10, MODEL))}, **context)


def symbol(name: str, argument: str, size: int = 40, *, vr: str = "[2, int_oo]", mark: bool = True) -> str:
    """Dim 0 of an argument becomes a symbol."""
    number = sum(map(ord, name))
    dims = [0] if mark else []
    return (
        event("describe_tensor", {"id": number, "describer_id": 0, "size": [size], "dynamo_dynamic_indices": dims})
        + event("describe_source", {"id": number, "describer_id": 0, "source": f"L['{argument}']"})
        + event(
            "create_symbol",
            {
                "symbol": name,
                "val": str(size),
                "vr": vr,
                "source": f"L['{argument}'].size()[0]",
                "stack": frames(*ARGUMENT),
            },
        )
    )


def guard(expression: str, *user: tuple[str, int, str], by: list[tuple[str, int, str]] = PYTHON, **context: Any) -> str:
    """A condition was found true."""
    fields = {"expr": expression, "user_stack": frames(*user), "stack": frames(*by)}
    return event("guard_added_fast", fields, **context)


DROPPED = "TREE_GUARD_MANAGER:\n+- RootGuardManager"
KEPT = DROPPED + "\n| +- GLOBAL_STATE: ___check_global_state() against {}"


def end(guards: str = DROPPED, *, graph: str = "", **failure: Any) -> str:
    """A capture ends, with a graph unless it failed."""
    metrics = {"co_name": "forward", "co_filename": MODEL, "co_firstlineno": 10, **failure}
    ending = event("compilation_metrics", metrics)
    if failure:
        return ending
    return (
        event("dynamo_output_graph", {"sizes": {}}, graph or "pass")
        + event("dynamo_cpp_guards_str", {}, guards)
        + ending
    )


AT = ("forward", 12, MODEL)


def compilations(text: str, folder: Path) -> list[Compilation]:
    """What one process's log says."""
    path = folder / "made.log"
    path.write_text(strings() + text, encoding="utf-8")
    return read(path)


def read(path: Path) -> list[Compilation]:
    """What one process's log says."""
    evidence = TraceEvidence()
    for record in TraceLog(path).records():
        evidence.add(record.metadata, record.payload)
    return evidence.compilations
