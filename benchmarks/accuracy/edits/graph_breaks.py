"""Edits for the rules about graph breaks."""

from __future__ import annotations

from benchmarks.accuracy.edits.edit import bad, good

_TRAINED = "self.planted = torch.nn.Parameter(torch.ones(1, dtype=torch.float32))"

GRAPH_BREAKS = (
    bad("VL101", "any", "if ({x} > 0).any():  # here\n    {x} = {x} * 2"),
    bad("VL101", "maximum in a while", "while {x}.abs().max() > 1e6:  # here\n    {x} = {x} * 0.5"),
    bad("VL101", "ternary", "{x} = {x} * 2 if {x}.sum() > 0 else {x}  # here"),
    bad("VL101", "and", "planted = {x}.min() < 0 and {x}.max() > 0  # here"),
    good("VL101", "where", "{x} = torch.where({x}.abs().max() > 1, {x} * 0.5, {x})"),
    good("VL101", "masked fill", "{x} = {x}.masked_fill({x} > 100, 100.0)"),
    good("VL101", "is None", "if {x} is not None and {x}.ndim > 1:\n    {x} = {x} * 1"),
    bad("VL102", "item", "if {x}.abs().sum().item() > 0:  # here\n    {x} = {x} * 2"),
    bad("VL102", "loop to a value", "for _ in range(int({x}.abs().max())):  # here\n    {x} = {x} + 1"),
    bad("VL102", "index of a list", "{x} = {x} * [1.0, 2.0][int({x}.sum() > 0)]  # here"),
    bad("VL102", "count of a mask", "if {x}[{x} > 0].shape[0] > 5:  # here\n    {x} = {x} * 2"),
    good("VL102", "scale by a maximum", "{x} = {x} / ({x}.abs().amax() + 1)"),
    good("VL102", "length of a list", "planted = [{x}, {x}]\nif len(planted) > 1:\n    {x} = planted[0]"),
    bad("VL103", "shape", "print({x}.shape)  # here"),
    bad("VL103", "tensor in a string", "planted = f'{ {x} }'  # here"),
    bad("VL103", "debug flag", "if self.training or True:\n    print('planted', {x}.dtype)  # here"),
    good("VL103", "outside of a capture", "if not torch.compiler.is_compiling():\n    print({x}.shape)"),
    good("VL103", "string of constants", "planted = f'{ {x}.ndim } {type(self).__name__}'"),
    bad("VL104", "logger", "import logging\nlogging.getLogger('planted').info('here')  # here"),
    bad("VL104", "warning", "import warnings\nwarnings.warn('planted', stacklevel=2)  # here"),
    bad(
        "VL104",
        "logger of the module",
        "_planted.debug('here %s', self)  # here",
        top="import logging\n\n_planted = logging.getLogger('planted')\n\n\n",
    ),
    good(
        "VL104",
        "outside of a capture",
        "import logging\nif not torch.compiler.is_compiling():\n    logging.getLogger('planted').info('x')",
    ),
    bad("VL105", "clock", "import time\n{x} = {x} + time.perf_counter()  # here"),
    bad("VL105", "file", "import os\nif os.path.exists('planted'):  # here\n    {x} = {x} * 2"),
    bad("VL105", "random choice", "import random\n{x} = {x} * random.choice([1.0, 2.0])  # here"),
    bad("VL105", "seed", "torch.manual_seed(0)  # here"),
    good("VL105", "math", "import math\n{x} = {x} * math.sqrt({x}.shape[-1])"),
    good("VL105", "functools", "import functools\n{x} = functools.reduce(lambda a, b: a + b, [{x}, {x}])"),
    bad("VL106", "lock", "import threading\nwith threading.Lock():  # here\n    {x} = {x} * 2"),
    good("VL106", "no_grad", "with torch.no_grad():\n    {x} = {x} * 2"),
    bad(
        "VL107",
        "disabled",
        "{x} = _planted({x})  # here",
        top="import torch.compiler\n\n\n@torch.compiler.disable\ndef _planted(x):\n    return x * 2\n\n\n",
    ),
    bad("VL107", "graph break", "torch._dynamo.graph_break()  # here"),
    good("VL107", "helper", "{x} = _planted({x})", top="def _planted(x):\n    return x * 2\n\n\n"),
    bad("VL108", "parameter", "{x} = {x} * torch.nn.Parameter(torch.ones({x}.shape[-1]))  # here"),
    good("VL108", "tensor", "{x} = {x} * torch.ones({x}.shape[-1], dtype={x}.dtype, device={x}.device)"),
    bad("VL109", "memory", "if torch.cuda.memory_allocated() > 1 << 60:  # here\n    {x} = {x} * 2"),
    good("VL109", "is available", "if torch.cuda.is_available():\n    {x} = {x} * 1"),
    bad("VL111", "one_hot", "planted = torch.nn.functional.one_hot({x}.argmax(-1))  # here\n{x} = {x} + planted.sum()"),
    good(
        "VL111",
        "one_hot with a bound",
        "planted = torch.nn.functional.one_hot({x}.argmax(-1), {x}.shape[-1])\n{x} = {x} + planted.sum()",
    ),
    bad(
        "VL110",
        "recurrent layer",
        "planted, _ = self.planted({x}[..., :4].float())  # here\n{x} = {x} + planted.sum()",
        init="self.planted = torch.nn.GRU(4, 4, dtype=torch.float32)",
    ),
    bad("VL110", "sparse", "planted = {x}.float().to_sparse()  # here\n{x} = {x} + planted.to_dense().sum()"),
    good(
        "VL110",
        "linear layer",
        "planted = self.planted({x}[..., :4].float())\n{x} = {x} + planted.sum() * 0",
        init="self.planted = torch.nn.Linear(4, 4, dtype=torch.float32)",
    ),
    bad(
        "VL112",
        "product of other widths",
        "try:\n    {x} = {x} @ torch.ones(3, 5, dtype={x}.dtype)  # here\nexcept RuntimeError:\n    {x} = {x} * 2",
    ),
    bad(
        "VL112",
        "package that is not there",
        "try:\n    import planted_kernels  # here\nexcept ImportError:\n    planted_kernels = None",
    ),
    good(
        "VL112",
        "key of a dict",
        "try:\n    planted = {'a': 1}['b']\nexcept KeyError:\n    planted = 2\n{x} = {x} * planted",
    ),
    bad(
        "VL113",
        "backward",
        "with torch.enable_grad():\n    planted = ({x}.sum() * self.planted).sum()\n    planted.backward()  # here",
        init=_TRAINED,
    ),
    bad(
        "VL113",
        "gradient of an energy",
        "with torch.enable_grad():\n    planted = {x}.float().pow(2).sum() * self.planted\n"
        "    (planted,) = torch.autograd.grad(planted, [self.planted])  # here\n{x} = {x} + planted",
        init=_TRAINED,
    ),
    good("VL113", "detach", "with torch.no_grad():\n    {x} = {x}.detach() * 1"),
    good("VL113", "question", "planted = 2 if {x}.requires_grad else 1\n{x} = {x} * planted"),
    bad("VL114", "resize", "planted = {x} * 1\nplanted.resize_(1, 2)  # here\n{x} = {x} + planted.sum()"),
    bad("VL114", "data", "planted = {x} * 1\nplanted.data = {x} + 1  # here\n{x} = {x} + planted"),
    bad("VL114", "alignment", "if {x}.data_ptr() % 16:  # here\n    {x} = {x}.clone()"),
    good(
        "VL114",
        "in place",
        "planted = {x} * 1\nplanted.add_(1).clamp_(min=0).unsqueeze_(0)\n{x} = {x} + planted.squeeze(0)",
    ),
    bad("VL115", "interpolation", "import numpy as np\n{x} = {x} * float(np.interp(0.5, [0, 1], [1, 2]))  # here"),
    bad("VL115", "digitize", "import numpy\n{x} = {x} + int(numpy.digitize(3, [1, 2, 4]))  # here"),
    good("VL115", "square root", "import numpy as np\n{x} = {x} * float(np.sqrt(np.float32({x}.shape[-1])))"),
    good("VL115", "type", "import numpy as np\n{x} = {x} + float(np.finfo(np.float32).tiny)"),
    bad(
        "VL116",
        "coroutine",
        "planted_later({x}).close()  # shown",
        top="async def planted_ready():\n    return 2\n\n\n"
        "async def planted_later(x):\n    return x * await planted_ready()  # here\n\n\n",
    ),
    good(
        "VL116",
        "generator",
        "for planted in planted_parts({x}):\n    {x} = {x} + planted",
        top="def planted_parts(x):\n    yield x * 2\n    yield x * 3\n\n\n",
    ),
    bad(
        "VL117",
        "results of two kinds",
        "{x} = torch.cond({x}.sum() > 0, lambda t: t.sum(), lambda t: t + 1, ({x},)) + {x}  # here",
    ),
    bad(
        "VL117",
        "list outside",
        "planted = []\n\ndef planted_block(t):\n    planted.append(t)  # here\n    return t * 2\n\n"
        "{x} = torch.utils.checkpoint.checkpoint(planted_block, {x}, use_reentrant=False)",
        top="import torch.utils.checkpoint\n\n\n",
    ),
    good(
        "VL117",
        "checkpoint",
        "{x} = torch.utils.checkpoint.checkpoint(lambda t: t * 2, {x}, use_reentrant=False)",
        top="import torch.utils.checkpoint\n\n\n",
    ),
)
