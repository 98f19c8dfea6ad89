"""Captures small forwards as vLLM does, and says in a word what came of each. Nothing of them is run."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import torch
from torch._dynamo.exc import UserError
from torch.fx.experimental.symbolic_shapes import ConstraintViolationError, GuardOnDataDependentSymNode

ROWS = 256
HEAD = """\
import bisect, builtins, contextlib, contextvars, copy, ctypes, datetime, functools, gc, hashlib, importlib, inspect
import itertools, json, logging, math, operator, os, pickle, random, re, string, subprocess, sys, tempfile, threading
import time, traceback, types, uuid, warnings, zlib
import numpy
import numpy as np
import torch
import torch.distributed
import torch.utils.dlpack
from torch import nn
from torch.nn import functional as F
"""


class _Captured(Exception):
    """The forward became one graph, which is not run."""


def module_of(folder: Path, functions: dict[str, str]) -> Any:
    """A module with a function `NAME(x, flag)` for each of `functions`, which are bodies, by name."""
    texts = [f"def {name}(x, flag=True):\n" + _indented(body) for name, body in functions.items()]
    path = folder / "forwards.py"
    path.write_text(HEAD + "\n\n".join(texts) + "\n", encoding="utf-8")
    spec = importlib.util.spec_from_file_location("forwards", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _indented(body: str) -> str:
    return "\n".join(f"    {line}" for line in body.splitlines())


def outcome(function: Any) -> str:
    """`captured`, `guarded` (with conditions on n), `specialised`, `data-dependent`, or the id of the graph break."""
    conditions: list[str] = []

    def backend(*_: Any) -> Any:
        shapes = torch._guards.TracingContext.get().fake_mode.shape_env
        conditions.extend(str(guard.expr) for guard in shapes.guards)

        def stop(*_: Any) -> None:
            raise _Captured

        return stop

    torch._dynamo.reset()
    x = torch.ones(ROWS, 8)
    torch._dynamo.mark_dynamic(x, 0)
    try:
        with torch.no_grad():
            torch.compile(function, backend=backend, fullgraph=True, dynamic=False)(x)
    except _Captured:
        pass
    except ConstraintViolationError:
        return "specialised"
    except Exception as error:  # noqa: BLE001  whatever is raised is what came of it
        return _word(error)
    return "guarded" if conditions else "captured"


def _word(error: BaseException) -> str:
    text = f"{error}"
    if isinstance(error, GuardOnDataDependentSymNode) or "Could not guard on data-dependent" in text:
        return "data-dependent"
    if "ConstraintViolationError" in text or "specialized it to be a constant" in text:
        return "specialised"
    found = re.search(r"/gb(\d+)\.html", text)
    if found:
        return f"GB{found[1]}"
    kind = "user error" if isinstance(error, UserError) else type(error).__name__
    return f"{kind}: {text.strip().splitlines()[0][:100] if text.strip() else ''}"
