"""Every way to use `torch.compile` makes a root, and its contract decides what matters in it."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.analyzer.programs import HEAD, check_model, found, only, root_names, run, write
from vllm_lint.analyzer.findings import Contract, Severity

FUNCTIONS = {
    "decorator": """
        @torch.compile
        def f(x: torch.Tensor):
            print("traced")  # expect: VL103
            return x
        """,
    "called decorator": """
        @torch.compile(dynamic=True)
        def f(x: torch.Tensor):
            print("traced")  # expect: VL103
            return x
        """,
    "method": """
        class Model(nn.Module):
            @torch.compile
            def act(self, x: torch.Tensor):
                print("traced")  # expect: VL103
                return x
        """,
    "static method": """
        class Model(nn.Module):
            @staticmethod
            @torch.compile
            def act(x: torch.Tensor):
                print("traced")  # expect: VL103
                return x
        """,
    "class": """
        @torch.compile
        class Model(nn.Module):
            def forward(self, x: torch.Tensor):
                print("traced")  # expect: VL103
                return x
        """,
    "imported": """
        from torch import compile

        @compile
        def f(x: torch.Tensor):
            print("traced")  # expect: VL103
            return x
        """,
    "renamed": """
        import torch as t
        from torch import compile as jit

        @t.compile
        def f(x: t.Tensor):
            print("traced")  # expect: VL103
            return x

        @jit
        def g(x: t.Tensor):
            print("traced")  # expect: VL103
            return x

        def h(x: t.Tensor):
            print("traced")  # expect: VL103
            return x

        h = t.compile(h)

        def k(x: t.Tensor):
            print("traced")  # expect: VL103
            return x

        fast_k = jit(k)
        """,
    "partial": """
        import functools

        @functools.partial(torch.compile, dynamic=True)
        def f(x: torch.Tensor):
            print("traced")  # expect: VL103
            return x
        """,
    "call": """
        def g(x: torch.Tensor):
            print("traced")  # expect: VL103
            return x

        f = torch.compile(g)
        """,
    "call with options": """
        def g(x: torch.Tensor):
            print("traced")  # expect: VL103
            return x

        f = torch.compile(dynamic=True)(g)
        """,
    "keyword": """
        def g(x: torch.Tensor):
            print("traced")  # expect: VL103
            return x

        f = torch.compile(model=g)
        """,
    "lambda": """
        f = torch.compile(lambda x: print(x))  # expect: VL103
        """,
    "local function": """
        def make():
            def inner(x: torch.Tensor):
                print("traced")  # expect: VL103
                return x

            return torch.compile(inner)
        """,
    "local decorator": """
        def make():
            @torch.compile
            def inner(x: torch.Tensor):
                print("traced")  # expect: VL103
                return x

            return inner
        """,
    "own method": """
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.act = torch.compile(self._act)

            def _act(self, x: torch.Tensor):
                print("traced")  # expect: VL103
                return x
        """,
    "own attribute": """
        class Layer(nn.Module):
            def forward(self, x: torch.Tensor):
                print("traced")  # expect: VL103
                return x

        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = Layer()
                self.layer.compile()
        """,
    "compiled attribute": """
        class Layer(nn.Module):
            def forward(self, x: torch.Tensor):
                print("traced")  # expect: VL103
                return x

        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = torch.compile(Layer())
        """,
    "own forward": """
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.compile()

            def forward(self, x: torch.Tensor):
                print("traced")  # expect: VL103
                return x
        """,
    "object": """
        class Model(nn.Module):
            def forward(self, x: torch.Tensor):
                print("traced")  # expect: VL103
                return x

        model = torch.compile(Model())
        """,
    "local object": """
        class Model(nn.Module):
            def forward(self, x: torch.Tensor):
                print("traced")  # expect: VL103
                return x

        def load():
            model = Model()
            model.compile()
            return model
        """,
    "compiled local object": """
        class Model(nn.Module):
            def forward(self, x: torch.Tensor):
                print("traced")  # expect: VL103
                return x

        def load():
            model = Model()
            return torch.compile(model)
        """,
    "forward of an object": """
        class Model(nn.Module):
            def forward(self, x: torch.Tensor):
                print("traced")  # expect: VL103
                return x

        def load():
            model = Model()
            model.forward = torch.compile(model.forward)
            return model
        """,
}


@pytest.mark.parametrize("text", FUNCTIONS.values(), ids=FUNCTIONS)
def test_torch_compile(tmp_path: Path, text: str) -> None:
    result = check_model(tmp_path, text)
    assert {report.root.contract for report in result.roots} == {Contract.COMPILE}
    assert {finding.severity for finding in result.findings} == {Severity.WARNING}
    write(tmp_path, {"model.py": HEAD + dedent(text).replace("torch.compile", "torch.export")})
    if "compile" not in text.replace("torch.compile", ""):
        assert found(run(tmp_path)) == []


def test_function_of_another_module(tmp_path: Path) -> None:
    helper = """\
        def act(x):
            print("traced")  # expect: VL103
            return x
        """
    check_model(tmp_path, "from helper import act\nf = torch.compile(act)\n", helper=helper)


NOT_COMPILED = {
    "regular expression": "import re\npattern = re.compile('a')\n",
    "own function": "def compile(f): return f\n@compile\ndef f(x: torch.Tensor):\n    print(x)\n    return x\n",
    "own method": """\
