"""What a compiled region reaches: calls are followed through whatever Python puts between them, and no further."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from tests.analyzer.programs import HEAD, check_model, check_program, root_names

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


#: Definitions, and an expression over `x`, whose size decides something in `decide`.
CALLS = {
    "function": ("", "decide(x)"),
    "keyword": ("", "decide(x=x)"),
    "star": ("", "decide(*[x])"),
    "double star": ("", "decide(**{'x': x})"),
    "passed along": ("def along(*args, **kwargs): return decide(*args, **kwargs)", "along(x)"),
    "nested": ("def outer(x):\n    def inner(y): return decide(y)\n    return inner(x)", "outer(x)"),
    "closure": ("def make(f):\n    def inner(y): return f(y)\n    return inner", "make(decide)(x)"),
    "lambda": ("f = lambda y: decide(y)", "f(x)"),
    "partial": ("f = functools.partial(decide, flag=True)", "f(x)"),
    "local partial": ("", "functools.partial(decide, x)()"),
    "method": ("class A:\n    def act(self, x): return decide(x)", "A().act(x)"),
    "static method": ("class A:\n    @staticmethod\n    def act(x): return decide(x)", "A.act(x)"),
    "static method of an object": ("class A:\n    @staticmethod\n    def act(x): return decide(x)", "A().act(x)"),
    "class method": ("class A:\n    @classmethod\n    def act(cls, x): return decide(x)", "A.act(x)"),
    "class method of an object": ("class A:\n    @classmethod\n    def act(cls, x): return decide(x)", "A().act(x)"),
    "alternative constructor": (
        "class A:\n    @classmethod\n    def make(cls): return cls()\n    def act(self, x): return decide(x)",
        "A.make().act(x)",
    ),
    "call": ("class A:\n    def __call__(self, x): return decide(x)", "A()(x)"),
    "property": (
        "class A:\n    def __init__(self, x): self.x = x\n    @property\n    def acted(self): return decide(self.x)",
        "A(x).acted",
    ),
    "cached property": (
        """class A:
    def __init__(self, x): self.x = x
    @functools.cached_property
    def acted(self): return decide(self.x)""",
        "A(x).acted",
    ),
    "dictionary": ("acts = {'a': decide, 'b': torch.relu}", "acts['a'](x)"),
    "dictionary by configuration": ("acts = {'a': decide, 'b': torch.relu}", "acts[self.kind](x)"),
    "dictionary get": ("acts = {'a': decide, 'b': torch.relu}", "acts.get(self.kind)(x)"),
    "list": ("acts = [torch.relu, decide]", "acts[1](x)"),
    "list by configuration": ("acts = [torch.relu, decide]", "acts[self.kind](x)"),
    "loop": ("acts = [torch.relu, decide]", "[act(x) for act in acts][0]"),
    "argument": ("def apply(f, x): return f(x)", "apply(decide, x)"),
    "map": ("", "list(map(decide, [x]))[0]"),
    "reduce": ("def act(a, b): return decide(a) + b", "functools.reduce(act, [x, x])"),
    "decorator": (
        """def logged(f):
    @functools.wraps(f)
    def inner(*args, **kwargs): return f(*args, **kwargs)
    return inner
@logged
def act(x): return decide(x)""",
        "act(x)",
    ),
    "decorator that decides": (
        """def checked(f):
    @functools.wraps(f)
    def inner(x): return f(decide(x))
    return inner
@checked
def act(x): return x""",
        "act(x)",
    ),
    "decorator with arguments": (
        """def scaled(by):
    def wrap(f):
        def inner(x): return f(x) * by
        return inner
    return wrap
@scaled(2)
def act(x): return decide(x)""",
        "act(x)",
    ),
    "decorator class": (
        """class Op:
    def __init__(self, f): self.f = f
    def __call__(self, x): return self.f(x)
