"""Edits for the rules about CUDA graphs."""

from __future__ import annotations

from benchmarks.accuracy.edits.edit import bad, good

_NO_COPY = "a tensor of a CPU is on the host already, so the graph holds no copy"
_SYNC = ("host-sync-in-graph",)

CUDA_GRAPHS = (
    bad("VL401", "item", "{x} = {x} * {x}.abs().max().item()  # here", shows=_SYNC),
    bad("VL401", "nonzero", "{x} = {x} + ({x} > 0).nonzero().sum()  # here", shows=_SYNC),
    bad("VL401", "mask", "{x} = {x} + {x}[{x} > 0].sum()  # here", shows=_SYNC),
    bad("VL401", "to the host", "{x} = {x} + {x}.sum().cpu().to({x}.device)  # here", shows=_SYNC),
    good("VL401", "masked sum", "{x} = {x} + torch.where({x} > 0, {x}, 0.0).sum()"),
    good("VL401", "to its own device", "{x} = {x} + {x}.sum().to({x}.device)"),
    bad(
        "VL402",
        "tensor of the module",
        "{x} = {x} * _planted.to({x}.device)  # here",
        top="_planted = torch.tensor([2.0])\n\n\n",
        only_static=_NO_COPY,
    ),
    bad(
        "VL402",
        "attribute",
        "planted = self.planted + 1\n{x} = {x} * planted.to({x})  # here",
        init="self.planted = torch.ones(1, device=torch.device('cpu'))",
        only_static=_NO_COPY,
    ),
    good("VL402", "made on the device", "{x} = {x} * torch.full((1,), 2.0, device={x}.device)"),
    # Measured on a GPU: Inductor makes it where it is used.
    good("VL402", "made in the forward", "{x} = {x} * torch.tensor([2.0]).to({x}.device)"),
    good(
        "VL402",
        "buffer",
        "{x} = {x} * self.planted.to({x}.device)",
        init="self.register_buffer('planted', torch.ones(1), persistent=False)",
    ),
    bad(
        "VL403",
        "buffer",
        "self.planted = self.planted * 0.5 + {x}.float().mean()  # here\n{x} = {x} + self.planted",
        init="self.register_buffer('planted', torch.zeros((), dtype=torch.float32), persistent=False)",
    ),
    bad(
        "VL403",
        "kept for others",
        "planted = {x} * 1\nself.planted = planted  # here",
        init="self.planted = None",
    ),
    bad(
        "VL403",
        "global",
        "global _planted\n_planted = {x}.amax()  # here\n{x} = {x} * 2",
        top="_planted = torch.zeros(())\n\n\n",
    ),
    good(
        "VL403",
        "in place",
        "self.planted.copy_({x}.float().mean())\n{x} = {x} + self.planted",
        init="self.register_buffer('planted', torch.zeros((), dtype=torch.float32), persistent=False)",
    ),
    good(
        "VL403",
        "of its own object",
        "planted = _planted_holder()\nplanted.kept = {x} * 2\n{x} = planted.kept + 1",
        top="class _planted_holder:\n    kept = None\n\n\n",
    ),
    bad(
        "VL404",
        "list",
        "self.planted.append({x}.mean())  # here\n{x} = {x} - sum(self.planted)",
        init="self.planted = []",
        shows=("VL602",),
    ),
    bad("VL404", "dict of the module", "_planted['last'] = {x} * 1  # here", top="_planted = {}\n\n\n"),
    good(
        "VL404",
        "list of its own",
        "planted = []\nplanted.append({x} * 2)\nplanted.append({x})\n{x} = planted[0] + planted[1]",
    ),
    bad(
        "VL407",
        "grows",
        "if self.planted.shape[0] < {n}:\n    self.planted = torch.zeros({n})  # here\n"
        "{x} = {x} + self.planted[: {n}].sum()",
        init="self.planted = torch.zeros(16)",
        shows=("VL403",),
    ),
    good(
        "VL407",
        "large enough",
        "{x} = {x} + self.planted[: {n}].sum()",
        init="self.planted = torch.zeros(65536)",
    ),
)
