"""What variables hold where a statement begins, seen while the compiled root around it is interpreted once more."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field

from vllm_lint.analyzer import roots
from vllm_lint.analyzer.context import Frame
from vllm_lint.analyzer.findings import Root
from vllm_lint.analyzer.index import FunctionNode
from vllm_lint.analyzer.interpreter import Interpreter
from vllm_lint.analyzer.project import Project
from vllm_lint.analyzer.worlds import World

#: Different states in which a function is entered; a layer that all models share has more.
_MAX_FRAMES = 24


@dataclass
class Seen:
    """What is seen under one root: in which world, in which suites, and for each statement the frames it began in."""

    world: World = field(default_factory=World)
    watched: set[int] = field(default_factory=set)
    frames: dict[int, list[Frame]] = field(default_factory=dict)


class Observer(Interpreter):
    """Interprets roots, and keeps the frames in which statements of some functions begin.

    One observer serves a program: what roots share was worked out by whoever interpreted the first of them.
    """

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self._seen = Seen()

    def turn_to(self, seen: Seen) -> None:
        """Go on under another root."""
        self._seen, self.world = seen, seen.world

    def watch(self, node: FunctionNode) -> None:
        """Keep what is seen in the body of `node` from now on."""
        for inner in ast.walk(node):
            for name in ("body", "orelse", "finalbody"):
                suite = getattr(inner, name, None)
                if isinstance(suite, list):
                    self._seen.watched.add(id(suite))

    def enter(self, root: Root, module_path_roots: Iterable[roots.CompiledRoot]) -> bool:
        """Interpret `root`; says whether there is one."""
        for compiled in module_path_roots:
            if compiled.root == root:
                roots.enter(self, compiled)
                return True
        return False

    def frames(self, statement: ast.stmt) -> list[Frame]:
        """The frames in which `statement` began."""
        return self._seen.frames.get(id(statement), [])

    def execute(self, body: list[ast.stmt], frame: Frame) -> bool:
        """Run statements, watched ones one by one."""
        if self.quiet or id(body) not in self._seen.watched:
            return super().execute(body, frame)
        for statement in body:
            seen = self._seen.frames.setdefault(id(statement), [])
            if len(seen) < _MAX_FRAMES:
                seen.append(frame.fork())
            if not super().execute([statement], frame):
                return False
        return True