@Op
def act(x): return decide(x)""",
        "act(x)",
    ),
    "cached": ("@functools.lru_cache\ndef act(x): return decide(x)", "act(x)"),
    "unknown decorator": ("import library\n@library.register('act')\ndef act(x): return decide(x)", "act(x)"),
    "no_grad": ("@torch.no_grad()\ndef act(x): return decide(x)", "act(x)"),
    "context manager": (
        "@contextlib.contextmanager\ndef within(x):\n    decide(x)\n    yield x",
        "self.within(x)",
    ),
    "context manager class": (
        """class Within:
    def __init__(self, x): self.x = x
    def __enter__(self): return decide(self.x)
    def __exit__(self, *args): pass
def within(x): return Within(x)""",
        "self.within(x)",
    ),
    "generator": ("def each(x):\n    yield decide(x)", "[y for y in each(x)][0]"),
    "next": ("def each(x):\n    yield decide(x)", "next(each(x))"),
    "yield from": ("def each(x):\n    yield from [decide(x)]", "list(each(x))[0]"),
    "recursion": ("def down(x, depth):\n    return decide(x) if depth == 0 else down(x, depth - 1)", "down(x, 3)"),
    "default argument": ("def act(x, f=decide): return f(x)", "act(x)"),
    "conditional expression": ("", "(decide if self.kind else torch.relu)(x)"),
    "or": ("nothing = None", "(nothing or decide)(x)"),
    "getitem": ("class A:\n    def __getitem__(self, x): return decide(x)", "A()[x]"),
    "module attribute": ("", "getattr(functions, 'decide')(x)"),
    "builtin": ("def act(x): return decide(x)", "max([act(x)])"),
    "thread of calls": (
        "def a(x): return b(x)\ndef b(x): return c(x)\ndef c(x): return decide(x)",
        "a(x)",
    ),
}


@pytest.mark.parametrize(("definitions", "call"), CALLS.values(), ids=CALLS)
def test_calls(tmp_path: Path, definitions: str, call: str) -> None:
    functions = """
def decide(x, flag=False):
    return x if x.shape[0] > 64 else -x  # expect: VL201
"""
    model = f"""
import contextlib
import functools
import functions
from functions import decide
{definitions}

