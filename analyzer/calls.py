"""One call of something that is not part of the program: its arguments, and the place it stands at."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from vllm_lint.analyzer.context import Context, Frame
from vllm_lint.analyzer.events import LibraryCall, SizeSpecialization
from vllm_lint.analyzer.repairs import only_without_compilation
from vllm_lint.analyzer.source import Located
from vllm_lint.analyzer.untraceable import OUTPUT
from vllm_lint.analyzer.values import UNKNOWN, Static, Tensor, Unknown, Value, is_static, tainted, trail_of


class Call:
    """What a handler of a built-in, library or special function is told; `name` is the function's."""

    __slots__ = ("args", "context", "frame", "kwargs", "name", "node")

    def __init__(
        self, context: Context, name: str, args: list[Value], kwargs: dict[str, Value], node: Located, frame: Frame
    ) -> None:
        self.context = context
        self.name = name
        self.args = args
        self.kwargs = kwargs
        self.node = node
        self.frame = frame

    @property
    def first(self) -> Value:
        """The first positional argument."""
        return self.args[0] if self.args else UNKNOWN

    @property
    def values(self) -> list[Value]:
        """All arguments."""
        return [*self.args, *self.kwargs.values()]

    def of(self, first: Value) -> Call:
        """The same call with another first argument."""
        return Call(self.context, self.name, [first, *self.args[1:]], self.kwargs, self.node, self.frame)

    def specialize(self, form: str, *causes: Value) -> None:
        """Report that the call pins the token count."""
        self.context.emit(SizeSpecialization, self.node, self.frame, *causes, form=form)

    def report(self, name: str) -> None:
        """Report the call as one of the library's `name`, with what it is given."""
        if self.context.quiet:
            return
        values = self.values
        self.context.emit(
            LibraryCall,
            self.node,
            self.frame,
            *[v for v in values if trail_of(v)][:1],
            name=name,
            tensor=any(isinstance(v, Tensor) for v in values),
            token=any(tainted(v) for v in values),
            guarded=only_without_compilation(self.node, self.frame) if name.startswith(OUTPUT) else None,
        )

    def plain(self) -> Value:
        """What is left to say of a call that is not followed."""
        if all(is_static(v) for v in self.values):
            return Static(f"{self.name}()")
        return Unknown(f"{self.name}()", tainted=any(tainted(v) for v in self.values))


Handler: TypeAlias = Callable[[Call], Value]
