"""Holds the custom operators of a captured graph to what they declare, by running them. Worker processes only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree

from vllm_lint.runtime_verifier.outcomes import DishonestOperator
from vllm_lint.runtime_verifier.worker.evidence import place_of_node

#: Operators of torch's own, which its tests hold to the same.
_TORCHS = frozenset({"aten", "prim", "prims", "higher_order", "inductor", "quantized"})


class OperatorCheck(torch.fx.Interpreter):  # type: ignore[misc]
    """Runs a graph and compares every custom operator with its schema and its fake implementation.

    The schema says which arguments it writes to and which results share memory with an argument, the fake one which
    shape, type, device and stride a result has. Nothing in the graph itself depends on either being true, so a replay
    of it agrees with eager; what functionalises or reorders it does not.
    """

    def __init__(self, graph: torch.fx.GraphModule) -> None:
        super().__init__(graph)
        self.found: list[DishonestOperator] = []

    def run_copied(self, arguments: Sequence[Any]) -> None:
        """Run on copies of the tensors, parameters excepted."""
        copies = [
            a.clone() if isinstance(a, torch.Tensor) and not isinstance(a, torch.nn.Parameter) else a for a in arguments
        ]
        self.run(*copies)

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call it; where it is a custom operator, check what the call did."""
        operator = _custom(target)
        if operator is None:
            return super().call_function(target, args, kwargs)
        expected = _metadata(_fake(operator, args, kwargs))
        given = list(_tensors((args, kwargs)))
        before = [t.clone() for t in given]
        result = super().call_function(target, args, kwargs)
        for kind, detail in self._defects(operator, (args, kwargs), given, before, result, expected):
            place = place_of_node(self.current_node)
            self.found.append(DishonestOperator(operator._schema.name, kind, detail, place))
        return result

    current_node: torch.fx.Node

    def run_node(self, n: torch.fx.Node) -> Any:
        """Remember which node is running."""
        self.current_node = n
        return super().run_node(n)

    def _defects(
        self,
        operator: torch._ops.OpOverload,
        call: tuple[tuple[Any, ...], dict[str, Any]],
        given: list[torch.Tensor],
        before: list[torch.Tensor],
        result: Any,
        expected: list[tuple[Any, ...]],
    ) -> Iterator[tuple[Any, str]]:
        written = {id(t) for t in _tensors(list(_declared(operator, *call, is_write=True)))}
        for number, (tensor, copy) in enumerate(zip(given, before, strict=True)):
            if id(tensor) not in written and not _same(tensor, copy):
                yield "undeclared-mutation", f"tensor argument {number + 1}"
        if not any(r.alias_info is not None for r in operator._schema.returns):
            for output in _tensors(result):
                if output.numel() and any(_shares(output, tensor) for tensor in given):
                    yield "output-aliases-input", _said(_describe(output))
        actual = _metadata(result)
        if len(actual) != len(expected):
            yield "fake-disagrees", f"{len(actual)} tensors, and {len(expected)} from the fake implementation"
        for real, fake in zip(actual, expected, strict=False):
            if real != fake:
                yield "fake-disagrees", f"{_said(real)}, and {_said(fake)} from the fake implementation"


def _custom(target: Any) -> torch._ops.OpOverload | None:
    """The operator that is called if it is none of torch's and its overload is clear."""
    if isinstance(target, torch._ops.OpOverloadPacket):
        names = target.overloads()
        target = getattr(target, names[0]) if len(names) == 1 else None
    if not isinstance(target, torch._ops.OpOverload) or target.namespace in _TORCHS or target.namespace.startswith("_"):
        return None
    return target


def _fake(operator: torch._ops.OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with FakeTensorMode(shape_env=torch.fx.experimental.symbolic_shapes.ShapeEnv()) as mode:

        def faked(value: Any) -> Any:
            return mode.from_tensor(value, static_shapes=True) if isinstance(value, torch.Tensor) else value

        return operator(*pytree.tree_map(faked, args), **pytree.tree_map(faked, kwargs))


def _declared(
    operator: torch._ops.OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], *, is_write: bool
) -> Iterator[Any]:
    for number, argument in enumerate(operator._schema.arguments):
        value = args[number] if number < len(args) else kwargs.get(argument.name)
        if argument.alias_info is not None and argument.alias_info.is_write == is_write:
            yield value


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    return (leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, torch.Tensor))


def _same(tensor: torch.Tensor, copy: torch.Tensor) -> bool:
    equal = (tensor == copy) | ((tensor != tensor) & (copy != copy))  # noqa: PLR0124 - NaN equals NaN here
    return bool(equal.all())


def _shares(output: torch.Tensor, tensor: torch.Tensor) -> bool:
    return bool(output.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr())


def _metadata(result: Any) -> list[tuple[Any, ...]]:
    return [_describe(t) for t in _tensors(result)]


def _describe(tensor: torch.Tensor) -> tuple[Any, ...]:
    """Type, shape, device, and the strides that tell where elements lie."""
    shape = tuple(int(size) for size in tensor.shape)
    steps = tuple(int(step) for step, size in zip(tensor.stride(), shape, strict=True) if size > 1)
    return tensor.dtype, shape, tensor.device, steps if tensor.numel() else ()


def _said(described: tuple[Any, ...]) -> str:
    dtype, shape, device, strides = described
    return f"{str(dtype).removeprefix('torch.')}{list(shape)} on {device} with strides {list(strides)}"
