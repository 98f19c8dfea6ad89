"""The edits that `mutate.py` plants: for each rule code that breaks it, and code that looks like it and is right.

A rule gets its edits as entries of `EDITS`, and nothing else. In `code`, `{x}` is a tensor with a row for each token,
`{n}` its number of tokens, and `{dim}` the dimension that holds it; the last dimension is its width. The line that must
be found ends with `# here`. `top` goes in front of the class, `init` to the end of its constructor.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """One entry. `finds` is the rule that must name the marked line; empty for code that must stay without findings.

    `looks_like` is the rule that a harmless edit tempts. `shows` holds what the runtime half calls the defect where it
    has another name, and `only_static` says why no replay can show it.
    """

    name: str
    code: str
    finds: str = ""
    looks_like: str = ""
    top: str = ""
    init: str = ""
    shows: tuple[str, ...] = ()
    only_static: str = ""

    @property
    def rule(self) -> str:
        """The rule that this edit measures."""
        return self.finds or self.looks_like


def _bad(rule: str, name: str, code: str, **more: str | tuple[str, ...]) -> Edit:
    return Edit(name, code, finds=rule, **more)  # type: ignore[arg-type]


def _good(rule: str, name: str, code: str, top: str = "") -> Edit:
    return Edit(name, code, looks_like=rule, top=top)


_OPERATOR = "import torch.library\n\n\n@torch.library.custom_op('planted::plain', mutates_args=())\n"
_PLAIN = "def _planted(x: torch.Tensor) -> torch.Tensor:\n    return x.clone()\n\n\n"
_FAKE = "@_planted.register_fake\ndef _(x):\n    return torch.empty_like(x)\n\n\n"

EDITS = (
    _bad("VL101", "any", "if ({x} > 0).any():  # here\n    {x} = {x} * 2"),
    _bad("VL101", "maximum in a while", "while {x}.abs().max() > 1e6:  # here\n    {x} = {x} * 0.5"),
    _bad("VL101", "ternary", "{x} = {x} * 2 if {x}.sum() > 0 else {x}  # here"),
    _bad("VL101", "and", "planted = {x}.min() < 0 and {x}.max() > 0  # here"),
    _good("VL101", "where", "{x} = torch.where({x}.abs().max() > 1, {x} * 0.5, {x})"),
    _good("VL101", "masked fill", "{x} = {x}.masked_fill({x} > 100, 100.0)"),
    _good("VL101", "is None", "if {x} is not None and {x}.ndim > 1:\n    {x} = {x} * 1"),
    _bad("VL102", "item", "if {x}.abs().sum().item() > 0:  # here\n    {x} = {x} * 2"),
    _bad("VL102", "loop to a value", "for _ in range(int({x}.abs().max())):  # here\n    {x} = {x} + 1"),
    _bad("VL102", "index of a list", "{x} = {x} * [1.0, 2.0][int({x}.sum() > 0)]  # here"),
    _bad("VL102", "count of a mask", "if {x}[{x} > 0].shape[0] > 5:  # here\n    {x} = {x} * 2"),
    _good("VL102", "scale by a maximum", "{x} = {x} / ({x}.abs().amax() + 1)"),
    _good("VL102", "length of a list", "planted = [{x}, {x}]\nif len(planted) > 1:\n    {x} = planted[0]"),
    _bad("VL103", "shape", "print({x}.shape)  # here"),
    _bad("VL103", "tensor in a string", "planted = f'{ {x} }'  # here"),
    _bad("VL103", "debug flag", "if self.training or True:\n    print('planted', {x}.dtype)  # here"),
    _good("VL103", "outside of a capture", "if not torch.compiler.is_compiling():\n    print({x}.shape)"),
    _good("VL103", "string of constants", "planted = f'{ {x}.ndim } {type(self).__name__}'"),
    _bad("VL104", "logger", "import logging\nlogging.getLogger('planted').info('here')  # here"),
    _bad("VL104", "warning", "import warnings\nwarnings.warn('planted', stacklevel=2)  # here"),
    _bad(
        "VL104",
        "logger of the module",
        "_planted.debug('here %s', self)  # here",
        top="import logging\n\n_planted = logging.getLogger('planted')\n\n\n",
    ),
    _good(
        "VL104",
        "outside of a capture",
        "import logging\nif not torch.compiler.is_compiling():\n    logging.getLogger('planted').info('x')",
    ),
    _bad("VL105", "clock", "import time\n{x} = {x} + time.perf_counter()  # here"),
    _bad("VL105", "file", "import os\nif os.path.exists('planted'):  # here\n    {x} = {x} * 2"),
    _bad("VL105", "random choice", "import random\n{x} = {x} * random.choice([1.0, 2.0])  # here"),
    _bad("VL105", "seed", "torch.manual_seed(0)  # here"),
    _good("VL105", "math", "import math\n{x} = {x} * math.sqrt({x}.shape[-1])"),
    _good("VL105", "functools", "import functools\n{x} = functools.reduce(lambda a, b: a + b, [{x}, {x}])"),
    _bad("VL106", "lock", "import threading\nwith threading.Lock():  # here\n    {x} = {x} * 2"),
    _good("VL106", "no_grad", "with torch.no_grad():\n    {x} = {x} * 2"),
    _bad(
        "VL107",
        "disabled",
        "{x} = _planted({x})  # here",
        top="import torch.compiler\n\n\n@torch.compiler.disable\ndef _planted(x):\n    return x * 2\n\n\n",
    ),
    _bad("VL107", "graph break", "torch._dynamo.graph_break()  # here"),
    _good("VL107", "helper", "{x} = _planted({x})", top="def _planted(x):\n    return x * 2\n\n\n"),
    _bad("VL108", "parameter", "{x} = {x} * torch.nn.Parameter(torch.ones({x}.shape[-1]))  # here"),
    _good("VL108", "tensor", "{x} = {x} * torch.ones({x}.shape[-1], dtype={x}.dtype, device={x}.device)"),
    _bad("VL109", "memory", "if torch.cuda.memory_allocated() > 1 << 60:  # here\n    {x} = {x} * 2"),
    _good("VL109", "is available", "if torch.cuda.is_available():\n    {x} = {x} * 1"),
    _bad(
        "VL111", "one_hot", "planted = torch.nn.functional.one_hot({x}.argmax(-1))  # here\n{x} = {x} + planted.sum()"
    ),
    _good(
        "VL111",
        "one_hot with a bound",
        "planted = torch.nn.functional.one_hot({x}.argmax(-1), {x}.shape[-1])\n{x} = {x} + planted.sum()",
    ),
    _bad("VL201", "larger than", "if {n} > 256:  # here\n    {x} = {x} * 2"),
    _bad("VL201", "multiple of", "if {n} % 8 == 0:  # here\n    {x} = {x} * 2"),
    _bad("VL201", "ternary", "planted = 2.0 if {n} <= 128 else 1.0  # here\n{x} = {x} * planted"),
    _bad("VL201", "number of elements", "if {x}.numel() > 20000:  # here\n    {x} = {x} * 2"),
    _bad("VL201", "padding", "planted = -{n} % 8\nif planted:  # here\n    {x} = {x} * 2"),
    _bad(
        "VL201",
        "in a helper",
        "{x} = _planted({x}, {n})",
        top="def _planted(x, n):\n    if n >= 64:  # here\n        return x * 2\n    return x\n\n\n",
    ),
    _bad("VL201", "minimum", "if min({n}, 256) < 256:  # here\n    {x} = {x} * 2"),
    _good("VL201", "end of a slice", "planted = {x}.narrow({dim}, 0, {n})\n{x} = {x} + planted * 0"),
    _good(
        "VL201",
        "round up",
        "planted = ({n} + 63) // 64 * 64\n{x} = {x} + torch.zeros(planted, dtype={x}.dtype, device={x}.device).sum()",
    ),
    _good("VL201", "static width", "if {x}.shape[-1] % 2 == 0 and {x}.ndim in (2, 3):\n    {x} = {x} * 2"),
    _good("VL201", "empty batch", "if {x}.numel() == 0:\n    return {x}"),
    _bad("VL202", "range", "for planted in range({n}):  # here\n    {x} = {x} + planted"),
    _bad("VL202", "key of a dict", "{x} = {x} * {131: 2.0}.get({n}, 1.0)  # here"),
    _bad("VL202", "list of rows", "planted = [0] * {n}  # here\n{x} = {x} + len(planted)"),
    _bad("VL202", "unbind", "{x} = torch.stack({x}.unbind({dim}), {dim})  # here"),
    _good("VL202", "arange", "planted = torch.arange({n}, device={x}.device)\n{x} = {x} + planted.sum() * 0"),
    _good("VL202", "range of the width", "for planted in range({x}.ndim):\n    {x} = {x} + planted"),
    _good("VL202", "view", "{x} = {x}.view(*{x}.shape)"),
    _bad("VL203", "one token", "if {n} == 1:  # here\n    {x} = {x} * 2"),
    _bad("VL203", "at most one", "if {n} < 2:  # here\n    {x} = {x} * 2"),
    _bad("VL203", "decode", "planted = {n} <= 1\n{x} = {x} * 2 if planted else {x}  # here"),
    _good("VL203", "squeeze of the width", "{x} = {x}.unsqueeze(-1).squeeze(-1)"),
    _bad("VL204", "blocks", "planted = {x}.reshape(-1, 8, {x}.shape[-1])  # here\n{x} = {x} + planted.sum()"),
    _bad("VL204", "unflatten", "planted = {x}.unflatten({dim}, (-1, 4))  # here\n{x} = {x} + planted.sum()"),
    _good("VL204", "heads", "planted = {x}.unflatten(-1, (-1, 2))\n{x} = planted.flatten(-2)"),
    _good("VL204", "flatten", "planted = {x}.reshape(-1, {x}.shape[-1])\n{x} = planted.view_as({x})"),
    _bad("VL208", "first rows", "{x} = {x} + {x}.narrow({dim}, 0, 64).sum()  # here"),
    _bad("VL208", "one row", "{x} = {x} + {x}.select({dim}, 100).sum()  # here"),
    _good("VL208", "first row", "{x} = {x} + {x}.select({dim}, 0).sum() * 0"),
    _good("VL208", "last row", "{x} = {x} + {x}.select({dim}, -1).sum() * 0"),
    _good("VL208", "first columns", "{x} = {x} + {x}[..., :4].sum() * 0"),
    _bad(
        "VL301",
        "no fake implementation",
        "{x} = torch.ops.planted.plain({x})",
        top=_OPERATOR.replace(")\n", ")  # here\n") + _PLAIN,
        only_static="the place of the defect is not that of the call",
    ),
    _good("VL301", "fake implementation", "{x} = torch.ops.planted.plain({x})", top=_OPERATOR + _PLAIN + _FAKE),
    _bad("VL401", "item", "{x} = {x} * {x}.abs().max().item()  # here", shows=("host-sync-in-graph",)),
    _bad("VL401", "nonzero", "{x} = {x} + ({x} > 0).nonzero().sum()  # here", shows=("host-sync-in-graph",)),
    _bad("VL401", "mask", "{x} = {x} + {x}[{x} > 0].sum()  # here", shows=("host-sync-in-graph",)),
    _bad("VL401", "to the host", "{x} = {x} + {x}.sum().cpu().to({x}.device)  # here", shows=("host-sync-in-graph",)),
    _good("VL401", "masked sum", "{x} = {x} + torch.where({x} > 0, {x}, 0.0).sum()"),
    _good("VL401", "to its own device", "{x} = {x} + {x}.sum().to({x}.device)"),
    _bad(
        "VL402",
        "list",
        "{x} = {x} * torch.tensor([2.0]).to({x}.device)  # here",
        only_static="a tensor of a CPU is on the host already, so the graph holds no copy",
    ),
    _good("VL402", "made on the device", "{x} = {x} * torch.full((1,), 2.0, device={x}.device)"),
)
