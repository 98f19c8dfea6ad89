"""Offers to move what a finding is about into a custom operator, into which Dynamo does not look."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vllm_lint.analyzer import roots
from vllm_lint.analyzer.context import Frame
from vllm_lint.analyzer.findings import Edit, Finding, Fix, Root, Span
from vllm_lint.analyzer.index import Import, ModuleInfo
from vllm_lint.analyzer.project import Project
from vllm_lint.analyzer.roots import CompiledRoot
from vllm_lint.rewriter.arguments import Refused, attributes_used, taken_by
from vllm_lint.rewriter.blocks import Block, blocks_at, function_at
from vllm_lint.rewriter.dataflow import Liveness, bound_in, escapes, locals_of
from vllm_lint.rewriter.imports import import_edits
from vllm_lint.rewriter.layers import lookup_of, refuse_attention
from vllm_lint.rewriter.layout import listed
from vllm_lint.rewriter.observing import Observer, Seen
from vllm_lint.rewriter.operators import Draft, Operator, name_for, written_out
from vllm_lint.rewriter.results import outputs_of

#: Rules that flag code which may run where it is not traced. Others flag declarations, or what a replay does not run.
WRAPPABLE = frozenset(
    """
    VL101 VL102 VL105 VL106 VL107 VL108 VL109 VL110 VL111 VL112 VL114 VL115
    VL201 VL202 VL203 VL204 VL207 VL208 VL209 VL603
    """.split()  # noqa: SIM905 - easier to read like this
)

#: Blocks that are tried for one finding; what comes later is far larger than what the finding is about.
_MAX_TRIES = 40


@dataclass(frozen=True)
class Wrapping:
    """A wrapper as a fix. `incomplete` says that the fake implementation is left to write."""

    fix: Fix
    operator: str
    incomplete: bool
    trade_offs: tuple[str, ...]
    """What speaks against it."""


class Wrapper:
    """Finds wrappers for findings of one check. Roots are interpreted when a finding of theirs is first asked about."""

    def __init__(self, project: Project, base: Path, findings: Iterable[Finding], declared: Sequence[str] = ()) -> None:
        """`base` is what findings name paths relative to; `declared` are roots that the settings declare."""
        self._project = project
        self._base = base
        self._declared = declared
        self._findings = [f for f in findings if f.code in WRAPPABLE and f.root is not None]
        self._observer = Observer(project)
        self._seen: dict[Root, Seen | None] = {}

    def wrapped(self, finding: Finding) -> Wrapping | str:
        """The wrapper for a finding, or why there is none."""
        if finding.code not in WRAPPABLE or finding.root is None:
            return f"a custom operator does not help against {finding.name}"
        if not self._turn_to(finding.root):
            return "the compiled root that reaches it is not found again"
        reason = ""
        partial: Wrapping | None = None
        tried = 0
        for module, span in self._places(finding):
            for block, frames in self._blocks(module, span):
                tried += 1
                if tried > _MAX_TRIES:
                    break
                try:
                    found = self._attempt(block, frames)
                except Refused as refused:
                    reason = reason or str(refused)
                    continue
                if not found.incomplete:
                    return found
                partial = partial or found
        return partial or reason or "the statement cannot be moved as it stands"

    def _turn_to(self, root: Root) -> bool:
        """Have the observer know what it sees under `root`; says whether there is such a root."""
        if root not in self._seen:
            seen = Seen()
            self._observer.turn_to(seen)
            for finding in self._findings:
                if finding.root == root:
                    for module, span in self._places(finding):
                        node = function_at(module.source, span)
                        if node is not None:
                            self._observer.watch(node)
            self._seen[root] = seen if self._observer.enter(root, self._roots(root)) else None
        known = self._seen[root]
        if known is None:
            return False
        self._observer.turn_to(known)
        return True

    def _roots(self, root: Root) -> Iterator[CompiledRoot]:
        module = self._project.module_at(self._path(root.path))
        found = list(roots.find_roots(self._observer, module)) if module is not None else []
        found += [roots.find_declared(self._observer, name) for name in self._declared]
        return (each for each in found if isinstance(each, CompiledRoot))

    def _path(self, name: str) -> Path:
        return Path(os.path.normpath(self._base / name))

    def _places(self, finding: Finding) -> Iterator[tuple[ModuleInfo, Span]]:
        """Where the construct stands, then the calls that led there, the innermost first: each in another function."""
        seen: set[int] = set()
        calls = [step.span for step in reversed(finding.steps) if step.message.startswith(("calls", "passed"))]
        for span in (finding.span, *calls):
            module = self._project.module_at(self._path(span.path))
            if module is None or not self._project.is_checked(module):
                continue
            node = function_at(module.source, span)
            if node is not None and id(node) not in seen:
                seen.add(id(node))
                yield module, span

    def _blocks(self, module: ModuleInfo, span: Span) -> Iterator[tuple[Block, list[Frame]]]:
        node = function_at(module.source, span)
        assert node is not None
        frames = self._observer.frames(node.body[0])
        if frames and frames[0].info is not None:
            for block in blocks_at(module.source, frames[0].info, span):
                seen = self._observer.frames(block.body[0])
                if seen:
                    yield block, seen

    def _attempt(self, block: Block, frames: list[Frame]) -> Wrapping:
        observer = self._observer
        info = frames[0].info
        assert info is not None
        if reason := escapes(block.body):
            raise Refused(reason)
        live = Liveness(info.node).after(block.body[-1])
        names = None if block.returns else tuple(sorted(bound_in(block.body) & live))
        used = Liveness.before(block.body, frozenset(names or ()))
        taken = taken_by(observer, info, frames, block.body, used & _around(frames[0]))
        module = info.module
        lookup = None
        if taken.looks_up:
            if not _is_of_vllm(module):
                raise Refused("it uses `self` for more than numbers and tensors, and an operator takes nothing else")
            if frames[0].owner is None or frames[0].owner.module is not module:
                raise Refused("the class of `self` is not in this file")
            _refuse_writes(block.body, info.node.args.args[0].arg)
            refuse_attention(self._project, attributes_used(observer, info, frames, block.body))
            lookup = lookup_of(frames[0].owner)
        outputs = outputs_of(observer, frames, block.body, taken, names)
        name = name_for(info, re.findall(r"\w+", module.source.text))
        draft = Draft(name, block, info, taken, names, tuple(outputs), lookup)
        return _wrapping(self._project, written_out(observer, draft))


def _around(frame: Frame) -> frozenset[str]:
    """The names that are local to the function of a frame, or to one around it."""
    assert frame.info is not None
    found = set(locals_of(frame.info.node))
    scope = frame.scope
    while scope is not None:
        found.update(scope.variables)
        scope = scope.parent
    return frozenset(found)


def _refuse_writes(body: list[ast.stmt], receiver: str) -> None:
    """Whoever looks up its layer must not write to it by items: compiled code would not see that."""
    for node in (n for s in body for n in ast.walk(s)):
        if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            text = ast.unparse(node.value)
            if text.startswith(f"{receiver}."):
                raise Refused(f"it writes to `{text}`, which compiled code would not see")


def _is_of_vllm(module: ModuleInfo) -> bool:
    """Whether code imports vLLM, or is a part of it."""
    imports = (b for several in module.bindings.values() for b in several if isinstance(b, Import))
    return module.name.startswith("vllm.") or any(i.module.partition(".")[0] == "vllm" for i in imports)


def _wrapping(project: Project, operator: Operator) -> Wrapping:
    draft = operator.draft
    module, source = draft.module, draft.module.source
    wanted = [Import("torch", None)]
    in_vllm = _is_of_vllm(module)
    namespace = "vllm" if in_vllm else re.sub(r"\W", "_", module.name.partition(".")[0])
    if in_vllm:
        home = "vllm.utils.torch_utils"
        older = project.module(home) is None and project.module("vllm.utils") is not None
        wanted.append(Import("vllm.utils" if older else home, "direct_register_custom_op"))
    if draft.lookup is not None:
        wanted.append(Import("vllm.forward_context", "get_forward_context"))
        if draft.lookup.edits:
            wanted.append(Import("vllm.config", "get_current_vllm_config"))
    first, last = source.span(draft.block.body[0]), source.span(draft.block.body[-1])
    site = Span(source.name, first.line, first.column, last.end_line, last.end_column)
    edits = [
        *import_edits(module, wanted),
        _defined(operator, namespace, in_vllm=in_vllm),
        *(draft.lookup.edits if draft.lookup is not None else ()),
        Edit(site, _call(draft, source.lines[first.line - 1][: first.column - 1], in_vllm=in_vllm)),
    ]
    title = f"move it into a custom operator `{namespace}::{draft.name}`"
    if not operator.complete:
        title += ", whose fake implementation is left to write"
    fix = Fix(title, "unsafe", tuple(edits))
    costs = tuple(_trade_offs(operator, in_vllm=in_vllm))
    return Wrapping(fix, f"{namespace}::{draft.name}", not operator.complete, costs)


def _trade_offs(operator: Operator, *, in_vllm: bool) -> Iterator[str]:
    yield "the compiler does not look inside: it fuses nothing across the operator"
    yield (
        "its Python runs while a CUDA graph is recorded, and not when that is replayed: so it decides once for each "
        "captured size, unless `splitting_ops` of the compilation config names it"
    )
    if operator.copies:
        yield "what may be memory of an argument is copied, since results of operators must not be"
    if operator.draft.lookup is not None:
        yield (
            "it looks its layer up by name, as vLLM's attention does: the graph does not see the weights, and layers "
            "no longer share one compiled graph, since the name is a constant in it"
        )
    if not in_vllm:
        yield "each call goes through the checks of `torch.library.custom_op`, which cost microseconds"
    if not operator.complete:
        yield "its fake implementation is left to write, and capturing the model fails until then"


def _call(draft: Draft, indent: str, *, in_vllm: bool) -> str:
    function = f"torch.ops.vllm.{draft.name}" if in_vllm else draft.name
    head = "return " if draft.names is None else f"{', '.join(draft.names)} = " if draft.names else ""
    text = listed(f"{head}{function}(", [p.given for p in draft.parameters], ")", indent)
    return text.removeprefix(indent)


def _defined(operator: Operator, namespace: str, *, in_vllm: bool) -> Edit:
    """The definitions, in front of the class or function that calls the operator."""
    draft, name = operator.draft, operator.draft.name
    source = draft.module.source
    if in_vllm:
        written = [f'"{argument}"' for argument in operator.written]
        arguments = [f'op_name="{name}"', f"op_func={name}", f"mutates_args=[{', '.join(written)}]"]
        registered = listed("direct_register_custom_op(", [*arguments, f"fake_impl={name}_fake"], ")")
        text = f"{operator.text}\n\n\n{operator.fake}\n\n\n{registered}"
    else:
        written = [f'"{argument}"' for argument in operator.written]
        mutates = f"({', '.join(written)}{',' * (len(written) == 1)})"
        head = listed("@torch.library.custom_op(", [f'"{namespace}::{name}"', f"mutates_args={mutates}"], ")")
        text = f"{head}\n{operator.text}\n\n\n@{name}.register_fake\n{operator.fake}"
    line = _top(draft.module, draft.block.body[0])
    while line > 1 and source.lines[line - 2].startswith("#"):
        line -= 1
    return Edit(Span(source.name, line, 1, line, 1), f"{text}\n\n\n")


def _top(module: ModuleInfo, inner: ast.stmt) -> int:
    """The first line of the definition at the top level that `inner` stands in, with its decorators."""
    (top,) = [n for n in module.source.tree.body if n.lineno <= inner.lineno <= (n.end_lineno or n.lineno)][:1]
    decorators: list[ast.expr] = getattr(top, "decorator_list", [])
    return min([top.lineno, *(d.lineno for d in decorators)])
