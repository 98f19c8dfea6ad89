"""A region ends at custom operators and at what Dynamo is told to leave alone."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from tests.analyzer.programs import HEAD, check_model, check_program

ENDS = {
    "torch.ops": """
        def act(x):
            return x.clone() if x.shape[0] > 8 else -x

        torch.library.define("pkg::act", "(Tensor x) -> Tensor")
        torch.library.impl("pkg::act", "CPU", act)
        torch.library.register_fake("pkg::act", torch.empty_like)

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

        @act.register_fake
        def act_fake(x: torch.Tensor) -> torch.Tensor:
            return torch.empty_like(x)

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
            return x.clone() if x.shape[0] > 8 else -x

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
    """What is in a disabled function is not traced; that it is called at all is what is wrong."""
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
                y = act(x) + other(x)  # expect: VL107
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