class Model(nn.Module):
    def __init__(self):
        self.builder = Builder()
        self.builder.compile()

class Builder:
    def compile(self):
        pass

    def forward(self, x):
        print(x)
""",
    "mentioned": "def f(x):\n    '''Pass me to torch.compile(f).'''\n    print(x)\n",
}


@pytest.mark.parametrize("text", NOT_COMPILED.values(), ids=NOT_COMPILED)
def test_what_is_not_compiled(tmp_path: Path, text: str) -> None:
    control = "@torch.compile\ndef control(x: torch.Tensor):\n    print(x)  # expect: VL103\n    return x\n"
    assert root_names(check_model(tmp_path, text + control)) == ["control"]


# Contracts

BODY = """
    def forward(self, x: torch.Tensor):
        print("traced")
        return x if x.shape[0] > 64 else -x
"""
CONTRACTS = {
    "vllm": ("@support_torch_compile\nclass Model(nn.Module):" + BODY, {"VL103": "error", "VL201": "error"}),
    "full graph": (
        "class Model(nn.Module):" + BODY.replace("    def", "    @torch.compile(fullgraph=True)\n    def"),
        {"VL103": "error"},
    ),
    "full graph by name": (
        "FULL = True\nclass Model(nn.Module):" + BODY.replace("    def", "    @torch.compile(fullgraph=FULL)\n    def"),
        {"VL103": "error"},
    ),
    "graph breaks allowed": (
        "class Model(nn.Module):" + BODY.replace("    def", "    @torch.compile(fullgraph=False)\n    def"),
        {"VL103": "warning"},
    ),
    "plain": ("class Model(nn.Module):" + BODY.replace("    def", "    @torch.compile\n    def"), {"VL103": "warning"}),
    "module": (
        "class Model(nn.Module):" + BODY + "\nmodel = torch.compile(Model(), fullgraph=True)",
        {"VL103": "error"},
    ),
    "module.compile": (
        "class Model(nn.Module):" + BODY + "\nmodel = Model()\nmodel.compile(fullgraph=True)",
        {"VL103": "error"},
    ),
}


@pytest.mark.parametrize(("text", "expected"), CONTRACTS.values(), ids=CONTRACTS)
def test_severity_depends_on_the_contract(tmp_path: Path, text: str, expected: dict[str, str]) -> None:
    write(tmp_path, {"model.py": HEAD + text})
    assert {f.code: f.severity.value for f in run(tmp_path).findings} == expected


def test_one_function_under_two_contracts(tmp_path: Path) -> None:
    """The stricter one counts, whichever comes first."""
    text = """\
        def act(x):
            print("traced")  # expect: VL103
            return x

        @torch.compile
        def loose(x: torch.Tensor):
            return act(x)

        @torch.compile(fullgraph=True)
        def strict(x: torch.Tensor):
            return act(x)
        """
    finding = only(check_model(tmp_path, text), "VL103")
    assert (finding.severity, finding.root and finding.root.name) == (Severity.ERROR, "strict")
