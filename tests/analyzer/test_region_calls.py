"""Calls are followed through whatever Python puts between a caller and a function."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.analyzer.programs import HEAD, check_program

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
        "A(x).acted  # expect: VL108",
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
    "decorator that takes the receiver": (
        """def checked(f):
    @functools.wraps(f)
    def inner(self, *args, **kwargs):
        kwargs.pop('debug', None)
        return f(self, *args, **kwargs)
    return inner
class Base:
    def act(self, x): return decide(x)
class A(Base):
    @checked
    def act(self, x): return super().act(x)""",
        "A().act(x)",
    ),
    "method through its class": (
        """class A:
    def act(self, x): return self.decided(x)
    def decided(self, x): return decide(x)""",
        "A.act(A(), x)",
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
