"""Plants faults in vLLM's model code and counts how many of them are found, on the very line.

    python benchmarks/accuracy/planted.py --vllm-source path/to/folder/with/vllm

Faults go into a copy of the source, at the top of the forward of layers that lie one to three calls below a compiled
root. Each round plants one fault in every layer; the rounds together plant every fault in every layer.
"""

from __future__ import annotations

import argparse
import ast
import random
import shutil
import sys
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vllm_lint.analyzer.engine import Settings, check
from vllm_lint.rules.catalogue import RULES

#: Rule to a fault that it must find; `{x}` is a tensor with a row for each token.
FAULTS = {
    "branch": ("VL201", "if {x}.shape[0] > 256:  # planted\n    {x} = {x} * 1"),
    "multiple": ("VL201", "if {x}.shape[0] % 8 == 0:  # planted\n    {x} = {x} * 1"),
    "one token": ("VL203", "if {x}.size(0) == 1:  # planted\n    {x} = {x} * 1"),
    "data": ("VL102", "if {x}.abs().sum().item() > 0:  # planted\n    {x} = {x} * 1"),
    "tensor": ("VL101", "if ({x} > 0).any():  # planted\n    {x} = {x} * 1"),
    "print": ("VL103", "print({x}.shape)  # planted"),
    "rows": ("VL202", "for _ in range({x}.shape[0]):  # planted\n    {x} = {x} * 1"),
    "groups": ("VL204", "blocks = {x}.view(-1, 8, {x}.shape[-1])  # planted\n{x} = {x} + blocks.sum() * 0"),
}

MODELS = "vllm/model_executor/models/"
LAYERS = "vllm/model_executor/layers/"
#: Kind, file, and the layers with the name of the tensor.
PLACES = (
    ("dense", MODELS + "llama.py", {"LlamaMLP": "x", "LlamaAttention": "hidden_states"}),
    ("dense", MODELS + "gemma3.py", {"Gemma3MLP": "x", "Gemma3Attention": "hidden_states"}),
    ("MoE", MODELS + "mixtral.py", {"MixtralMoE": "hidden_states", "MixtralAttention": "hidden_states"}),
    ("MoE", MODELS + "gpt_oss.py", {"MLPBlock": "x", "OAIAttention": "hidden_states"}),
    ("MoE", MODELS + "deepseek_v2.py", {"DeepseekV2MoE": "hidden_states", "DeepseekV2MLAAttention": "hidden_states"}),
    ("hybrid", MODELS + "jamba.py", {"JambaMoE": "hidden_states", "JambaMambaDecoderLayer": "hidden_states"}),
    ("hybrid", MODELS + "falcon_h1.py", {"FalconH1MLP": "x", "FalconH1SSMDecoderLayer": "hidden_states"}),
    ("multimodal", MODELS + "qwen2_5_vl.py", {"Qwen2_5_VisionMLP": "x", "Qwen2_5_VisionAttention": "x"}),
    (
        "multimodal",
        MODELS + "mllama4.py",
        {"Llama4VisionMLP": "hidden_states", "Llama4VisionAttention": "hidden_states"},
    ),
    ("draft", MODELS + "deepseek_mtp.py", {"DeepSeekMultiTokenPredictorLayer": "inputs_embeds"}),
    ("draft", MODELS + "llama_eagle3.py", {"LlamaDecoderLayer": "hidden_states"}),
    ("encoder-decoder", MODELS + "whisper.py", {"WhisperMLP": "hidden_states", "WhisperAttention": "hidden_states"}),
    ("encoder", MODELS + "bert.py", {"BertSelfAttention": "hidden_states", "BertIntermediate": "hidden_states"}),
    ("shared", LAYERS + "layernorm.py", {"RMSNorm.forward_native": "x"}),
    ("shared", LAYERS + "activation.py", {"SiluAndMul.forward_native": "x"}),
)


@dataclass(frozen=True)
class Plant:
    """One fault in one layer; `line` counts from 1."""

    kind: str
    path: str
    layer: str
    fault: str
    line: int

    @property
    def code(self) -> str:
        """The rule that must find it."""
        return FAULTS[self.fault][0]


