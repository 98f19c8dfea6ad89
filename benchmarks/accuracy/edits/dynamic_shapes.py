"""Edits for the rules about dynamic shapes."""

from __future__ import annotations

from benchmarks.accuracy.edits.edit import bad, good

_ROOT = "@support_torch_compile(dynamic_arg_dims={dims})\n"
_OTHERS = ("input_ids", "intermediate_tensors", "inputs_embeds")
#: What makes a decorator of the dims of the other arguments of a forward, and of `{x}`.
_ONE_ID = _ROOT.replace("{dims}", str({name: {0: "planted"} for name in ("{x}", *_OTHERS)}))
_NO_IDS = _ROOT.replace("{dims}", str(dict.fromkeys(("{x}", *_OTHERS), 0)))
_TWO_IDS = _ROOT.replace("{dims}", str({"{x}": {0: "planted"}} | {name: {0: "planted_n"} for name in _OTHERS}))
_FORGOTTEN = _ROOT.replace("{dims}", str(dict.fromkeys(_OTHERS, 0)))
_MEET = "a run shows it where the lengths meet"
_ALWAYS_EQUAL = "every input of these models has one length"

DYNAMIC_SHAPES = (
    bad("VL201", "larger than", "if {n} > 256:  # here\n    {x} = {x} * 2"),
    bad("VL201", "multiple of", "if {n} % 8 == 0:  # here\n    {x} = {x} * 2"),
    bad("VL201", "ternary", "planted = 2.0 if {n} <= 128 else 1.0  # here\n{x} = {x} * planted"),
    bad("VL201", "number of elements", "if {x}.numel() > 20000:  # here\n    {x} = {x} * 2"),
    bad("VL201", "padding", "planted = -{n} % 8\nif planted:  # here\n    {x} = {x} * 2"),
    bad(
        "VL201",
        "in a helper",
        "{x} = _planted({x}, {n})",
        top="def _planted(x, n):\n    if n >= 64:  # here\n        return x * 2\n    return x\n\n\n",
    ),
    bad("VL201", "minimum", "if min({n}, 256) < 256:  # here\n    {x} = {x} * 2"),
    good("VL201", "end of a slice", "planted = {x}.narrow({dim}, 0, {n})\n{x} = {x} + planted * 0"),
    good(
        "VL201",
        "round up",
        "planted = ({n} + 63) // 64 * 64\n{x} = {x} + torch.zeros(planted, dtype={x}.dtype, device={x}.device).sum()",
    ),
    good("VL201", "static width", "if {x}.shape[-1] % 2 == 0 and {x}.ndim in (2, 3):\n    {x} = {x} * 2"),
    good("VL201", "empty batch", "if {x}.numel() == 0:\n    return {x}"),
    bad("VL202", "range", "for planted in range({n}):  # here\n    {x} = {x} + planted"),
    bad("VL202", "key of a dict", "{x} = {x} * {131: 2.0}.get({n}, 1.0)  # here"),
    bad("VL202", "list of rows", "planted = [0] * {n}  # here\n{x} = {x} + len(planted)"),
    bad("VL202", "unbind", "{x} = torch.stack({x}.unbind({dim}), {dim})  # here"),
    good("VL202", "arange", "planted = torch.arange({n}, device={x}.device)\n{x} = {x} + planted.sum() * 0"),
    good("VL202", "range of the width", "for planted in range({x}.ndim):\n    {x} = {x} + planted"),
    good("VL202", "view", "{x} = {x}.view(*{x}.shape)"),
    bad("VL203", "one token", "if {n} == 1:  # here\n    {x} = {x} * 2"),
    bad("VL203", "at most one", "if {n} < 2:  # here\n    {x} = {x} * 2"),
    bad("VL203", "decode", "planted = {n} <= 1\n{x} = {x} * 2 if planted else {x}  # here"),
    good("VL203", "squeeze of the width", "{x} = {x}.unsqueeze(-1).squeeze(-1)"),
    bad("VL204", "blocks", "planted = {x}.reshape(-1, 8, {x}.shape[-1])  # here\n{x} = {x} + planted.sum()"),
    bad("VL204", "unflatten", "planted = {x}.unflatten({dim}, (-1, 4))  # here\n{x} = {x} + planted.sum()"),
    good("VL204", "heads", "planted = {x}.unflatten(-1, (-1, 2))\n{x} = planted.flatten(-2)"),
    good("VL204", "flatten", "planted = {x}.reshape(-1, {x}.shape[-1])\n{x} = planted.view_as({x})"),
    bad("VL208", "first rows", "{x} = {x} + {x}.narrow({dim}, 0, 64).sum()  # here", shows=("VL201",)),
    bad("VL208", "one row", "{x} = {x} + {x}.select({dim}, 100).sum()  # here", shows=("VL201",)),
    good("VL208", "first row", "{x} = {x} + {x}.select({dim}, 0).sum() * 0"),
    good("VL208", "last row", "{x} = {x} + {x}.select({dim}, -1).sum() * 0"),
    good("VL208", "first columns", "{x} = {x} + {x}[..., :4].sum() * 0"),
    bad("VL205", "forgotten dim", "", decorator=_FORGOTTEN, argument="{x}: torch.Tensor,  # here", only_static=_MEET),
    bad("VL205", "other annotation", "", argument="{x}: torch.LongTensor,  # here", only_static=_MEET),
    bad("VL205", "no annotation", "", argument="{x},  # here", only_static=_MEET),
    good("VL205", "all dims", "", decorator=_ONE_ID),
    good("VL205", "optional", "", argument="{x}: torch.Tensor | None,"),
    bad(
        "VL206",
        "no ids",
        "if input_ids is not None and input_ids.shape[0] != {n}:\n    raise ValueError",
        decorator=_NO_IDS.replace("\n", "  # here\n"),
        only_static="the lengths differ in the passes with unbacked sizes only",
    ),
    good(
        "VL206",
        "one id",
        "if input_ids is not None and input_ids.shape[0] != {n}:\n    raise ValueError",
        decorator=_ONE_ID,
    ),
    bad(
        "VL207",
        "longer",
        "planted = 1\nif input_ids is not None and {n} > input_ids.shape[0]:  # here\n    planted = 2\n"
        "{x} = {x} * planted",
        decorator=_TWO_IDS,
        only_static=_ALWAYS_EQUAL,
    ),
    bad(
        "VL207",
        "at least as long",
        "{x} = {x} * (2 if input_ids.numel() <= {n} // 2 else 1)  # here",
        decorator=_TWO_IDS,
        only_static=_ALWAYS_EQUAL,
    ),
    good("VL207", "arithmetic", "{x} = {x} * ({n} - input_ids.shape[0] + 1)", decorator=_ONE_ID),
    bad(
        "VL209",
        "halves of what is left",
        "planted = {x}.flatten().nonzero()\nplanted, _ = planted.tensor_split(2)  # here\n{x} = {x} + planted.sum()",
        shows=("VL102",),
    ),
    bad(
        "VL209",
        "pieces of what is left",
        "planted = {x}[{x} > 0]\nfor planted_part in planted.split(16):  # here\n    {x} = {x} + planted_part.sum()",
        shows=("VL102",),
    ),
    good("VL209", "halves of the width", "planted, _ = {x}.chunk(2, -1)\n{x} = {x} + planted.sum()"),
)
