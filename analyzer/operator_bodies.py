"""What the real implementation of a custom operator does to its arguments: what it writes to, and what it returns.

The interpreter of compiled regions does not follow memory. This walks a body by its statements instead, path by path,
and knows each variable by the arguments that it shares memory with. Functions of the program are followed, and so are
the stores of Triton kernels; what else is called is taken to write nothing and to return memory of its own.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from vllm_lint.analyzer.context import Frame
from vllm_lint.analyzer.findings import Edit, Span, Step
from vllm_lint.analyzer.index import FunctionInfo, ModuleInfo
from vllm_lint.analyzer.interpreter import Interpreter
from vllm_lint.analyzer.kernel_writes import FUNCTION_WRITES, KERNEL_WRITES
from vllm_lint.analyzer.memory_of import (
    COPY,
    MAYBE_VIEWS,
    NOTHING,
    VIEW_ATTRIBUTES,
    VIEWS,
    Memory,
    Paths,
    joined,
    stored_parameters,
    writes_in_place,
)
from vllm_lint.analyzer.operator_repairs import copy_of_result
from vllm_lint.analyzer.values import External, Function, Partial, Value, options

_MAX_DEPTH = 6
#: Calls followed for one operator; the largest of vLLM's take a few dozen.
_MAX_CALLS = 300
_KERNELS = ("torch.ops._C.", "torch.ops._moe_C.", "torch.ops._rocm_C.", "torch.ops._C_")
_NONE = Memory(own="None")


@dataclass(frozen=True)
class Write:
    """A statement that writes to an argument. `certain` is False where it may not, or the argument is not certain."""

    argument: str
    span: Span
    text: str
    certain: bool
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Returned:
    """One `return`, with each result by the memory that it is made of."""

    results: tuple[Memory, ...]
    span: Span
    copied: Edit | None = None
    """Has it return a copy, where it returns one name."""


@dataclass
class Body:
    """What was seen."""

    writes: list[Write] = field(default_factory=list)
    returns: list[Returned] = field(default_factory=list)


def walked(interpreter: Interpreter, function: Function) -> Body:
    """What `function` does to its parameters."""
    walker = _Walker(interpreter)
    arguments = function.info.node.args
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    if function.receiver is not None:
        names = names[1:]
    variables = {name: Memory(frozenset([name]), own=name) for name in names}
    walker.body.returns = list(walker.run(function, variables, ()))
    return walker.body


class _Walker:
    """Follows one operator."""

    def __init__(self, interpreter: Interpreter) -> None:
        self.body = Body()
        self.interpreter = interpreter
        self._calls = 0
        self._running: list[FunctionInfo] = []
        self.conditions = 0

    def run(self, function: Function, variables: dict[str, Memory], steps: tuple[Step, ...]) -> Iterator[Returned]:
        """Walk a function whose parameters are `variables`, and give what it returns."""
        info = function.info
        self._calls += 1
        if self._calls > _MAX_CALLS or len(self._running) >= _MAX_DEPTH or info in self._running:
            return iter(())
        self._running.append(info)
        activation = _Activation(self, function, steps)
        if isinstance(info.node, ast.Lambda):
            activation.returns.append(activation.returned(info.node.body, variables))
        else:
            activation.block(info.node.body, variables)
        self._running.pop()
        return iter(activation.returns)


class _Activation:
    """Walks one function once."""

    def __init__(self, walker: _Walker, function: Function, steps: tuple[Step, ...]) -> None:
        self._walker = walker
        self._interpreter = walker.interpreter
        self._module: ModuleInfo = function.info.module
        self._frame = Frame(function.info.module, {}, function.info, function.scope, function.receiver, function.owner)
        self._steps = steps
        self._depth = 0
        self.returns: list[Returned] = []

    # Statements

    def block(self, body: list[ast.stmt], variables: dict[str, Memory]) -> bool:
        """Walk statements; says whether what follows them is reached."""
        return all(self._statement(statement, variables) for statement in body)

    def _statement(self, node: ast.stmt, variables: dict[str, Memory]) -> bool:
        if isinstance(node, ast.Return):
            if node.value is not None:
                self.returns.append(self.returned(node.value, variables))
            return False
        if isinstance(node, (ast.Raise, ast.Break, ast.Continue)):
            return not isinstance(node, ast.Raise)
        if isinstance(node, (ast.If, ast.For, ast.While, ast.With, ast.Try)):
            return self._compound(node, variables)
        if isinstance(node, ast.Assign):
            value = self.value(node.value, variables)
            for target in node.targets:
                self._assign(target, value, variables)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            self._assign(node.target, self.value(node.value, variables), variables)
        elif isinstance(node, ast.AugAssign):
            self.value(node.value, variables)
            self._augmented(node, variables)
        elif isinstance(node, ast.Expr):
            self.value(node.value, variables)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            variables.pop(node.name, None)
        return True

    def _compound(self, node: ast.If | ast.For | ast.While | ast.With | ast.Try, variables: dict[str, Memory]) -> bool:
        if isinstance(node, ast.If):
            return self._if(node, variables)
        if isinstance(node, ast.With):
            for item in node.items:
                self.value(item.context_expr, variables)
            return self.block(node.body, variables)
        if isinstance(node, ast.Try):
            self._maybe([[*node.body, *node.orelse], *(h.body for h in node.handlers)], variables)
            return self.block(node.finalbody, variables)
        if isinstance(node, ast.For):
            self._assign(node.target, self.value(node.iter, variables).item(0), variables)
        self._maybe([node.body, node.orelse], variables)
        return True

    def _if(self, node: ast.If, variables: dict[str, Memory]) -> bool:
        truth = self._truth(node.test, variables)
        if truth is not None:
            return self.block(node.body if truth else node.orelse, variables)
        self.value(node.test, variables)
        paths = Paths()
        for body in (node.body, node.orelse):
            arm = dict(variables)
            self._depth += 1
            falls = self.block(body, arm)
            self._depth -= 1
            if falls:
                paths.ways.append(arm)
        merged = paths.merged()
        if merged is None:
            return False
        variables.clear()
        variables.update(merged)
        return True

    def _truth(self, node: ast.expr, variables: dict[str, Memory]) -> bool | None:
        """Of a test for None, the only one that tells whether an argument was passed."""
        if (
            isinstance(node, ast.Compare)
            and isinstance(node.left, ast.Name)
            and isinstance(node.comparators[0], ast.Constant)
            and node.comparators[0].value is None
            and variables.get(node.left.id) == _NONE
        ):
            return isinstance(node.ops[0], ast.Is)
        return None

    def _maybe(self, bodies: list[list[ast.stmt]], variables: dict[str, Memory]) -> None:
        """Walk what may run, or not, or several times."""
        paths = Paths([dict(variables)])
        for body in bodies:
            arm = dict(variables)
            self._depth += 1
            if self.block(body, arm):
                paths.ways.append(arm)
            self._depth -= 1
        merged = paths.merged() or {}
        variables.clear()
        variables.update(merged)

    def _assign(self, target: ast.expr, value: Memory, variables: dict[str, Memory]) -> None:
        if isinstance(target, ast.Name):
            variables[target.id] = value
        elif isinstance(target, (ast.Tuple, ast.List)):
            for index, element in enumerate(target.elts):
                self._assign(element, value.item(index), variables)
        elif isinstance(target, ast.Subscript):
            self._write(self.value(target.value, variables), target, "item assignment")

    def _augmented(self, node: ast.AugAssign, variables: dict[str, Memory]) -> None:
        if isinstance(node.target, ast.Subscript):
            self._write(self.value(node.target.value, variables), node, "item assignment")
        elif isinstance(node.target, ast.Name) and self._is_tensor(node.target.id, variables):
            self._write(variables.get(node.target.id, NOTHING), node, "augmented assignment")

    def _is_tensor(self, name: str, variables: dict[str, Memory]) -> bool:
        """Whether `+=` on a variable writes into a tensor: it does on a view, and on an argument that is one."""
        memory = variables.get(name, NOTHING)
        if not memory.whole:
            return True
        arguments = self._frame.info.node.args if self._frame.info is not None else None
        given = {a.arg: a.annotation for a in (*arguments.args, *arguments.kwonlyargs)} if arguments else {}
        annotation = given.get(name)
        return annotation is not None and ast.unparse(annotation).startswith(("torch.Tensor", "Tensor"))

    # Values

    def returned(self, node: ast.expr, variables: dict[str, Memory]) -> Returned:
        """What a `return` gives."""
        value = self.value(node, variables)
        parts = value.parts if value.parts is not None else (value,)
        return Returned(parts, self._module.source.span(node), copy_of_result(self._module, node))

    def value(self, node: ast.expr | None, variables: dict[str, Memory]) -> Memory:
        """The memory of an expression; what it calls may write to arguments."""
        if isinstance(node, ast.Name):
            return variables.get(node.id, NOTHING)
        if isinstance(node, ast.Constant):
            return _NONE if node.value is None else NOTHING
        if isinstance(node, (ast.Tuple, ast.List)):
            return Memory(parts=tuple(self.value(e, variables) for e in node.elts))
        if isinstance(node, ast.Call):
            return self._call(node, variables)
        if isinstance(node, ast.Attribute):
            value = self.value(node.value, variables)
            return value.view() if node.attr in VIEW_ATTRIBUTES else NOTHING
        if isinstance(node, ast.Subscript):
            value = self.value(node.value, variables)
            self.value(node.slice, variables)
            return self._subscript(value, node.slice)
        if isinstance(node, ast.IfExp):
            self.value(node.test, variables)
            return joined(self.value(node.body, variables), self.value(node.orelse, variables))
        if isinstance(node, ast.NamedExpr):
            value = self.value(node.value, variables)
            self._assign(node.target, value, variables)
            return value
        if isinstance(node, (ast.Lambda, ast.ListComp, ast.GeneratorExp, ast.DictComp, ast.SetComp)) or node is None:
            return NOTHING
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.value(child, variables)
        return NOTHING

    def _subscript(self, value: Memory, index: ast.expr) -> Memory:
        parts = index.elts if isinstance(index, ast.Tuple) else [index]
        if value.parts is not None:
            known = isinstance(index, ast.Constant) and isinstance(index.value, int)
            return value.item(index.value) if known else NOTHING  # type: ignore[attr-defined]
        if all(isinstance(p, (ast.Slice, ast.Constant)) or _is_number(p) for p in parts):
            return value.view()
        return value.maybe()  # indexed by a tensor it is a copy

    # Calls

    def _call(self, node: ast.Call, variables: dict[str, Memory]) -> Memory:
        args = [self.value(a.value if isinstance(a, ast.Starred) else a, variables) for a in node.args]
        kwargs = {k.arg: self.value(k.value, variables) for k in node.keywords if k.arg is not None}
        starred = any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords)
        function = node.func
        if isinstance(function, ast.Subscript):  # a Triton kernel with its grid
            self._launch(function.value, node, args, kwargs)
            return NOTHING
        if isinstance(function, ast.Attribute):
            receiver = self.value(function.value, variables)
            if receiver != NOTHING:
                return self._method(receiver, function.attr, node)
        callees = self._callees(function, variables)
        results = [self._called(c, node, args, kwargs) for c in callees if not starred or isinstance(c, External)]
        if not results:
            return NOTHING
        result = results[0]
        for other in results[1:]:
            result = joined(result, other)
        return result

    def _method(self, receiver: Memory, name: str, node: ast.Call) -> Memory:
        if writes_in_place(name):
            self._write(receiver, node, f"`{name}`")
            return receiver
        if name == "clone":
            return COPY
        if name in VIEWS:
            return receiver.view()
        return receiver.maybe() if name in MAYBE_VIEWS else NOTHING

    def _callees(self, node: ast.expr, variables: dict[str, Memory]) -> tuple[Value, ...]:
        """What may be called; a name that the body binds to what it computes is not known."""
        head = node
        while isinstance(head, ast.Attribute):
            head = head.value
        if not isinstance(head, ast.Name) or head.id in variables:
            return ()
        with self._interpreter.silently():
            return options(self._interpreter.evaluate(node, self._local_imports()))

    def _local_imports(self) -> Frame:
        """The frame with what the function imports itself."""
        if self._frame.variables or self._frame.info is None or isinstance(self._frame.info.node, ast.Lambda):
            return self._frame
        imports: list[ast.stmt] = [
            n for n in ast.walk(self._frame.info.node) if isinstance(n, (ast.Import, ast.ImportFrom))
        ]
        with self._interpreter.silently():
            self._interpreter.execute(imports, self._frame)
        return self._frame

    def _called(self, callee: Value, node: ast.Call, args: list[Memory], kwargs: dict[str, Memory]) -> Memory:
        if isinstance(callee, Function):
            return self._follow(callee, node, args, kwargs)
        if not isinstance(callee, External):
            return NOTHING
        name = callee.name
        short = name.rpartition(".")[2]
        table = KERNEL_WRITES if name.startswith(_KERNELS) else FUNCTION_WRITES
        for position, argument in table.get(short if table is KERNEL_WRITES else name, ()):
            given = kwargs.get(argument, args[position] if position < len(args) else NOTHING)
            self._write(given, node, f"`{short}`")
        if not name.startswith("torch."):
            return NOTHING
        if "out" in kwargs and kwargs["out"] != NOTHING:
            for part in kwargs["out"].parts or (kwargs["out"],):
                self._write(part, node, "`out=`")
            return kwargs["out"]
        first = args[0] if args else kwargs.get("input", NOTHING)
        if name.startswith(("torch.ops.", "torch.distributed.")):
            return NOTHING
        if writes_in_place(short):
            self._write(first, node, f"`{short}`")
            return first
        if short in VIEWS:
            return first.view()
        if short in MAYBE_VIEWS:
            return first.maybe()
        return Memory(own=node) if short.startswith(("empty", "zeros", "ones", "full", "rand")) else NOTHING

    def _follow(self, function: Function, node: ast.Call, args: list[Memory], kwargs: dict[str, Memory]) -> Memory:
        info = function.info
        arguments = info.node.args
        names = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
        if function.receiver is not None:
            names = names[1:]
        variables = dict(zip(names, args, strict=False)) | kwargs
        defaults = [*zip(names[::-1], arguments.defaults[::-1], strict=False)]
        defaults += [(a.arg, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d]
        for name, default in defaults:
            if name not in variables and isinstance(default, ast.Constant) and default.value is None:
                variables[name] = _NONE
        if all(m in (NOTHING, _NONE) for m in variables.values()):
            return NOTHING
        step = Step(self._module.source.span(node), f"calls `{info.name}`")
        walker = self._walker
        walker.conditions += self._depth
        returned = list(walker.run(function, variables, (*self._steps, step)))
        walker.conditions -= self._depth
        if not returned:
            return NOTHING
        values = [Memory(parts=r.results) if len(r.results) != 1 else r.results[0] for r in returned]
        result = values[0]
        for other in values[1:]:
            result = joined(result, other)
        return result

    def _launch(self, kernel: ast.expr, node: ast.Call, args: list[Memory], kwargs: dict[str, Memory]) -> None:
        """A launch of a Triton kernel: it writes to what its body stores to."""
        if isinstance(kernel, ast.Call) and kernel.args:  # `wrap_triton(kernel)[grid](...)`
            kernel = kernel.args[0]
        for value in self._callees(kernel, {}):
            function = value.arguments[0] if isinstance(value, Partial) and value.arguments else value
            if not isinstance(function, Function) or not isinstance(function.info.node, ast.FunctionDef):
                continue
            stored = stored_parameters(function.info.node)
            names = [a.arg for a in function.info.node.args.args]
            for name, given in (*zip(names, args, strict=False), *kwargs.items()):
                if name in stored:
                    self._write(given, node, f"the kernel `{function.info.name}`")

    def _write(self, memory: Memory, node: ast.expr | ast.stmt, how: str) -> None:
        certain = self._depth + self._walker.conditions == 0
        for argument in sorted(memory.certain | memory.possible):
            span = self._module.source.span(node)
            sure = certain and argument in memory.certain
            self._walker.body.writes.append(Write(argument, span, how, sure, self._steps))


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant)