def main() -> None:
    """Plant, check and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vllm-source", type=Path, required=True, help="the folder that holds the package vllm")
    parser.add_argument("--seed", type=int, default=0, help="decides which fault goes where in which round")
    parser.add_argument("--rounds", type=int, default=len(FAULTS), help="fewer are quicker and plant less")
    options = parser.parse_args()
    if not (options.vllm_source / MODELS).is_dir():
        parser.error(f"{options.vllm_source} holds no {MODELS}")
    generator = random.Random(options.seed)  # noqa: S311  nothing secret
    starts = [generator.randrange(len(FAULTS)) for _, _, layers in PLACES for _ in layers]
    started = time.perf_counter()
    plants: list[Plant] = []
    found: set[Plant] = set()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        shutil.copytree(options.vllm_source / "vllm", base / "vllm", ignore=_not_python)
        for step in range(options.rounds):
            planted = _plant(options.vllm_source, base, starts, step)
            plants += planted
            found |= _found(base, planted)
    _report(plants, found)
    print(f"seed {options.seed}, {options.rounds} rounds, {time.perf_counter() - started:.0f} s")


def _not_python(_: str, names: list[str]) -> list[str]:
    return [n for n in names if "." in n and not n.endswith((".py", ".pyi"))]


def _plant(source: Path, base: Path, starts: list[int], step: int) -> list[Plant]:
    """Write each file with one fault in each of its layers."""
    faults = list(FAULTS)
    turns = iter(starts)
    planted: list[Plant] = []
    for kind, path, layers in PLACES:
        text = (source / path).read_text(encoding="utf-8")
        chosen = {layer: faults[(next(turns) + step) % len(faults)] for layer in layers}
        lines = text.splitlines()
        places = {layer: _first_line(text, path, layer) for layer in layers}
        for layer in sorted(layers, key=lambda name: -places[name]):
            at = places[layer]
            indent = " " * (len(lines[at - 1]) - len(lines[at - 1].lstrip()))
            fault = textwrap.indent(FAULTS[chosen[layer]][1].format(x=layers[layer]), indent)
            lines[at - 1 : at - 1] = fault.splitlines()
        (base / path).write_text("\n".join(lines) + "\n", encoding="utf-8")
        marked = [number for number, line in enumerate(lines, 1) if line.endswith("# planted")]
        for layer, line in zip(sorted(layers, key=places.__getitem__), marked, strict=True):
            planted.append(Plant(kind, path, layer, chosen[layer], line))
    return planted


def _first_line(text: str, path: str, layer: str) -> int:
    """Where the body of a layer's forward begins, behind its docstring."""
    name, _, method = layer.partition(".")
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            for member in node.body:
                if isinstance(member, ast.FunctionDef) and member.name == (method or "forward"):
                    documented = ast.get_docstring(member) is not None
                    return member.body[1 if documented else 0].lineno
    sys.exit(f"{path} defines no {layer}: this script knows the layers of vLLM 0.33")


def _found(base: Path, plants: Iterable[Plant]) -> set[Plant]:
    plants = list(plants)
    paths = tuple(sorted({base / plant.path for plant in plants}))
    result = check(Settings(paths=paths, base=base, search_installed=False, jobs=1), RULES)
    for error in result.errors:
        print(f"error: {error.message}", file=sys.stderr)
    seen = {(finding.path, finding.line, finding.code) for finding in result.findings}
    return {plant for plant in plants if (plant.path, plant.line, plant.code) in seen}


def _report(plants: list[Plant], found: set[Plant]) -> None:
    for title, name in (("kind", "kind"), ("fault", "fault"), ("rule", "code")):
        total = Counter(getattr(plant, name) for plant in plants)
        hits = Counter(getattr(plant, name) for plant in plants if plant in found)
        print(f"{title:18} planted  found")
        for key in total:
            print(f"  {key:16} {total[key]:7} {hits[key]:6}")
    for plant in plants:
        if plant not in found:
            print(f"missed: {plant.code} {plant.fault!r} in {plant.path}: {plant.layer}")
    print(f"found {len(found)} of {len(plants)} planted faults ({len(found) / len(plants):.1%})")


if __name__ == "__main__":
    main()
