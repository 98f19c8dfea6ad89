"""Edits for the rules about custom operators. The defect is in what is registered, and shows where it is called."""

from __future__ import annotations

from benchmarks.accuracy.edits.edit import bad, good

_SIGNATURE = "def _planted(x: torch.Tensor) -> torch.Tensor:\n"
_CUSTOM = "import torch.library\n\n\n@torch.library.custom_op('planted::op', mutates_args=())\n"
_PLAIN = f"{_SIGNATURE}    return x.clone()\n\n\n"
_FAKE = "@_planted.register_fake\ndef _(x):\n    return torch.empty_like(x)\n\n\n"
_REGISTER_FAKE = "@torch.library.register_fake('planted::op')\n"
_LIKE = "def _planted_fake(x: torch.Tensor) -> torch.Tensor:\n    return torch.empty_like(x)\n\n\n"
_VLLM = "\nfrom vllm.utils.torch_utils import direct_register_custom_op\n\n"
_DIRECT = _VLLM + "direct_register_custom_op('planted', _planted, {more}fake_impl=_planted_fake)\n\n\n"
_BY_NAME = _DIRECT.replace("{more}", "")
_WRITES = _DIRECT.replace("{more}", "mutates_args=['x'], ")
_LIBRARY = "import torch.library\n\n_planted_library = torch.library.Library('planted', 'FRAGMENT')\n"
_TWICE = "\ntorch.library.define('planted::other', '(Tensor x) -> Tensor')\n"
_CALL = "{x} = torch.ops.planted.op({x})  # shown"
_VLLM_CALL = "{x} = torch.ops.vllm.planted({x})  # shown"
_NO_IMPORT = "the module cannot be imported"

