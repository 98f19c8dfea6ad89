"""Which classes and functions are compiled, under which contract, and what is dynamic there."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.analyzer.programs import HEAD, check_model, check_program, found, only, root_names, run
from vllm_lint.analyzer.findings import Contract

#: The declaration of a class with the arguments `x` and `y`, and sizes that are dynamic or static in it.
DECLARATIONS = {
    "bare": ("@support_torch_compile", ["x.shape[0]", "y.shape[0]"], ["x.shape[1]"]),
    "called": ("@support_torch_compile()", ["x.shape[0]", "y.shape[0]"], ["x.shape[1]"]),
    "int": ("@support_torch_compile(dynamic_arg_dims={'x': 0, 'y': 0})", ["x.shape[0]", "y.shape[0]"], ["x.shape[1]"]),
    "dict call": (
        "@support_torch_compile(dynamic_arg_dims=dict(x=1, y=0))",
        ["x.shape[1]", "y.shape[0]"],
        ["x.shape[0]"],
    ),
    "other dimension": (
        "@support_torch_compile(dynamic_arg_dims={'x': 1, 'y': 0})",
        ["x.shape[1]", "y.shape[0]"],
        ["x.shape[0]"],
    ),
    "list": (
        "@support_torch_compile(dynamic_arg_dims={'x': [0, 1], 'y': [1]})",
        ["x.shape[0]", "x.shape[1]", "y.shape[1]"],
        ["y.shape[0]"],
    ),
    "shape ids": (
        "@support_torch_compile(dynamic_arg_dims={'x': {0: 'b'}, 'y': {1: 'b'}})",
        ["x.shape[0]", "y.shape[1]"],
        ["x.shape[1]", "y.shape[0]"],
    ),
    "negative": (
        "@support_torch_compile(dynamic_arg_dims={'x': -1, 'y': -2})",
        ["x.shape[-1]", "x.shape[1]", "y.shape[0]"],
        ["x.shape[0]", "y.shape[-1]"],
    ),
    "constant": (
        "DIMS = {'x': 0, 'y': 1}\n@support_torch_compile(dynamic_arg_dims=DIMS)",
        ["x.shape[0]", "y.shape[1]"],
        ["x.shape[1]", "y.shape[0]"],
    ),
    "None": ("@support_torch_compile(dynamic_arg_dims=None)", ["x.shape[0]", "y.shape[0]"], ["x.shape[1]"]),
    "unbacked": (
        "@support_torch_compile(dynamic_arg_dims={'x': 0, 'y': 0}, mark_unbacked_dims={'x': 0})",
        ["x.shape[0]", "y.shape[0]"],
        ["x.shape[1]"],
    ),
    "enable_if": (
        "@support_torch_compile(enable_if=lambda config: config.fast)",
        ["x.shape[0]", "y.shape[0]"],
        ["x.shape[1]"],
    ),
    "encoder": (
        "@support_torch_compile(dynamic_arg_dims={'x': 0, 'y': 0}, enable_if=enabled, is_encoder=True)",
        ["x.shape[0]", "y.shape[0]"],
        ["x.shape[1]"],
    ),
}


@pytest.mark.parametrize(("declaration", "dynamic", "static"), DECLARATIONS.values(), ids=DECLARATIONS)
def test_declared_dimensions(tmp_path: Path, declaration: str, dynamic: list[str], static: list[str]) -> None:
    lines = [f"if {size} > 64: x = x * 2  # expect: VL201" for size in dynamic]
    lines += [f"if {size} > 64: x = x * 2" for size in static]
    body = "".join(f"        {line}\n" for line in lines)
    result = check_model(
        tmp_path,
        f"{declaration}\nclass Model(nn.Module):\n    def forward(self, x: torch.Tensor, y: torch.Tensor):\n"
        f"{body}        return x\n",
    )
    assert root_names(result) == ["Model.forward"]
    assert result.roots[0].root.contract is Contract.VLLM


#: An annotation, and whether vLLM takes it for that of a tensor that is dynamic in its first dimension.
ANNOTATIONS = {
    "torch.Tensor": True,
    "torch.FloatTensor": True,
    "Tensor": True,
    "Optional[torch.Tensor]": True,
    "typing.Optional[torch.Tensor]": True,
    "Union[torch.Tensor, None]": True,
    "Union[None, Tensor]": True,
    "torch.Tensor | None": True,
    "None | torch.Tensor": True,
    "Hidden": True,
    "MaybeHidden": True,
    "torch.LongTensor": False,
    "'torch.Tensor'": False,
    "Optional['torch.Tensor']": False,
    "list[torch.Tensor]": False,
    "torch.Tensor | torch.FloatTensor": False,
    "torch.Tensor | IntermediateTensors": False,
}


@pytest.mark.parametrize(("annotation", "dynamic"), ANNOTATIONS.items(), ids=ANNOTATIONS)
def test_annotations_that_vllm_recognises(tmp_path: Path, annotation: str, dynamic: bool) -> None:
    size = "y[0]" if annotation.startswith("list") else "y"
    text = f"""\
        import typing
        from typing import Optional, Union
        from torch import Tensor
        from vllm.sequence import IntermediateTensors
        Hidden = torch.Tensor
        MaybeHidden = Optional[torch.Tensor]

        @support_torch_compile
        class Model(nn.Module):
            def forward(
                self,
                x: torch.Tensor,
                y: {annotation},{"" if dynamic else "  # expect: VL205"}
            ):
                if x.shape[0] > 64: x = x * 2  # expect: VL201
                if {size}.shape[0] > 64: x = x * 2{"  # expect: VL201" if dynamic else ""}
                return x
        """
    result = check_model(tmp_path, text)
    assert result.roots[0].dynamic == {"x": "dim 0"} | ({"y": "dim 0"} if dynamic else {})


def test_annotations_that_are_not_evaluated(tmp_path: Path) -> None:
    """By `from __future__ import annotations` nothing is dynamic, unless `dynamic_arg_dims` says so."""
    head = "from __future__ import annotations\n" + HEAD
    text = """
        {decorator}
        class Model(nn.Module):
            def forward(self, x: torch.Tensor | None):
                if x.shape[0] > 64: x = x * 2{finding}
                return x
        """
    text = dedent(text)
    bare = head + text.format(decorator="@support_torch_compile  # expect: VL205", finding="")
    declared = head + text.format(
        decorator="@support_torch_compile(dynamic_arg_dims={'x': 0})", finding="  # expect: VL201"
    )
    check_program(tmp_path, {"bare.py": bare, "declared.py": declared})


def test_intermediate_tensors(tmp_path: Path) -> None:
    text = """\
        from vllm.sequence import IntermediateTensors

        @support_torch_compile
        class Model(nn.Module):
            def forward(self, x: torch.Tensor, earlier: IntermediateTensors | None = None):
                if earlier is None:
                    hidden = x
                else:
                    hidden = earlier["hidden"]
                    if hidden.shape[0] > 64: return hidden  # expect: VL201
                    if hidden.shape[1] > 64: return hidden
                return hidden
        """
    check_model(tmp_path, text)


DECORATOR_NAMES = {
    "renamed": ("from vllm.compilation.decorators import support_torch_compile as stc", "@stc"),
    "module": ("import vllm.compilation.decorators", "@vllm.compilation.decorators.support_torch_compile"),
    "module renamed": ("import vllm.compilation.decorators as d", "@d.support_torch_compile"),
    "from package": ("from vllm.compilation import decorators", "@decorators.support_torch_compile"),
    "assigned": ("from vllm.compilation import decorators\nstc = decorators.support_torch_compile", "@stc"),
    "options kept": (
        "import vllm.compilation.decorators as d\nstc = d.support_torch_compile(dynamic_arg_dims={'x': 0})",
        "@stc",
    ),
    "partial": (
        "import functools as f\nimport vllm.compilation.decorators as d\nstc = f.partial(d.support_torch_compile)",
        "@stc()",
    ),
    "re-exported": ("from pkg import stc", "@stc"),
    "star": ("from pkg import *", "@stc"),
    "conditional": (
        "try: from vllm.compilation.decorators import support_torch_compile as stc\nexcept ImportError: stc = id",
        "@stc",
    ),
}


@pytest.mark.parametrize(("imports", "decorator"), DECORATOR_NAMES.values(), ids=DECORATOR_NAMES)
def test_names_of_the_decorator(tmp_path: Path, imports: str, decorator: str) -> None:
    forward = "    def forward(self, x: torch.Tensor):\n        return x if x.shape[0] > 64 else -x  # expect: VL201\n"
    check_program(
        tmp_path,
        {
            "model.py": f"import torch\n{imports}\n{decorator}\nclass Model(torch.nn.Module):\n{forward}",
            "pkg/__init__.py": "from .compat import stc\n",
            "pkg/compat.py": "from vllm.compilation.decorators import support_torch_compile as stc\n",
        },
    )


def test_decorator_of_another_library(tmp_path: Path) -> None:
    text = """\
        from other.decorators import support_torch_compile as stc

        @stc
        class Other(nn.Module):
            def forward(self, x: torch.Tensor):
                return x if x.shape[0] > 64 else -x

        @support_torch_compile
        class Model(nn.Module):
            def forward(self, x: torch.Tensor):
                return x if x.shape[0] > 64 else -x  # expect: VL201
        """
    assert root_names(check_model(tmp_path, text)) == ["Model.forward"]


INHERITANCE = {
    "own forward": """
        @support_torch_compile
        class Base(nn.Module):
            def forward(self, x: torch.Tensor):
                return x

        class Model(Base):
            def forward(self, x: torch.Tensor):
                return x if x.shape[0] > 64 else -x  # expect: VL201
        """,
    "inherited forward calls what the subclass defines": """
        @support_torch_compile
        class Base(nn.Module):
            def forward(self, x: torch.Tensor):
                return self.act(x)

            def act(self, x):
                return x

        class Model(Base):
            def act(self, x):
                return x if x.shape[0] > 64 else -x  # expect: VL201
        """,
    "forward from behind the decorated class": """
        class Plain(nn.Module):
            def forward(self, x: torch.Tensor):
                return x if x.shape[0] > 64 else -x  # expect: VL201

        @support_torch_compile
        class Model(Plain):
            pass
        """,
    "two levels": """
        @support_torch_compile
        class Base(nn.Module):
            def forward(self, x: torch.Tensor):
                return x

        class Middle(Base):
            pass

        class Model(Middle):
            def forward(self, x: torch.Tensor):
                return x if x.shape[0] > 64 else -x  # expect: VL201
        """,
    "mixin": """
        @support_torch_compile
        class Mixin:
            def forward(self, x: torch.Tensor):
                return self.act(x)

        class Model(Mixin, nn.Module):
            def act(self, x):
                return x if x.shape[0] > 64 else -x  # expect: VL201
        """,
    "dimensions are those of the decorated class": """
        @support_torch_compile
        class Base(nn.Module):
            def forward(self, x: torch.Tensor, y):  # expect: VL205
                return x + y.to(x.dtype)

        class Model(Base):
            def forward(
                self,
                x: torch.LongTensor,
                y: torch.Tensor,  # expect: VL205
            ):
                if y.shape[0] > 64: x = x * 2
                return x if x.shape[0] > 64 else -x  # expect: VL201
        """,
    "dimensions declared in the base": """
        @support_torch_compile(dynamic_arg_dims={"x": 1})
        class Base(nn.Module):
            def forward(self, x: torch.Tensor):
                return x

        class Model(Base):
            def forward(self, x: torch.Tensor):
                if x.shape[0] > 64: return x
                return x if x.shape[1] > 64 else -x  # expect: VL201
        """,
    "decorated anew": """
        @support_torch_compile(dynamic_arg_dims={"x": 1})
        class Base(nn.Module):
            def forward(self, x: torch.Tensor):
                return x

        @support_torch_compile
        class Model(Base):
            def forward(self, x: torch.Tensor):
                if x.shape[1] > 64: return x
                return x if x.shape[0] > 64 else -x  # expect: VL201
        """,
}


@pytest.mark.parametrize("text", INHERITANCE.values(), ids=INHERITANCE)
def test_inheritance(tmp_path: Path, text: str) -> None:
    result = check_model(tmp_path, text)
    assert "Model.forward" in root_names(result)


def test_message_about_an_inherited_decorator(tmp_path: Path) -> None:
    (of_base, of_model) = check_model(tmp_path, INHERITANCE["dimensions are those of the decorated class"]).findings[:2]
    assert of_base.message.startswith("`y` has no annotation, ")
    assert of_model.message.startswith("the decorated base class does not make `y` dynamic, ")


def test_base_in_another_package(tmp_path: Path) -> None:
    files = {
        "plugin/model.py": HEAD
        + dedent("""
        from installed.base import Base

        class Model(Base):
            def act(self, x):
                return x if x.shape[0] > 64 else -x  # expect: VL201
        """),
        "elsewhere/installed/__init__.py": "",
        "elsewhere/installed/base.py": HEAD
        + dedent("""
        @support_torch_compile
        class Base(nn.Module):
            def forward(self, x: torch.Tensor):
                y = x if x.shape[0] > 8 else -x
                return self.act(y)
        """),
    }
    result = check_program(tmp_path, files, "plugin", sources=("elsewhere",))
    assert root_names(result) == ["Model.forward"]
    assert found(run(tmp_path, "plugin")) == []


IGNORED = {
    "the class itself": """
        @ignore_torch_compile
        @support_torch_compile
        class Ignored(nn.Module):
            def forward(self, x: torch.Tensor):
                return x if x.shape[0] > 64 else -x
        """,
    "a subclass": """
        @support_torch_compile
        class Base(nn.Module):
            def forward(self, x: torch.Tensor):
                return x

        @ignore_torch_compile
        class Ignored(Base):
            def forward(self, x: torch.Tensor):
                return x if x.shape[0] > 64 else -x
        """,
    "a subclass of that": """
        @support_torch_compile
        class Base(nn.Module):
            def forward(self, x: torch.Tensor):
                return x

        @ignore_torch_compile
        class Middle(Base):
            pass

        class Ignored(Middle):
            def forward(self, x: torch.Tensor):
                return x if x.shape[0] > 64 else -x
        """,
    "a child that is decorated again": """
        @ignore_torch_compile
        @support_torch_compile
        class Ignored(nn.Module):
            def forward(self, x: torch.Tensor):
                return x if x.shape[0] > 64 else -x

        @support_torch_compile
        class Again(Ignored):
            def forward(self, x: torch.Tensor):
                return x if x.shape[0] > 64 else -x  # expect: VL201
        """,
    "undone by the decorator above": """
        @support_torch_compile
        @ignore_torch_compile
        class Again(nn.Module):
            def forward(self, x: torch.Tensor):
                return x if x.shape[0] > 64 else -x  # expect: VL201
        """,
    "what an ignored class holds": """
        @support_torch_compile
        class Layer(nn.Module):
            def forward(self, x: torch.Tensor):
                return x if x.shape[0] > 64 else -x  # expect: VL201

        @ignore_torch_compile
        @support_torch_compile
        class Ignored(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = Layer()

            def forward(self, x: torch.Tensor):
                return self.layer(x) if x.shape[0] > 64 else -x
        """,
}


@pytest.mark.parametrize("text", IGNORED.values(), ids=IGNORED)
def test_ignored(tmp_path: Path, text: str) -> None:
    control = """
        @support_torch_compile
        class Control(nn.Module):
            def forward(self, x: torch.Tensor):
                return x if x.shape[0] > 32 else -x  # expect: VL201
        """
    result = check_model(tmp_path, dedent(text) + dedent(control))
    assert "Ignored.forward" not in root_names(result)


def test_conditional_and_nested_classes(tmp_path: Path) -> None:
    text = """\
        try:
            import fast
        except ImportError:
            @support_torch_compile
            class Slow(nn.Module):
                def forward(self, x: torch.Tensor):
                    return x if x.shape[0] > 64 else -x  # expect: VL201
        else:
            @support_torch_compile
            class Fast(nn.Module):
                def forward(self, x: torch.Tensor):
                    return x if x.shape[0] > 32 else -x  # expect: VL201

        class Outer:
            @support_torch_compile
            class Inner(nn.Module):
                def forward(self, x: torch.Tensor):
                    return x if x.shape[0] > 16 else -x  # expect: VL201

        def make():
            @support_torch_compile
            class Local(nn.Module):
                def forward(self, x: torch.Tensor):
                    return x if x.shape[0] > 8 else -x  # expect: VL201

            return Local()
        """
    assert root_names(check_model(tmp_path, text)) == [
        "Fast.forward", "Inner.forward", "Local.forward", "Slow.forward",
    ]  # fmt: skip


def test_decorated_by_a_call(tmp_path: Path) -> None:
    text = """\
        class Plain(nn.Module):
            def forward(self, x: torch.Tensor):
                return x if x.shape[0] > 64 else -x  # expect: VL201

        class Other(nn.Module):
            def forward(self, x: torch.Tensor):
                return x if x.shape[0] > 64 else -x  # expect: VL201

        Compiled = support_torch_compile(Plain)
        Again = support_torch_compile(dynamic_arg_dims={"x": 0})(Other)
        """
    check_model(tmp_path, text)


def test_class_without_forward(tmp_path: Path) -> None:
    text = """\
        from library import *
        import other

        @support_torch_compile  # expect: VL007
        class Empty(nn.Module):
            def run(self, x: torch.Tensor):
                return x

        @support_torch_compile
        class Elsewhere(other.Module):
            pass

        @support_torch_compile
        class Somewhere(Starred):
            pass
        """
    assert "no forward" in only(check_model(tmp_path, text), "VL007").message
