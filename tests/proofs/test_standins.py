"""The stand-in for vLLM's decorator marks what the real one marks."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

#: Signatures and decorator arguments in every form, evaluated where either vLLM or the stand-ins are importable.
FORMS = {
    "tensor": ("x: torch.Tensor", ""),
    "optional": ("x: Optional[torch.Tensor], y: torch.Tensor | None = None", ""),
    "union": ("x: Union[torch.Tensor, None], y: torch.FloatTensor", ""),
    "optional float": ("x: torch.FloatTensor | None", ""),
    "imported name": ("x: Tensor", ""),
    "intermediate": ("x: torch.Tensor, y: IntermediateTensors, z: IntermediateTensors | None", ""),
    "not recognised": ("x: torch.Tensor, a: torch.LongTensor, b: 'torch.Tensor', c: list[torch.Tensor], d: int, e", ""),
    "wide union": ("x: torch.Tensor, y: torch.Tensor | list[torch.Tensor]", ""),
    "nothing": ("x: torch.LongTensor", ""),
    "strings": ("x: 'torch.Tensor'", ""),
    "int": ("x, y", "dynamic_arg_dims={'x': 0, 'y': -1}"),
    "list": ("x", "dynamic_arg_dims={'x': [0, 1]}"),
    "shape ids": ("x, y", "dynamic_arg_dims={'x': {0: 'b'}, 'y': {-1: 'b'}}"),
    "unknown name": ("x", "dynamic_arg_dims={'z': 0}"),
    "empty": ("x: torch.Tensor", "dynamic_arg_dims={}"),
    "enable_if": ("x: torch.Tensor", "enable_if=lambda config: True"),
}
DECLARE = """
import json, sys
from typing import Optional, Union
import torch
from torch import Tensor, nn
{setup}
from vllm.compilation.decorators import support_torch_compile
from vllm.sequence import IntermediateTensors

def normalised(dims):
    return {{str(d): None for d in ([dims] if isinstance(dims, int) else dims)}} if not isinstance(dims, dict) else {{
        str(d): i for d, i in dims.items()}}

found = {{}}
for name, (signature, arguments) in json.loads(sys.stdin.read()).items():
    space = dict(globals())
    decorator = f"@support_torch_compile({{arguments}})" if arguments else "@support_torch_compile"
    source = f"{{decorator}}\\nclass M(nn.Module):\\n    def forward(self, {{signature}}): return x\\n"
    try:
        exec(source, space)
        found[name] = {{k: normalised(v) for k, v in {dims}.items()}}
    except ValueError as error:
        found[name] = str(error).split("<class")[0]
print(json.dumps(found))
"""
REAL = "inspect.getclosurevars(space['M'].__init__).nonlocals['dynamic_arg_dims']"


def declared(setup: str, dims: str) -> dict[str, object]:
    code = DECLARE.format(setup=textwrap.dedent(setup), dims=dims)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, input=json.dumps(FORMS), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.torch
@pytest.mark.vllm
def test_the_standin_declares_what_the_real_decorator_declares() -> None:
    setup = "from vllm_lint.runtime_verifier.targets import standins\nstandins.install()"
    ours = declared(setup, "space['M']._vllm_lint_dims")
    real = declared("import inspect", REAL)
    assert ours.keys() == FORMS.keys()
    for name in FORMS:
        mine, theirs = ours[name], real[name]
        if isinstance(theirs, str):  # messages may go on in other words
            assert isinstance(mine, str), name
            assert mine[:30] == theirs[:30], name
        else:
            assert mine == theirs, name
    assert isinstance(real["strings"], str)
    assert set(real["not recognised"]) == {"x"}  # type: ignore[call-overload]