CUSTOM_OPERATORS = (
    bad(
        "VL301",
        "no fake implementation",
        _CALL,
        top=_CUSTOM.replace("=())\n", "=())  # here\n") + _PLAIN,
        shows=("GB4315", "GB0090"),
    ),
    bad(
        "VL301",
        "library",
        _CALL,
        top=_LIBRARY + "_planted_library.define('op(Tensor x) -> Tensor')  # here\n"
        "_planted_library.impl('op', lambda x: x * 2, 'CPU')\n\n\n",
        shows=("GB4315", "GB0090"),
    ),
    good("VL301", "fake implementation", _CALL, top=_CUSTOM + _PLAIN + _FAKE),
    good(
        "VL301",
        "kernel for meta tensors",
        _CALL,
        top=_LIBRARY + "_planted_library.define('op(Tensor x) -> Tensor')\n"
        "_planted_library.impl('op', lambda x: x * 2, 'CPU')\n"
        "_planted_library.impl('op', lambda x: torch.empty_like(x), 'Meta')\n\n\n",
    ),
    bad(
        "VL302",
        "a parameter less",
        "{x} = torch.ops.planted.op({x}, 2.0)  # shown",
        top=_CUSTOM + "def _planted(x: torch.Tensor, scale: float) -> torch.Tensor:\n    return x * scale\n\n\n"
        "@_planted.register_fake\ndef _(x):  # here\n    return torch.empty_like(x)\n\n\n",
        shows=("GB0112",),
    ),
    bad(
        "VL302",
        "a parameter more",
        _VLLM_CALL,
        top=_PLAIN
        + _LIKE.replace("(x: torch.Tensor)", "(x: torch.Tensor, out: torch.Tensor)").replace(
            ":\n    ", ":  # here\n    ", 1
        )
        + _BY_NAME,
        provider="vllm",
        shows=("GB0112",),
    ),
    good(
        "VL302",
        "any parameters",
        "{x} = torch.ops.planted.op({x}, 2.0)",
        top=_CUSTOM + "def _planted(x: torch.Tensor, scale: float) -> torch.Tensor:\n    return x * scale\n\n\n"
        "@_planted.register_fake\ndef _(x, *_, **__):\n    return torch.empty_like(x)\n\n\n",
    ),
    bad(
        "VL303",
        "pass",
        _VLLM_CALL.replace("= ", "= {x} + "),
        top=_PLAIN + "def _planted_fake(x: torch.Tensor) -> torch.Tensor:  # here\n    pass\n\n" + _BY_NAME,
        provider="vllm",
        shows=("GB0112", "GB4315"),
    ),
    bad(
        "VL303",
        "only a docstring",
        _CALL.replace("= ", "= {x} + "),
        top=_CUSTOM + _PLAIN + _REGISTER_FAKE + 'def _planted_fake(x):  # here\n    """Like x."""\n\n\n',
        shows=("GB0112", "GB4315"),
    ),
    good(
        "VL303",
        "returns nothing",
        "torch.ops.planted.op({x}.clone())",
        top=_CUSTOM.replace("()", "('x',)") + "def _planted(x: torch.Tensor) -> None:\n    x.add_(1)\n\n\n"
        "@_planted.register_fake\ndef _(x):\n    pass\n\n\n",
    ),
    bad(
        "VL304",
        "in place",
        _CALL,
        top=_CUSTOM + f"{_SIGNATURE}    x.mul_(2)  # here\n    return x.clone()\n\n\n" + _FAKE,
    ),
    bad(
        "VL304",
        "output argument in a helper",
        "planted = torch.empty_like({x})\n{x} = {x} + torch.ops.planted.op({x}, planted)  # shown",
        top="def _planted_fill(out, x):\n    torch.add(x, 1, out=out)  # here\n\n\n"
        + _CUSTOM
        + "def _planted(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:\n    _planted_fill(y, x)\n"
        "    return x.sum()\n\n\n@_planted.register_fake\ndef _(x, y):\n    return x.new_empty(())\n\n\n",
    ),
    good(
        "VL304",
        "declared",
        "planted = {x}.clone()\ntorch.ops.vllm.planted(planted)\n{x} = {x} + planted",
        top="def _planted(x: torch.Tensor) -> None:\n    x.mul_(2)\n\n\n"
        "def _planted_fake(x: torch.Tensor) -> None:\n    return None\n\n" + _WRITES,
        provider="vllm",
    ),
    good(
        "VL304",
        "a copy",
        _CALL,
        top=_CUSTOM + f"{_SIGNATURE}    x = x.clone()\n    x.mul_(2)\n    return x\n\n\n" + _FAKE,
    ),
    bad(
        "VL305",
        "the argument",
        _VLLM_CALL,
        top=f"{_SIGNATURE}    return x  # here\n\n\n" + _LIKE + _BY_NAME,
        provider="vllm",
    ),
    bad(
        "VL305",
        "a view",
        _CALL,
        top=_LIBRARY
        + "_planted_library.define('op(Tensor x) -> Tensor')\n\n\n"
        "def _planted(x):\n    y = x[...]\n    return y.detach()  # here\n\n\n".replace("y.flatten()", "y.detach()")
        + "_planted_library.impl('op', _planted, 'CPU')\n"
        "_planted_library.impl('op', lambda x: torch.empty_like(x), 'Meta')\n\n\n",
    ),
    good("VL305", "a new tensor", _CALL, top=_CUSTOM + f"{_SIGNATURE}    y = x[...]\n    return y + 1\n\n\n" + _FAKE),
    bad(
        "VL306",
        "other width",
        "{x} = {x} + torch.ops.planted.op({x}).sum()  # shown",
        top=_CUSTOM
        + f"{_SIGNATURE}    return x[..., : x.shape[-1] // 2].clone()\n\n\n"
        + _FAKE.replace("def _(x):", "def _(x):  # here"),
    ),
    bad(
        "VL306",
        "other dtype",
        "{x} = {x} + torch.ops.planted.op({x}).sum()  # shown",
        top=_CUSTOM + f"{_SIGNATURE}    return x.to(torch.float64)\n\n\n"
        "@_planted.register_fake\ndef _(x):  # here\n    return x.new_empty(x.shape)\n\n\n",
    ),
    good(
        "VL306",
        "half the width",
        "{x} = {x} + torch.ops.planted.op({x}).sum()",
        top=_CUSTOM + f"{_SIGNATURE}    d = x.shape[-1] // 2\n    return x[..., d:].clone()\n\n\n"
        "@_planted.register_fake\ndef _(x):\n    *rows, width = x.shape\n"
        "    return x.new_empty((*rows, width - width // 2))\n\n\n",
    ),
    bad(
        "VL307",
        "branch",
        _CALL,
        top=_CUSTOM + _PLAIN + _REGISTER_FAKE + "def _planted_fake(x):\n    if x.shape[{dim}] > 64:  # here\n"
        "        return torch.empty_like(x)\n    return x.new_empty(x.shape)\n\n\n",
        shows=("VL201",),
    ),
    bad(
        "VL307",
        "padding",
        "{x} = {x} + torch.ops.planted.op({x}).sum()  # shown",
        top=_CUSTOM + f"{_SIGNATURE}    return torch.nn.functional.pad(x, (0, 0, 0, -x.shape[-2] % 16))\n\n\n"
        "@_planted.register_fake\ndef _(x):\n    n = x.shape[{dim}]\n    more = 16 - n % 16 if n % 16 else 0  # here\n"
        "    return x.new_empty((*x.shape[:{dim}], n + more, x.shape[-1]))\n\n\n",
        shows=("VL201",),
    ),
    good(
        "VL307",
        "number of dims",
        _CALL,
        top=_CUSTOM + _PLAIN + "@_planted.register_fake\ndef _(x):\n    if x.ndim > 3 or x.shape[-1] == 3:\n"
        "        return x.new_empty(x.shape)\n    return torch.empty_like(x)\n\n\n",
    ),
    bad(
        "VL308",
        "item",
        _CALL,
        top=_CUSTOM + _PLAIN + "@_planted.register_fake\ndef _(x):\n    rows = int(x.sum().item())  # here\n"
        "    return x.new_empty((rows, *x.shape[1:]))\n\n\n",
        shows=("VL102",),
    ),
    bad(
        "VL308",
        "largest",
        _CALL,
        top=_CUSTOM + _PLAIN + "@_planted.register_fake\ndef _(x):\n    if torch.any(x > 3):  # here\n"
        "        return x.new_empty(x.shape)\n    return torch.empty_like(x)\n\n\n",
        shows=("VL102",),
    ),
    good(
        "VL308",
        "in the operator alone",
        _CALL,
        top=_CUSTOM
        + f"{_SIGNATURE}    if torch.any(x > 3):\n        return x * 2\n    return x * int(x.shape[-1])\n\n\n"
        + _FAKE,
    ),
    bad(
        "VL309",
        "float",
        "{x} = {x} * torch.ops.planted.op({x})  # shown",
        top=_CUSTOM.replace("=())\n", "=())  # here\n") + "def _planted(x: torch.Tensor) -> float:\n"
        "    return 1.0 + float(x.shape[{dim}])\n\n\n@_planted.register_fake\ndef _(x):\n    return 1.0\n\n\n",
        shows=("VL105",),
    ),
    bad(
        "VL309",
        "bool",
        "if torch.ops.planted.op({x}):  # shown\n    {x} = {x} * 2",
        top=_LIBRARY + "_planted_library.define('op(Tensor x) -> bool')  # here\n"
        "_planted_library.impl('op', lambda x: bool((x > 0).any()), 'CPU')\n"
        "_planted_library.impl('op', lambda x: True, 'Meta')\n\n\n",
        shows=("VL105",),
    ),
    good(
        "VL309",
        "tensor of one number",
        "{x} = {x} * torch.ops.planted.op({x})",
        top=_CUSTOM + f"{_SIGNATURE}    return x.abs().amax()\n\n\n"
        "@_planted.register_fake\ndef _(x):\n    return x.new_empty(())\n\n\n",
    ),
    bad(
        "VL310",
        "branch",
        _CALL,
        top=_LIBRARY + "_planted_library.define('op(Tensor x) -> Tensor')\n\n\n"
        "def _planted(x):\n    if x.size({dim}) <= 128:  # here\n        x = x * 2\n    return x + 1\n\n\n"
        "_planted_library.impl('op', _planted, 'CompositeImplicitAutograd')\n\n\n",
        shows=("VL201",),
    ),
    good(
        "VL310",
        "number of dims",
        _CALL,
        top=_LIBRARY + "_planted_library.define('op(Tensor x) -> Tensor')\n\n\n"
        "def _planted(x):\n    return x * 2 if x.dim() == 2 else x + 1\n\n\n"
        "_planted_library.impl('op', _planted, 'CompositeImplicitAutograd')\n\n\n",
    ),
    bad(
        "VL312",
        "twice",
        _VLLM_CALL,
        top=_PLAIN + _LIKE + _BY_NAME.rstrip() + "\ndirect_register_custom_op('planted', _planted)  # here\n\n\n",
        provider="vllm",
        only_static=_NO_IMPORT,
    ),
    bad(
        "VL312",
        "defined twice",
        _CALL,
        top=_CUSTOM + _PLAIN + _FAKE.rstrip() + "\n\n\n"
        "torch.library.define('planted::op', '(Tensor x) -> Tensor')  # here\n\n\n",
        only_static=_NO_IMPORT,
    ),
    good("VL312", "two names", _CALL, top=_CUSTOM + _PLAIN + _FAKE.rstrip() + "\n" + _TWICE + "\n\n"),
)
