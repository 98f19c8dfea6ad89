"""Edits for the rules about state that changes between steps."""

from __future__ import annotations

from benchmarks.accuracy.edits.edit import bad, good

_CONTEXT = "from vllm.forward_context import get_forward_context\n"
_FOUND = (
    "import torch.library\n\n_planted_layers = {}\n\n\n@torch.library.custom_op('planted::found', mutates_args=())\n"
    "def _planted(x: torch.Tensor, name: str) -> torch.Tensor:\n    return x * _planted_layers[name].planted\n\n\n"
    "@_planted.register_fake\ndef _(x, name):\n    return torch.empty_like(x)\n\n\n"
)

STEP_STATE = (
    bad("VL601", "get", "import os\nif os.environ.get('PLANTED'):  # here\n    {x} = {x} * 2"),
    bad(
        "VL601",
        "getenv",
        "import os\n{x} = {x} * int(os.getenv('PLANTED', '1'))  # here",
        only_static="torch guards no `os.getenv`, and no step of these targets changes the environment",
    ),
    good(
        "VL601",
        "outside of a capture",
        "import os\nif not torch.compiler.is_compiling():\n    planted = os.environ.get('PLANTED')",
    ),
    bad("VL602", "counter", "self.planted += 1  # here\n{x} = {x} * self.planted", init="self.planted = 0"),
    bad(
        "VL602",
        "first step",
        "if self.planted:  # here\n    {x} = {x} * 2\nself.planted = False",
        init="self.planted = True",
        shows=("VL605",),
    ),
    bad(
        "VL602",
        "entry of a dict",
        "self.planted['n'] = self.planted.get('n', 0) + 1  # here\n{x} = {x} + self.planted['n']",
        init="self.planted = {}",
    ),
    good("VL602", "bound first", "self.planted = {x}.ndim\n{x} = {x} * self.planted", init="self.planted = 0"),
    good("VL602", "only read", "{x} = {x} * self.planted", init="self.planted = 2.0"),
    bad(
        "VL603",
        "metadata",
        _CONTEXT + "if get_forward_context().attn_metadata is None:  # here\n    {x} = {x} * 2",
        provider="vllm",
    ),
    bad(
        "VL603",
        "descriptor",
        _CONTEXT + "planted = get_forward_context()\nplanted = planted.batch_descriptor\n"
        "{x} = {x} * (2 if planted is not None else 1)  # here",
        provider="vllm",
    ),
    good(
        "VL603",
        "from the configuration",
        _CONTEXT + "planted = get_forward_context().no_compile_layers\nif 'planted' in planted:\n    {x} = {x} * 2",
        provider="vllm",
    ),
    bad("VL604", "counter", "global _planted\n_planted += 1  # here\n{x} = {x} * _planted", top="_planted = 0\n\n\n"),
    bad("VL604", "list", "_planted.append(1)  # here\n{x} = {x} + len(_planted)", top="_planted = []\n\n\n"),
    bad(
        "VL604",
        "closure",
        "{x} = {x} * _planted_next()",
        top="def _planted_steps():\n    step = 0\n\n    def following():\n        nonlocal step\n"
        "        step += 1  # here\n        return step\n\n    return following\n\n\n"
        "_planted_next = _planted_steps()\n\n\n",
    ),
    good("VL604", "table", "{x} = {x} * _planted['scale']", top="_planted = {'scale': 2.0}\n\n\n"),
    bad(
        "VL605",
        "mean of the first batch",
        "if self.planted is None:  # here\n    self.planted = {x}.mean()\n{x} = {x} - self.planted",
        init="self.planted = None",
        shows=("VL602",),
    ),
    bad(
        "VL605",
        "entry of a dict",
        "if 'scale' not in self.planted:  # here\n    self.planted['scale'] = {x}.abs().amax()\n"
        "{x} = {x} / self.planted['scale']",
        init="self.planted = {}",
        shows=("VL602",),
    ),
    good(
        "VL605",
        "made by the constructor",
        "if self.planted is None:\n    self.planted = 3.0\n{x} = {x} * self.planted",
        init="self.planted = 2.0",
    ),
    bad(
        "VL608",
        "set and set back",
        "planted = torch.get_default_dtype()\ntorch.set_default_dtype(torch.float64)  # here\n"
        "{x} = {x} + torch.ones(1).to({x})\ntorch.set_default_dtype(planted)",
        only_static="the graph of Dynamo alone sets it too",
    ),
    good("VL608", "asked", "{x} = {x} + torch.ones(1, dtype=torch.get_default_dtype())"),
    bad(
        "VL610",
        "number of tokens",
        "self.planted = {n}\n{x} = torch.ops.planted.found({x}, 'layer')  # here",
        top=_FOUND,
        init="_planted_layers['layer'] = self\nself.planted = 1",
    ),
    good(
        "VL610",
        "set by the constructor",
        "{x} = torch.ops.planted.found({x}, 'layer')",
        top=_FOUND,
        init="_planted_layers['layer'] = self\nself.planted = 3",
    ),
)
