"""Times vllm-lint on generated projects of growing size, with one process and with two.

Usage: python -m benchmarks.speed.scaling [--lines N ...]

A project is a package of layers, and of models that are stacked from these as vLLM's are; each model is a compiled
root. All names and sizes differ from file to file, so that nothing is the same text twice. Results are printed and
written to a JSON file.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.speed.compare import machine
from benchmarks.speed.measure import measure

HERE = Path(__file__).parent
LINES = (10_000, 100_000, 1_000_000, 3_000_000)
#: Layers that a model chooses from; a model of a large project uses no more code than one of a small project.
LAYERS = 40

_HEAD = """\
import torch
from torch import nn
"""
_LAYER = '''

class Layer{n}(nn.Module):
    """Layer {n}."""

    def __init__(self, hidden: int, config) -> None:
        super().__init__()
        self.inner = nn.Linear(hidden, {n} + 8, bias=config.bias)
        self.outer = nn.Linear({n} + 8, hidden)
        self.limit = config.limit
        self.scale = nn.Parameter(torch.ones(hidden))

    def forward(self, x: torch.Tensor, residual: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        if residual is not None:
            x = x + residual
        residual = x
        hidden = self.inner(x).view(-1, {n} + 8)
        if self.limit:
            hidden = hidden.clamp(max=self.limit)
        return self.outer(torch.relu(hidden)) * self.scale, residual
'''
_MODEL = """

class Block{n}(nn.Module):
    def __init__(self, config, prefix: str) -> None:
        super().__init__()
        self.prefix = prefix
        self.first = Layer{a}(config.hidden_size, config)
        self.second = Layer{b}(config.hidden_size, config)
        self.norm = nn.LayerNorm(config.hidden_size)

    def forward(self, positions: torch.Tensor, x: torch.Tensor, residual: torch.Tensor | None):
        x, residual = self.first(x, residual)
        x = x + positions.unsqueeze(-1) * {n}
        x, residual = self.second(x, residual)
        return self.norm(x), residual


@support_torch_compile
class Model{n}(nn.Module):
    def __init__(self, *, vllm_config, prefix: str = "") -> None:
        super().__init__()
        config = vllm_config.model_config.hf_config
        self.embed = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList([Block{n}(config, f"{{prefix}}.{{i}}") for i in range(config.num_hidden_layers)])

    def forward(self, input_ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        x = self.embed(input_ids)
        residual = None
        for layer in self.layers:
            x, residual = layer(positions, x, residual)
        if {is_bad}:
            x = x * 2
        return x

    def load_weights(self, weights) -> set[str]:
        params = dict(self.named_parameters())
        loaded = set()
        for name, weight in weights:
            if name in params:
                params[name].data.copy_(weight)
                loaded.add(name)
        return loaded
"""


def write_project(folder: Path, lines: int) -> int:
    """Write a project of about `lines` lines below `folder`; returns how many there are."""
    package = folder / "project"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    layers = _HEAD + "".join(_LAYER.format(n=n) for n in range(LAYERS))
    (package / "layers.py").write_text(layers)
    written, number = layers.count("\n"), 0
    while written < lines:
        a, b = number % LAYERS, (number * 7 + 1) % LAYERS
        imports = (
            f"from vllm.compilation.decorators import support_torch_compile\n\nfrom .layers import Layer{a}, Layer{b}\n"
        )
        # One model in a hundred has something to report.
        is_bad = "x.size(0) % 128 == 0" if number % 100 == 0 else "positions.dim() > 1"
        text = _HEAD + imports + _MODEL.format(n=number, a=a, b=b, is_bad=is_bad)
        (package / f"model_{number}.py").write_text(text)
        written, number = written + text.count("\n"), number + 1
    return written


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--lines", type=int, nargs="+", default=list(LINES), help="sizes of the projects")
    parser.add_argument("--ours", type=Path, default=Path(sys.executable).parent / "vllm-lint", help="our program")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "scaling.json", help="JSON file to write")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for lines in options.lines:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            written = write_project(folder, lines)
            for jobs in (1, 2):
                cache = folder / "cache"
                shutil.rmtree(cache, ignore_errors=True)
                command = [options.ours, "check", "--isolated", "--jobs", str(jobs), "--cache-dir", cache, "project"]
                usage = measure(command, folder)
                row = {
                    "lines": written,
                    "jobs": jobs,
                    "wall_s": round(usage.wall_s, 2),
                    "cpu_s": round(usage.cpu_s, 2),
                    "us_per_line": round(1e6 * usage.wall_s / written, 1),
                    "peak_mb": round(usage.peak_mb),
                    "exit_code": usage.exit_code,
                }
                rows.append(row)
                print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    facts = {"date": dt.datetime.now(tz=dt.timezone.utc).date().isoformat(), "machine": machine(), "rows": rows}
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.results.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
