"""Layers are found again where forward calls them, however the constructor made and kept them."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

import pytest

from tests.analyzer.programs import check_model

#: The layer that every program below reaches in some way.
LAYER = """
class Layer(nn.Module):
    def __init__(self, size=1):
        super().__init__()
        self.size = size

    def forward(self, x):
        return x if x.shape[0] > 64 else -x  # expect: VL201
"""
#: The body of a constructor, and the expression by which forward calls what it made.
HELD = {
    "attribute": ("self.layer = Layer()", "self.layer(x)"),
    "forward by name": ("self.layer = Layer()", "self.layer.forward(x)"),
    "annotated attribute": ("self.layer: nn.Module = Layer()", "self.layer(x)"),
    "either of two": ("self.layer = Layer() if config.fast else nn.Linear(4, 4)", "self.layer(x)"),
    "condition": (
        "if config.fast:\n    self.layer = Layer()\nelse:\n    self.layer = nn.Linear(4, 4)",
        "self.layer(x)",
    ),
    "maybe none": (
        "self.layer = None\nif config.fast:\n    self.layer = Layer()",
        "self.layer(x) if self.layer else x",
    ),
    "class in a variable": ("kind = Layer\nself.layer = kind(size=2)", "self.layer(x)"),
    "class in a dictionary": ("self.layer = {'a': Layer, 'b': nn.Linear}[config.kind](4)", "self.layer(x)"),
    "constant key": ("kinds = {'a': Layer, 'b': nn.Linear}\nself.layer = kinds['a'](4)", "self.layer(x)"),
    "lambda": ("make = lambda size: Layer(size)\nself.layer = make(2)", "self.layer(x)"),
    "partial": ("make = functools.partial(Layer, size=2)\nself.layer = make()", "self.layer(x)"),
    "factory": ("self.layer = make_layer(config)", "self.layer(x)"),
    "method": ("self.layer = self.make()", "self.layer(x)"),
    "list": ("self.layers = nn.ModuleList([Layer(), Layer(2)])", "self.layers[0](x)"),
    "last": ("self.layers = nn.ModuleList([nn.Linear(4, 4), Layer()])", "self.layers[-1](x)"),
    "comprehension": ("self.layers = nn.ModuleList([Layer(i) for i in range(config.depth)])", "self.layers[1](x)"),
    "generator": ("self.layers = nn.ModuleList(Layer(i) for i in range(config.depth))", "self.layers[1](x)"),
    "append": (
        "self.layers = nn.ModuleList()\nfor i in range(config.depth):\n    self.layers.append(Layer(i))",
        "self.layers[1](x)",
    ),
    "extend": ("self.layers = nn.ModuleList()\nself.layers.extend([Layer(), Layer()])", "self.layers[1](x)"),
    "added": (
        "layers = [Layer()]\nlayers += [nn.Linear(4, 4)]\nself.layers = nn.ModuleList(layers)",
        "self.layers[0](x)",
    ),
    "slice": ("self.layers = nn.ModuleList([Layer() for _ in range(4)])", "[f(x) for f in self.layers[1:3]][0]"),
    "enumerate": ("self.layers = nn.ModuleList([Layer()])", "[f(x) for i, f in enumerate(self.layers)][0]"),
    "zip": ("self.layers = nn.ModuleList([Layer()])", "[f(x) for f, g in zip(self.layers, self.layers)][0]"),
    "islice": ("self.layers = nn.ModuleList([Layer()])", "[f(x) for f in itertools.islice(self.layers, 0, 4)][0]"),
    "chain": ("self.layers = nn.ModuleList([Layer()])", "[f(x) for f in itertools.chain(self.layers, [])][0]"),
    "reversed": ("self.layers = nn.ModuleList([Layer()])", "[f(x) for f in reversed(self.layers)][0]"),
    "tuple": ("self.layers = (nn.Linear(4, 4), Layer())", "self.layers[1](x)"),
    "sequential": ("self.layers = nn.Sequential(nn.Linear(4, 4), Layer(), nn.GELU())", "self.layers(x)"),
    "sequential list": ("self.layers = nn.Sequential(*[Layer() for _ in range(2)])", "self.layers(x)"),
    "sequential item": ("self.layers = nn.Sequential(nn.Linear(4, 4), Layer())", "self.layers[1](x)"),
    "module dictionary": ("self.layers = nn.ModuleDict({'a': Layer()})", "self.layers['a'](x)"),
    "dictionary by name": ("self.layers = nn.ModuleDict()\nself.layers[config.name] = Layer()", "self.layers['a'](x)"),
    "dictionary values": ("self.layers = nn.ModuleDict({'a': Layer()})", "[f(x) for f in self.layers.values()][0]"),
    "dictionary items": ("self.layers = {'a': Layer()}", "[f(x) for _, f in self.layers.items()][0]"),
    "setattr": ("setattr(self, 'layer', Layer())", "self.layer(x)"),
    "add_module": ("self.add_module('layer', Layer())", "self.layer(x)"),
    "getattr": ("self.layer = Layer()", "getattr(self, 'layer')(x)"),
    "getattr with default": ("self.layer = Layer()", "getattr(self, 'layer', None)(x)"),
    "make_layers": (
        "self.start, self.end, self.layers = make_layers(config.depth, lambda prefix: Layer(), prefix='layers')",
        "[f(x) for f in self.layers[self.start : self.end]][0]",
    ),
    "make_layers islice": (
        "self.start, self.end, self.layers = make_layers(config.depth, lambda prefix: Layer(), prefix='layers')",
        "[f(x) for f in itertools.islice(self.layers, self.start, self.end)][0]",
    ),
    "walrus": ("self.layer = (layer := Layer())\nself.other = layer", "self.other(x)"),
    "unpacked": ("self.first, self.second = nn.Linear(4, 4), Layer()", "self.second(x)"),
    "two at once": ("self.first = self.second = Layer()", "self.second(x)"),
    "bound method": ("self.layer = Layer()\nself.act = self.layer.forward", "self.act(x)"),
    "callable in a list": ("self.acts = [torch.relu, Layer()]", "self.acts[1](x)"),
    "object within an object": ("self.inner = Wrapper(Layer())", "self.inner.layer(x)"),
    "passed on": ("self.inner = Wrapper(Layer())", "self.inner(x)"),
    "class attribute": ("self.inner = Typed()", "self.inner(x)"),
    "parameter with a default": ("self.inner = Defaulted(config)", "self.inner(x)"),
    "parameter given": ("self.inner = Defaulted(config, Layer)", "self.inner(x)"),
    "set up by another method": ("self.set_up()", "self.late(x)"),
    "torch.compile": ("self.layer = torch.compile(Layer())", "self.layer(x)"),
}
BESIDE = """
from vllm.model_executor.models.utils import make_layers

def make_layer(config):
    if config.kind == "linear":
        return nn.Linear(4, 4)
    return Layer(config.size)

class Wrapper(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)

class Typed(nn.Module):
    layer_type = Layer

    def __init__(self):
        super().__init__()
        self.layer = self.layer_type()

    def forward(self, x):
        return self.layer(x)

class Defaulted(nn.Module):
    def __init__(self, config, layer_type: type[nn.Module] = Layer):
        super().__init__()
        self.layer = layer_type(config.size)

    def forward(self, x):
        return self.layer(x)
"""


@pytest.mark.parametrize(("construction", "call"), HELD.values(), ids=HELD)
def test_what_the_constructor_makes(tmp_path: Path, construction: str, call: str) -> None:
    model = f"""
@support_torch_compile
class Model(nn.Module):
    def __init__(self, config):
        super().__init__()
{indent(construction, " " * 8)}

    def make(self):
        return Layer()

    def set_up(self):
        self.late = Layer()

    def forward(self, x: torch.Tensor):
        return {call}
"""
    check_model(tmp_path, "import functools\nimport itertools\n" + LAYER + BESIDE + model)
