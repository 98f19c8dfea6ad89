"""Runs drawn calls with torch, and has the interpreter read them."""

from __future__ import annotations

import ast
import math
import random
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import einops
import torch

from tests.knowledge.comparing import NotKnown, differences
from tests.knowledge.drawing import Draw, H, real, symbolic
from tests.knowledge.operator_cases import Drawer
from vllm_lint.analyzer.context import Frame
from vllm_lint.analyzer.events import Event, SizeDivision, SizeSpecialization
from vllm_lint.analyzer.index import FunctionInfo
from vllm_lint.analyzer.interpreter import Interpreter
from vllm_lint.analyzer.project import Project
from vllm_lint.analyzer.questions import Disk
from vllm_lint.analyzer.recording import Recording
from vllm_lint.analyzer.sizes import TOKENS, Size
from vllm_lint.analyzer.values import Int, Static, Tensor, Trail, Value

#: Numbers of tokens. One is left out: there, dims broadcast that elsewhere do not.
COUNTS = (2, 3, 5, 7, 8, 12, 24)
#: Where functions of torch stand that have the name of a method.
_NAMESPACES = ("torch", "torch.nn.functional", "torch.special", "torch.linalg", "torch.fft")
HEAD = "import math\nimport torch\nfrom torch import nn\nfrom einops import rearrange, reduce, repeat\n"


@dataclass
class Sample:
    """One call, with what torch returned for each number of tokens that it takes."""

    text: str
    tensors: dict[str, tuple[tuple[str, ...], str]]
    real: dict[int, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        given = ", ".join(f"{name} {dtype}[{', '.join(dims)}]" for name, (dims, dtype) in self.tensors.items())
        return f"{self.text}  ({given})"


def drawn(name: str, drawer: Drawer, count: int, seed: int = 0, device: str = "meta") -> list[Sample]:
    """Samples of an operator that torch takes for two numbers of tokens at least."""
    chooser = random.Random(zlib.crc32(f"{name}{seed}".encode()))  # noqa: S311  drawn the same each time
    found = []
    for _ in range(count):
        draw = Draw(chooser)
        receiver, arguments = drawer(draw)
        for text in _forms(name, receiver, draw.spelled(arguments)):
            sample = Sample(text, draw.tensors)
            _run(sample, device)
            if len(sample.real) >= 2:
                found.append(sample)
    return found


def written(name: str, writer: Callable[[Draw], str], count: int, seed: int = 0, device: str = "meta") -> list[Sample]:
    """The same of an expression that is written as a whole."""
    chooser = random.Random(zlib.crc32(f"{name}{seed}".encode()))  # noqa: S311  drawn the same each time
    found = []
    for _ in range(count):
        draw = Draw(chooser)
        sample = Sample(writer(draw), draw.tensors)
        _run(sample, device)
        if len(sample.real) >= 2:
            found.append(sample)
    return found


def _forms(name: str, receiver: str | None, arguments: str) -> Iterator[str]:
    if receiver is None:
        yield f"torch.{name}({arguments})"
        return
    if hasattr(torch.Tensor, name):
        yield f"{receiver}.{name}({arguments})"
    behind = f", {arguments}" if arguments else ""
    for namespace in _NAMESPACES:
        if _named(namespace, name):
            yield f"{namespace}.{name}({receiver}{behind})"
    if _named("torch", name) and "=" in arguments.partition(",")[0]:
        yield f"torch.{name}(input={receiver}, {arguments})"


def _named(namespace: str, name: str) -> bool:
    found: Any = SimpleNamespace(torch=torch)
    for part in f"{namespace}.{name}".split("."):
        found = getattr(found, part, None)
    return callable(found)


def _run(sample: Sample, device: str) -> None:
    # Tensors without data take more than those with, so one number of tokens is tried with data first.
    if device == "meta" and not any(_result(sample, n, "cpu") is not None for n in (5, 24)):
        return
    for n in COUNTS:
        found = _result(sample, n, device)
        if found is not None:
            sample.real[n] = found


def _result(sample: Sample, n: int, device: str) -> Any:
    """What torch returns, None if it does not take this call, or not for this number."""
    names: dict[str, Any] = {"torch": torch, "nn": torch.nn, "math": math, "n": n, "h": H}
    names |= {name: getattr(einops, name) for name in ("rearrange", "reduce", "repeat")}
    for name, (dims, dtype) in sample.tensors.items():
        names[name] = _tensor([real(dim, n) for dim in dims], dtype, device)
    try:
        found = eval(sample.text, names)  # noqa: S307  texts of these tests
    except (
        RuntimeError,
        TypeError,
        ValueError,
        IndexError,
        NotImplementedError,
        AttributeError,
        AssertionError,
        einops.EinopsError,
    ):
        return None
    return torch.from_numpy(found) if type(found).__module__ == "numpy" else found


def _tensor(dims: list[int], dtype: str, device: str) -> torch.Tensor:
    kind = getattr(torch, dtype)
    if dtype in ("int64", "bool") and device == "cpu":
        return torch.randint(0, 2, dims).to(kind)
    return torch.ones(dims, dtype=kind, device=device)


class Reader:
    """The interpreter over expressions in one file."""

    def __init__(self, folder: Path, texts: Iterable[str], head: str = HEAD) -> None:
        functions = [f"def case_{i}(*_):\n    return {text}\n" for i, text in enumerate(texts)]
        path = folder / "expressions.py"
        path.write_text(head + "\n".join(functions), encoding="utf-8")
        project = Project([path], [], search_installed=False, base=folder, disk=Disk(None))
        self.interpreter = Interpreter(project)
        module = project.module_at(path)
        assert module is not None
        self._module = module

    def value(self, index: int, tensors: dict[str, tuple[tuple[str, ...], str]]) -> Value:
        """What the interpreter says of one expression."""
        (info,) = self._module.bindings[f"case_{index}"]
        assert isinstance(info, FunctionInfo)
        (statement,) = info.node.body if isinstance(info.node.body, list) else []
        assert isinstance(statement, ast.Return) and statement.value is not None
        trail = Trail(self._module.source.span(statement), "the number of tokens")
        known: dict[str, Value] = {"n": Int(Size.symbol(TOKENS), trail), "h": Static("h", "int")}
        for name, (dims, dtype) in tensors.items():
            shape = tuple(map(symbolic, dims))
            own = trail if any(d.depends for d in shape) else None
            known[name] = Tensor(
                shape, dtype.removeprefix("b").rstrip("0123456789") if dtype != "bool" else dtype, trail=own
            )
        self.interpreter.recording = Recording()
        return self.interpreter.evaluate(statement.value, Frame(self._module, known))

    def events(self) -> list[Event]:
        """What the last evaluation told."""
        return list(self.interpreter.recording.told())


@dataclass
class Verdict:
    """What came of the samples of one operator."""

    samples: int = 0
    known: int = 0
    reported: int = 0
    """Calls of which the interpreter reports that they do not hold for all numbers of tokens."""
    wrong: list[str] = field(default_factory=list)


def judged(samples: list[Sample], folder: Path) -> Verdict:
    """Compare the interpreter with torch."""
    verdict = Verdict(len(samples))
    reader = Reader(folder, [sample.text for sample in samples])
    for index, sample in enumerate(samples):
        value = reader.value(index, sample.tensors)
        if any(isinstance(event, (SizeDivision, SizeSpecialization)) for event in reader.events()):
            verdict.reported += 1
            continue
        try:
            found = list(differences(value, sample.real))
        except NotKnown:
            continue
        verdict.known += 1
        verdict.wrong += [f"{sample}: {text}" for text in found]
    return verdict
