"""Methods are found by inheritance, and values in the objects that carry them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.analyzer.programs import check_model, root_names

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
    "options whose defaults say nothing": """
        from dataclasses import dataclass, field
        from pydantic import Field

        @dataclass
        class Kernels:
            fused: bool = False

        @dataclass
        class Options:
            small: bool = False
            kernels: Kernels = Field(default_factory=Kernels)

        @support_torch_compile
        class Model(nn.Module):
            def __init__(self, options: Options):
                super().__init__()
                self.options = options

            def forward(self, x: torch.Tensor):
                if self.options.small and x.shape[0] > 64: x = -x  # expect: VL201
                if self.options.kernels.fused: x = x[:64]  # expect: VL208
                return x
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
