"""Writes the operator that a block becomes: its function, its fake implementation, its registration."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vllm_lint.analyzer.findings import Span
from vllm_lint.analyzer.index import FunctionInfo, ModuleInfo, index_module
from vllm_lint.analyzer.interpreter import Interpreter
from vllm_lint.analyzer.memory_of import Memory
from vllm_lint.analyzer.operator_bodies import Body, walked
from vllm_lint.analyzer.source import SourceFile
from vllm_lint.analyzer.values import Function
from vllm_lint.rewriter.arguments import TENSOR, Parameter, Refused, Taken
from vllm_lint.rewriter.blocks import Block
from vllm_lint.rewriter.dataflow import returns_in
from vllm_lint.rewriter.dtypes import Dtypes
from vllm_lint.rewriter.layers import Lookup
from vllm_lint.rewriter.layout import WIDTH, listed, moved
from vllm_lint.rewriter.results import Output

_LOOKUP = "    {} = get_forward_context().no_compile_layers[layer_name]"
_PLACEHOLDER = 'raise NotImplementedError("TODO: return empty tensors like the results")'
_CLONE = "clone(memory_format=torch.contiguous_format)"
_WHY = "Decide for each batch anew, outside of the compiled graph."


@dataclass(frozen=True)
class Draft:
    """An operator in the making. `names` are the variables that it binds, None if it returns for its caller."""

    name: str
    block: Block
    info: FunctionInfo
    taken: Taken
    names: tuple[str, ...] | None
    outputs: tuple[Output, ...]
    lookup: Lookup | None = None

    @property
    def module(self) -> ModuleInfo:
        """The module that it goes to."""
        return self.info.module

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What it takes; the name of the layer comes last."""
        if self.lookup is None:
            return self.taken.parameters
        given = f"{self.receiver}.{self.lookup.attribute}"
        return (*self.taken.parameters, Parameter("layer_name", "str", given))

    @property
    def receiver(self) -> str:
        """How the function calls the object that it is a method of."""
        arguments = self.info.node.args
        return next((a.arg for a in (*arguments.posonlyargs, *arguments.args)), "")

    @property
    def result_type(self) -> str:
        """The annotation of what it returns."""
        count = len(self.outputs)
        return "None" if not count else TENSOR if count == 1 else f"tuple[{', '.join([TENSOR] * count)}]"


@dataclass(frozen=True)
class Operator:
    """The text of an operator."""

    draft: Draft
    text: str
    """The function that does the work."""
    fake: str
    written: tuple[str, ...]
    """The arguments that it writes to."""
    complete: bool
    """Whether the fake implementation is there, and not only a placeholder."""

    @property
    def copies(self) -> bool:
        """Whether it clones a result."""
        return f".{_CLONE}" in self.text


def written_out(interpreter: Interpreter, draft: Draft) -> Operator:
    """The operator of a draft; what it would only hand back as it came in is left out of its results.

    Raises:
        Refused: it would do nothing that its caller sees, or what the schema cannot say.
    """
    text = _function(draft)
    node, body = _examined(interpreter, draft, text)
    if draft.names is not None and draft.names:
        (last,) = body.returns[-1:]
        kept = [i for i, m in enumerate(last.results) if not _is_argument(m, draft, i)]
        if len(kept) < len(draft.names):
            names = tuple(draft.names[i] for i in kept)
            return written_out(interpreter, replace(draft, names=names, outputs=tuple(draft.outputs[i] for i in kept)))
    tensors = {p.name for p in draft.parameters if TENSOR in p.type}
    written = sorted({w.argument for w in body.writes} & tensors)
    if not written and not draft.outputs:
        raise Refused("it returns nothing and writes to nothing, so that the compiler would drop it")
    dtypes = Dtypes(node, [p.name for p in draft.parameters if p.is_tensor], draft.taken.same_dtype)
    fakes = [_fake_result(draft, output, dtypes.result(i)) for i, output in enumerate(draft.outputs)]
    complete = all(fake is not None for fake in fakes)
    fake = "\n".join(
        [_head(draft, f"{draft.name}_fake"), _made([f for f in fakes if f is not None] if complete else None)]
    )
    return Operator(draft, _with_own_memory(draft, text, node, body), fake, tuple(written), complete)


def _made(results: Sequence[tuple[str, list[str]]] | None) -> str:
    """The last statement of a fake implementation: each result is a function with its arguments."""
    if results is None:
        return f"    {_PLACEHOLDER}"
    if not results:
        return "    return"
    if len(results) == 1:
        (function, arguments) = results[0]
        return listed(f"return {function}(", arguments, ")", "    ")
    calls = [f"{function}({', '.join(arguments)})" for function, arguments in results]
    line = f"    return {', '.join(calls)}"
    return line if len(line) <= WIDTH else listed("return (", calls, ")", "    ")


def _function(draft: Draft) -> str:
    source = draft.module.source
    lines = [_head(draft, draft.name), f'    """{_WHY}"""']
    if draft.lookup is not None:
        lines.append(_LOOKUP.format(draft.receiver))
    lines += [f"    {p.rebuilt}" for p in draft.parameters if p.rebuilt]
    lines.append(moved(source, draft.block.body, "    ", draft.taken.replaced))
    if draft.names:
        lines.append(f"    return {', '.join(draft.names)}")
    return "\n".join(lines)


def _head(draft: Draft, name: str) -> str:
    parameters = [f"{p.name}: {p.type}" for p in draft.parameters]
    return listed(f"def {name}(", parameters, f") -> {draft.result_type}:")