@support_torch_compile
class Model(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.kind = config.kind

    def within(self, x):
        with within(x) as y:
            return y

    def forward(self, x: torch.Tensor):
        return {call}
"""
    check_program(tmp_path, {"model.py": HEAD + model, "functions.py": functions})


CLASSES = {
    "super().forward": """
        class Base(nn.Module):
            def forward(self, x):
                return x if x.shape[0] > 64 else -x  # expect: VL201

        @support_torch_compile
        class Model(Base):
            def forward(self, x: torch.Tensor):
                return super().forward(x)
        """,
    "super with arguments": """
        class Base(nn.Module):
            def forward(self, x):
                return x if x.shape[0] > 64 else -x  # expect: VL201

        @support_torch_compile
        class Model(Base):
            def forward(self, x: torch.Tensor):
                return super(Model, self).forward(x)
        """,
    "base by name": """
        class Base(nn.Module):
            def forward(self, x):
                return x if x.shape[0] > 64 else -x  # expect: VL201

        @support_torch_compile
        class Model(Base):
            def forward(self, x: torch.Tensor):
                return Base.forward(self, x)
        """,
    "super().__init__": """
        class Layer(nn.Module):
            def forward(self, x):
                return x if x.shape[0] > 64 else -x  # expect: VL201

        class Base(nn.Module):
            def __init__(self, layer_type=nn.Linear):
                super().__init__()
                self.layer = layer_type()

        @support_torch_compile
        class Model(Base):
            def __init__(self):
                super().__init__(layer_type=Layer)

            def forward(self, x: torch.Tensor):
                return self.layer(x)
        """,
    "base constructor by name": """
        class Layer(nn.Module):
            def forward(self, x):
                return x if x.shape[0] > 64 else -x  # expect: VL201

        class Base(nn.Module):
            def __init__(self):
                self.layer = Layer()

        @support_torch_compile
        class Model(Base):
            def __init__(self):
                Base.__init__(self)

            def forward(self, x: torch.Tensor):
                return self.layer(x)
        """,
    "mixins in order": """
        class First:
            def act(self, x):
                return super().act(x)

        class Second:
            def act(self, x):
                return x if x.shape[0] > 64 else -x  # expect: VL201

        class Third:
            def act(self, x):
                return x if x.shape[0] > 32 else -x

        @support_torch_compile
        class Model(First, Second, Third, nn.Module):
            def forward(self, x: torch.Tensor):
                return self.act(x)
        """,
    "diamond": """
        class Top(nn.Module):
            def act(self, x):
                return x if x.shape[0] > 8 else -x

        class Left(Top):
            pass

        class Right(Top):
            def act(self, x):
                return x if x.shape[0] > 64 else -x  # expect: VL201

        @support_torch_compile
        class Model(Left, Right):
            def forward(self, x: torch.Tensor):
                return self.act(x)
        """,
    "overridden by the subclass": """
        class Base(nn.Module):
            def run(self, x):
                return self.act(x)

            def act(self, x):
                return x if x.shape[0] > 8 else -x

        @support_torch_compile
        class Model(Base):
            def act(self, x):
                return x if x.shape[0] > 64 else -x  # expect: VL201

            def forward(self, x: torch.Tensor):
                return self.run(x)
        """,
    "abstract method": """
        from abc import ABC, abstractmethod

        class Method(ABC):
            @abstractmethod
            def apply(self, x):
                raise NotImplementedError

        class Plain(Method):
            def apply(self, x):
                return x if x.shape[0] > 64 else -x  # expect: VL201

        class Quantized(Method):
            def apply(self, x):
                return x if x.shape[0] > 32 else -x  # expect: VL201

        class Unrelated:
            def apply(self, x):
                return x if x.shape[0] > 32 else -x

        @support_torch_compile
        class Model(nn.Module):
            def __init__(self, method: Method):
                super().__init__()
                self.method = method

            def forward(self, x: torch.Tensor):
                return self.method.apply(x)
        """,
    "metaclass and generic": """
        from typing import Generic, TypeVar
        T = TypeVar("T")

        class Base(nn.Module, Generic[T]):
            def act(self, x):
                return x if x.shape[0] > 64 else -x  # expect: VL201

        @support_torch_compile
        class Model(Base[int]):
            def forward(self, x: torch.Tensor):
                return self.act(x)
        """,
    "base chosen by a condition": """
        import os

        class A(nn.Module):
            def act(self, x):
                return x if x.shape[0] > 64 else -x  # expect: VL201

        Base = A if os.name == "posix" else nn.Module

        @support_torch_compile
        class Model(Base):
            def forward(self, x: torch.Tensor):
                return self.act(x)
        """,
    "size in a dataclass": """
        from dataclasses import dataclass, field

        @dataclass
        class Info:
            tokens: int
            width: int = 4

        @support_torch_compile
        class Model(nn.Module):
            def forward(self, x: torch.Tensor):
                info = Info(tokens=x.shape[0])
                if info.width > 8: return x
                return x if info.tokens > 64 else -x  # expect: VL201
        """,
    "size in a named tuple": """
        from typing import NamedTuple

        class Info(NamedTuple):
            width: int
            tokens: int

        @support_torch_compile
        class Model(nn.Module):
            def forward(self, x: torch.Tensor):
                width, tokens = Info(x.shape[1], x.shape[0])
                if width > 8: return x
                return x if tokens > 64 else -x  # expect: VL201
        """,
    "size in a dictionary": """
        @support_torch_compile
        class Model(nn.Module):
            def forward(self, x: torch.Tensor):
                sizes = dict(tokens=x.shape[0], width=x.shape[1])
                if sizes["width"] > 8: return x
                return x if sizes["tokens"] > 64 else -x  # expect: VL201
        """,
    "size on self": """
        @support_torch_compile
        class Model(nn.Module):
            def forward(self, x: torch.Tensor):
                self.tokens = x.shape[0]
                return self.act(x)

            def act(self, x):
                return x if self.tokens > 64 else -x  # expect: VL201
        """,
    "weight loading and constructors": """
        class Layer(nn.Module):
            def __init__(self, weight: torch.Tensor):
                super().__init__()
                if weight.shape[0] > 64: print("large")

            def load_weights(self, weights):
                for name, weight in weights:
                    if weight.any(): print(name)

            def forward(self, x):
                return x if x.shape[0] > 64 else -x  # expect: VL201

        @support_torch_compile
        class Model(nn.Module):
            def __init__(self, config):
                super().__init__()
                print("building")
                self.layer = Layer(torch.empty(8))

            def load_weights(self, weights):
                for name, weight in weights:
                    if weight.any(): print(name)

            def forward(self, x: torch.Tensor):
                return self.layer(x)

        class Sampler(nn.Module):
            def forward(self, logits: torch.Tensor):
                return logits if logits.shape[0] > 64 and logits.any() else -logits
        """,
}


@pytest.mark.parametrize("text", CLASSES.values(), ids=CLASSES)
def test_classes(tmp_path: Path, text: str) -> None:
    assert root_names(check_model(tmp_path, text)) == ["Model.forward"]


# Modules

DECIDE = "def decide(x):\n    return x if x.shape[0] > 64 else -x  # expect: VL201\n"
#: Imports and an expression in `pkg/models/model.py`, and other modules of `pkg`.
IMPORTS: dict[str, tuple[str, str, dict[str, str]]] = {
    "absolute": ("from pkg.layers.acts import decide", "decide(x)", {}),
    "module": ("import pkg.layers.acts", "pkg.layers.acts.decide(x)", {}),
    "module renamed": ("import pkg.layers.acts as a", "a.decide(x)", {}),
    "from package": ("from pkg.layers import acts", "acts.decide(x)", {}),
    "function renamed": ("from pkg.layers.acts import decide as d", "d(x)", {}),
    "relative": ("from ..layers.acts import decide", "decide(x)", {}),
    "relative package": ("from ..layers import acts", "acts.decide(x)", {}),
    "relative sibling": (
        "from .sibling import d",
        "d(x)",
        {"models/sibling.py": "from pkg.layers.acts import decide as d"},
    ),
    "relative module": (
        "from . import sibling",
        "sibling.d(x)",
        {"models/sibling.py": "from ..layers.acts import decide as d"},
    ),
    "re-export": ("from pkg.layers import d", "d(x)", {"layers/__init__.py": "from .acts import decide as d"}),
    "re-export of a re-export": (
        "from pkg import e",
        "e(x)",
        {"layers/__init__.py": "from .acts import decide as d", "__init__.py": "from .layers import d as e"},
    ),
    "star": ("from pkg.layers.acts import *", "decide(x)", {}),
    "star re-export": ("from pkg.layers import *", "decide(x)", {"layers/__init__.py": "from .acts import *"}),
    "assigned": ("from pkg.layers import d", "d(x)", {"layers/__init__.py": "from . import acts\nd = acts.decide"}),
    "inside the function": ("", "self.late(x)", {}),
    "optional": (
        "try:\n    from fast import decide\nexcept ImportError:\n    from pkg.layers.acts import decide",
        "decide(x)",
        {},
    ),
    "type checking": (
        """from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from other import decide
else:
    from pkg.layers.acts import decide""",
        "decide(x)",
        {},
    ),
    "each other": (
        "from pkg.layers.cycle import around",
        "around(x)",
        {"layers/cycle.py": "from pkg.models import model\ndef around(x): return model.back(x)"},
    ),
    "module-level object": (
        "from pkg.layers.registry import ACTS",
        "ACTS['decide'](x)",
        {"layers/registry.py": "from .acts import decide\nACTS = {'decide': decide}"},
    ),
}


@pytest.mark.parametrize(("imports", "call", "others"), IMPORTS.values(), ids=IMPORTS)
def test_imports(tmp_path: Path, imports: str, call: str, others: dict[str, str]) -> None:
    model = f"""
{imports}

def back(x):
    from pkg.layers.acts import decide as late
    return late(x)

@support_torch_compile
class Model(nn.Module):
    def forward(self, x: torch.Tensor):
        return {call}

    def late(self, x):
        from ..layers import acts
        return acts.decide(x)
"""
    packages = {f"pkg/{name}__init__.py": "" for name in ("", "layers/", "models/")}
    files = {**packages, "pkg/layers/acts.py": DECIDE, "pkg/models/model.py": HEAD + model}
    files |= {f"pkg/{name}": text for name, text in others.items()}
    result = check_program(tmp_path, files)
    status = {report.path: report.status for report in result.files}
    assert (status["pkg/models/model.py"], status["pkg/layers/acts.py"]) == ("root", "reached")


def test_only_checked_files_have_findings(tmp_path: Path) -> None:
    """Code on a source root is followed, for what it calls and returns, but it is not what was asked about."""
    library = """\
        def decide(x):
            return x if x.shape[0] > 64 else -x

        def apply(f, x):
            return f(x)

        def half(x):
            return x.shape[0] // 2
        """
    model = """
        from library import apply, decide, half

        def act(x):
            return x if x.shape[0] > 8 else -x  # expect: VL201

        @support_torch_compile
        class Model(nn.Module):
            def forward(self, x: torch.Tensor):
                y = decide(x)
                z = y if half(y) > 64 else -y  # expect: VL201
                return apply(act, z)
        """
    files = {"src/model.py": HEAD + dedent(model), "lib/library.py": library}
    check_program(tmp_path, files, "src", sources=("lib",))


# Where regions end

ENDS = {
    "torch.ops": """
        def act(x):
            return x if x.shape[0] > 8 else -x

        torch.library.define("pkg::act", "(Tensor x) -> Tensor")
        torch.library.impl("pkg::act", "CPU", act)

        @support_torch_compile
        class Model(nn.Module):
            def forward(self, x: torch.Tensor):
                y = torch.ops.pkg.act(x)
                return y if x.shape[0] > 64 else -y  # expect: VL201
        """,
    "torch.library.custom_op": """
        @torch.library.custom_op("pkg::act", mutates_args=())
        def act(x: torch.Tensor) -> torch.Tensor:
            print("not traced")
            return x.clone() if x.shape[0] > 8 else -x

        @support_torch_compile
        class Model(nn.Module):
            def forward(self, x: torch.Tensor):
                y = act(x)
                return y if x.shape[0] > 64 else -y  # expect: VL201
        """,
    "direct_register_custom_op": """
        from vllm.utils.torch_utils import direct_register_custom_op

        def act(x: torch.Tensor) -> torch.Tensor:
            print("not traced")
            return x if x.shape[0] > 8 else -x

        def act_fake(x: torch.Tensor) -> torch.Tensor:
            return x.new_empty(x.shape[1], x.shape[0])

        direct_register_custom_op(op_name="act", op_func=act, fake_impl=act_fake)

        @support_torch_compile
        class Model(nn.Module):
            def forward(self, x: torch.Tensor):
                y = torch.ops.vllm.act(x)
                if y.shape[0] > 64: return x
                return y if y.shape[1] > 64 else -y  # expect: VL201
        """,
    "triton": """
        import triton

        @triton.jit
        def kernel(x):
            if x: print("not traced")

        @support_torch_compile
        class Model(nn.Module):
            def forward(self, x: torch.Tensor):
                kernel[(1,)](x)
                return x if x.shape[0] > 64 else -x  # expect: VL201
        """,
    "is_compiling": """
        @support_torch_compile
        class Model(nn.Module):
            def forward(self, x: torch.Tensor):
                if torch.compiler.is_compiling():
                    x = x if x.shape[0] > 64 else -x  # expect: VL201
                else:
                    x = x if x.shape[0] > 32 else -x
                if not torch.compiler.is_compiling():
                    print("eager")
                if torch.compiler.is_compiling() and x.shape[0] > 16:  # expect: VL201
                    x = -x
                if not torch.compiler.is_compiling() and x.shape[0] > 8:
                    x = -x
                return x
        """,
    "is_compiling imported": """
        from torch.compiler import is_compiling

        def log(x):
            if is_compiling():
                return
            print(x)

        @support_torch_compile
        class Model(nn.Module):
            def forward(self, x: torch.Tensor):
                log(x)
                return x if x.shape[0] > 64 else -x  # expect: VL201
        """,
}


@pytest.mark.parametrize("text", ENDS.values(), ids=ENDS)
def test_where_regions_end(tmp_path: Path, text: str) -> None:
    check_model(tmp_path, text)


def test_disabled_function(tmp_path: Path) -> None:
    """What is in a disabled function is not traced; that it is called at all has a rule to come."""
    text = """\
        @torch.compiler.disable
        def act(x):
            print("not traced")
            return x

        @torch._dynamo.disable(recursive=True)
        def other(x):
            print("not traced")
            return x

        @support_torch_compile
        class Model(nn.Module):
            def forward(self, x: torch.Tensor):
                y = act(x) + other(x)
                return x if x.shape[0] > 64 else -x  # expect: VL201
        """
    check_model(tmp_path, text)


#: A stand-in for vLLM's class, with what dispatch depends on.
CUSTOM_OP = """
import torch
from torch import nn

class CustomOp(nn.Module):
    def __init__(self, *, compile_native=False):
        super().__init__()
        self._forward_method = self.dispatch_forward(compile_native)

    def forward(self, *args, **kwargs):
        return self._forward_method(*args, **kwargs)

    def forward_native(self, *args, **kwargs):
        raise NotImplementedError

    def forward_cuda(self, *args, **kwargs):
        raise NotImplementedError

    def dispatch_forward(self, compile_native):
        return self.forward_native

    @classmethod
    def register(cls, name):
        def decorator(op_cls):
            return op_cls
        return decorator
"""


@pytest.mark.parametrize("readable", [True, False])
def test_custom_op(tmp_path: Path, readable: bool) -> None:
    """Each implementation may be the one that runs, whether vLLM itself can be read or not."""
    model = """
        from vllm.model_executor.custom_op import CustomOp

        @CustomOp.register("act")
        class Act(CustomOp):
            def __init__(self, size: int):
                super().__init__()
                self.size = size

            def forward_native(self, x):
                return x if x.shape[0] > 64 else -x  # expect: VL201

            def forward_cuda(self, x):
                y = self.forward_native(x)
                return y if x.shape[0] > 32 else -y  # expect: VL201

        class Scaled(Act):
            def forward_native(self, x):
                return x if x.shape[0] > 16 else -x  # expect: VL201

        @support_torch_compile
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.act = Act(4)
                self.scaled = Scaled(4)

            def forward(self, x: torch.Tensor):
                return self.scaled(self.act(x))
        """
    packages = {f"vllm/{name}__init__.py": "" for name in ("", "model_executor/", "compilation/")}
    decorators = "def support_torch_compile(cls=None, **options):\n    return cls\nignore_torch_compile = None\n"
    files = {"plugin/model.py": HEAD + dedent(model)}
    if readable:
        files |= {f"site/{name}": text for name, text in packages.items()}
        files["site/vllm/model_executor/custom_op.py"] = CUSTOM_OP
        files["site/vllm/compilation/decorators.py"] = decorators
    check_program(tmp_path, files, "plugin", sources=("site",))
