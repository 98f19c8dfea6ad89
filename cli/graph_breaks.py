"""`vllm-lint rules --graph-breaks`: torch's registry of graph breaks against the rules."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from vllm_lint.cli.console import Style, print_pieces, use_color
from vllm_lint.cli.errors import Failure
from vllm_lint.rules import graph_breaks
from vllm_lint.rules.catalogue import RULES
from vllm_lint.rules.graph_breaks import Entry

#: Where torch keeps its registry, inside its package.
REGISTRY = Path("_dynamo", "graph_break_registry.json")
#: What another interpreter is asked; it finds torch without importing it.
_FIND = "import importlib.util as u; s = u.find_spec('torch'); print(s.origin if s and s.origin else '')"
_SECONDS = 60


def show(output_format: Literal["table", "json"], registry: Path | None, python: str | None) -> None:
    """Print the table, with what the registry of a torch that is at hand has beyond it.

    Raises:
        Failure: the registry that was asked for cannot be found or read.
    """
    path = registry or _installed(python)
    types = None
    if path is not None:
        try:
            types = graph_breaks.read_registry(path)
        except graph_breaks.RegistryError as error:
            raise Failure(f"{path}: {error}") from error
    entries = graph_breaks.table(RULES, types)
    if output_format == "json":
        record = {
            "made_from": graph_breaks.source(),
            "registry": str(path) if path is not None else None,
            "breaks": [asdict(entry) for entry in entries],
            "summary": summary(entries),
        }
        print_pieces([json.dumps(record, indent=2)])
    else:
        print_pieces(_lines(entries, path, Style(enabled=use_color("auto", sys.stdout))))


def _installed(python: str | None) -> Path | None:
    """The registry of the torch that `python`, or this interpreter, would import; None if this one has no torch.

    Raises:
        Failure: `python` cannot be run or has no torch, or the torch has no registry.
    """
    if python is None:
        spec = find_spec("torch")
        origin = spec.origin if spec is not None else None
        if origin is None:
            return None
    else:
        origin = _origin_in(python)
    path = Path(origin).parent / REGISTRY
    if not path.is_file():
        if python is None:
            return None
        raise Failure(f"{Path(origin).parent} has no {REGISTRY.as_posix()}: torch has had one since 2.9")
    return path


def _origin_in(python: str) -> str:
    try:
        done = subprocess.run(
            [python, "-c", _FIND], capture_output=True, text=True, timeout=_SECONDS, check=True, cwd=Path.home()
        )
    except OSError as error:
        raise Failure(f"cannot run {python}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise Failure(f"{python} did not answer within {_SECONDS} seconds") from error
    except subprocess.CalledProcessError as error:
        said = str(error.stderr).strip().splitlines()
        raise Failure(f"{python} failed to look for torch: {said[-1] if said else 'it said nothing'}") from error
    origin = done.stdout.strip()
    if not origin:
        raise Failure(f"{python} has no torch")
    return origin


def summary(entries: list[Entry]) -> dict[str, dict[str, int]]:
    """How many ids of each class are covered, and why the others are not, by class and in words.

    What model code that runs without compilation can raise is told apart by the reasons in `POSSIBLE`.
    """
    counted: dict[str, Counter[str]] = {}
    known = graph_breaks.known_breaks()
    for entry in entries:
        if not entry.registered and known[entry.id].since:
            continue  # only a later torch has it
        what: str = entry.coverage if entry.coverage != "none" else known[entry.id].reason
        counted.setdefault(entry.visibility or "new", Counter())[what] += 1
    return {name: dict(sorted(counts.items())) for name, counts in sorted(counted.items())}


def _lines(entries: list[Entry], path: Path | None, style: Style) -> Iterator[str]:
    for entry in entries:
        rules = ", ".join(entry.rules) or "-"
        gone = "" if entry.registered else " (not in this registry)"
        yield f"{style.strong(entry.id)}  {entry.visibility or '?'}  {entry.coverage:10}  {rules}  {entry.type}{gone}"
        if entry.why:
            yield f"        {entry.why}"
    yield ""
    yield "Classes: A the source shows it, B types or the whole program are needed, C only a run shows it."
    possible = " or ".join(graph_breaks.POSSIBLE)
    yield f"Of what is not covered, only what is {possible} can be raised by model code that works."
    yield f"Made from {graph_breaks.source()}."
    yield f"Registry: {path}" if path is not None else "Registry: no torch with a registry is installed here"
    counted = summary(entries)
    unknown = counted.pop("new", {}).get("new", 0)
    if unknown:
        yield f"New: {unknown} ids that nobody has classified"
    for name, counts in counted.items():
        covered = counts.get("proved", 0) + counts.get("no fixture", 0)
        can = covered + sum(counts.get(reason, 0) for reason in graph_breaks.POSSIBLE)
        others = [f"{n} {reason}" for reason, n in counts.items() if reason not in ("proved", "no fixture")]
        proved = f"{covered} covered, {counts.get('proved', 0)} of them proved by a fixture"
        of = f"of {sum(counts.values())} ids, {can} of which model code that works can raise"
        yield f"Class {name}: {'; '.join([f'{of}, {proved}', *([', '.join(others)] if others else [])])}"