def _examined(interpreter: Interpreter, draft: Draft, text: str) -> tuple[ast.FunctionDef, Body]:
    """The syntax of the function in its module, and what it does to its arguments."""
    source = draft.module.source
    whole = SourceFile(source.path, source.name, f"{source.text}\n\n\n{text}\n", "")
    if whole.problem is not None:
        raise Refused("moving it would leave something that is not Python")
    module = index_module(draft.module.name, whole, is_package=draft.module.is_package)
    info = module.bindings[draft.name][-1]
    assert isinstance(info, FunctionInfo)
    assert isinstance(info.node, ast.FunctionDef)
    return info.node, walked(interpreter, Function(info))


def _is_argument(memory: Memory, draft: Draft, position: int) -> bool:
    """Whether a result is the argument of the same name, as it came in or written to."""
    assert draft.names is not None
    name = draft.names[position]
    return memory.whole and memory.own == name and memory.certain == {name}


def _with_own_memory(draft: Draft, text: str, node: ast.FunctionDef, body: Body) -> str:
    """The function with results that are contiguous, and memory of no argument and of no other result."""
    if not draft.outputs:
        return text
    found: dict[Span, list[bool]] = {}
    for returned in body.returns:
        seen: set[object] = set()
        shared = [bool(m.certain | m.possible) or (m.own is not None and m.own in seen) for m in returned.results]
        for memory in returned.results:
            seen.add(memory.own)
        known = found.get(returned.span, [])
        found[returned.span] = [a or b for a, b in zip(shared, known, strict=True)] if known else shared
    # The function stands at the end of the text that was examined, and the text is the same from its first line on.
    shift = node.lineno - 1
    lines = text.split("\n")
    alone = SourceFile(draft.module.source.path, draft.module.source.name, text, "")
    ends = returns_in(ast.parse(text).body[0].body)  # type: ignore[attr-defined]
    for statement in reversed(ends):
        if statement.value is None:
            raise Refused("it returns nothing on one path")
        span = alone.span(statement.value)
        shared = next((s for at, s in found.items() if at.line - shift == span.line and at.column == span.column), [])
        parts = statement.value.elts if isinstance(statement.value, ast.Tuple) else [statement.value]
        if len(parts) == 1 < len(draft.outputs):
            _replace(lines, alone, parts[0], f"tuple(part.{_CLONE} for part in {alone.segment(parts[0])})")
            continue
        for index, part in reversed(list(enumerate(parts))):
            copied = shared[index] if index < len(shared) else True
            _replace(lines, alone, part, _own(alone.segment(part), part, copied=copied))
        row = alone.span(statement).line - 1
        if len(lines[row]) > WIDTH:
            lines[row : row + 1] = _shortened(lines[row])
    return "\n".join(lines)


def _shortened(line: str) -> list[str]:
    """A `return` over several lines; one that goes on, or has a comment behind it, stays as it is."""
    indent, text = line[: len(line) - len(line.lstrip())], line.strip()
    try:
        (statement,) = ast.parse(text).body
    except SyntaxError:
        return [line]
    assert isinstance(statement, ast.Return)
    if statement.end_col_offset != len(text.encode()):
        return [line]
    if isinstance(statement.value, ast.Tuple):
        parts = [ast.get_source_segment(text, part) or "" for part in statement.value.elts]
        return listed("return (", parts, ")", indent).split("\n")
    head, dot, argument = text.removesuffix(")").rpartition("(")
    return listed(f"{head}{dot}", [argument], ")", indent).split("\n") if argument else [line]


def _own(text: str, node: ast.expr, *, copied: bool) -> str:
    copied = copied and not isinstance(node, (ast.BinOp, ast.UnaryOp, ast.Compare))  # what these compute is new
    is_plain = isinstance(node, (ast.Name, ast.Attribute, ast.Call, ast.Subscript))
    head = text if is_plain else f"({text})"
    return f"{head}.{_CLONE}" if copied else f"{head}.contiguous()"


def _replace(lines: list[str], source: SourceFile, node: ast.expr, text: str) -> None:
    span = source.span(node)
    new = text.split("\n")
    head, tail = lines[span.line - 1][: span.column - 1], lines[span.end_line - 1][span.end_column - 1 :]
    new[0] = head + new[0]
    new[-1] += tail
    lines[span.line - 1 : span.end_line] = new


def _fake_result(draft: Draft, output: Output, dtype: str | None) -> tuple[str, list[str]] | None:
    tensors = [p.name for p in draft.parameters if p.is_tensor]
    if output.shape is None or dtype is None or dtype == "number" or not tensors:
        return None
    like = dtype.removesuffix(".dtype")
    of_shape = re.match(r"(\w+)\.shape$", output.shape)
    if like not in tensors:
        like = of_shape[1] if of_shape else tensors[0]
    extra = [] if dtype == f"{like}.dtype" else [f"dtype={dtype}"]
    extra += ['device="cpu"'] if output.on_host else []
    return f"{like}.new_empty", [output.shape, *extra]


def name_for(info: FunctionInfo, taken: Sequence[str]) -> str:
    """A name for an operator made of a part of a function, that nothing in its file has yet."""
    parts = info.qualified_name.removeprefix(f"{info.module.name}.").replace("<locals>.", "").split(".")
    stem = info.module.name.rpartition(".")[2]
    words = "_".join(_snake(part) for part in parts)
    if not words.replace("_", "").startswith(stem.replace("_", "")):
        words = f"{stem}_{words}"
    wanted = re.sub(r"\W", "_", words)
    name, count = wanted, 2
    while name in taken or f"{name}_fake" in taken:
        name, count = f"{wanted}_{count}", count + 1
    return name


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower().strip("_")
