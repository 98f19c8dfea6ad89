"""Examines files in one process: reads them, finds their compiled roots and interprets these."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vllm_lint.analyzer import decisions, declarations, roots
from vllm_lint.analyzer.discovery import display_name
from vllm_lint.analyzer.events import Event, FileProblem, InputsCombined, UnresolvedRoot
from vllm_lint.analyzer.facts import FileFacts, RootReport
from vllm_lint.analyzer.findings import Root, ToolError
from vllm_lint.analyzer.index import FunctionInfo
from vllm_lint.analyzer.interpreter import Interpreter
from vllm_lint.analyzer.judge import Judge
from vllm_lint.analyzer.profile import spent_on
from vllm_lint.analyzer.project import Project
from vllm_lint.analyzer.questions import digest_of_answers
from vllm_lint.analyzer.root_repairs import with_shape_id
from vllm_lint.analyzer.rule import Rule
from vllm_lint.analyzer.source import SourceFile, read_source
from vllm_lint.analyzer.suppressions import worth_a_look
from vllm_lint.analyzer.worlds import World

if TYPE_CHECKING:
    from vllm_lint.analyzer.engine import Settings

#: The interpreter recurses about a dozen Python frames for each call that it follows.
_RECURSION_LIMIT = 20_000


class Worker:
    """Examines files, each as if it were the only one: its facts hold until something that they depend on changes.

    What the files of the program say is read and parsed once for all of them.
    """

    def __init__(
        self, settings: Settings, rules: Sequence[type[Rule]], paths: Sequence[Path], project: Project
    ) -> None:
        self._settings = settings
        self._rules = rules
        self._paths = paths
        self._project = project
        self._interpreter = Interpreter(project)
        self._judge: Judge
        self._root: Root | None = None
        self._compiled: roots.CompiledRoot | None = None
        self._read: dict[Path, tuple[FileFacts, SourceFile | FileProblem]] = {}
        if sys.getrecursionlimit() < _RECURSION_LIMIT:
            sys.setrecursionlimit(_RECURSION_LIMIT)

    def _hear(self, event: Event) -> None:
        if isinstance(event, InputsCombined):
            event = self._with_declaration(event)
        self._judge.add(event, self._root)

    def read(self, files: Sequence[tuple[Path, bytes | None]]) -> None:
        """Read `files`, each a path with the text in its place where that is not on disk."""
        for path, data in files:
            facts = FileFacts(path=display_name(path, self._settings.base), data=data)
            source = read_source(path, facts.path, data)
            if isinstance(source, SourceFile):
                facts.digest = source.digest
                self._project.add_source(path, source)
            self._read[path] = (facts, source)

    def may_have_roots(self, path: Path) -> bool:
        """Whether the text of a file that was read speaks of compiling."""
        source = self._read[path][1]
        return isinstance(source, SourceFile) and "support_torch_compile" in source.text

    def examine(self, paths: Sequence[Path]) -> list[FileFacts]:
        """Examine files that were read."""
        return [self._examine(path, *self._read[path]) for path in paths]

    def _examine(self, path: Path, facts: FileFacts, source: SourceFile | FileProblem) -> FileFacts:
        self._judge = Judge(self._rules, self._settings.profile)
        self._root = None
        self._project.shared.touched = 0
        self._interpreter.world = World()  # what its roots assign to objects is for no other file to see
        with spent_on(self._settings.profile, "stage", "parse"):
            problem = source if isinstance(source, FileProblem) else source.problem
        if problem is not None:
            facts.unreadable = problem.reason
            self._hear(problem)
        elif isinstance(source, SourceFile):
            facts.has_suppressions = worth_a_look(source.text)
            with spent_on(self._settings.profile, "stage", "find compiled roots"):
                self._examine_roots(facts, path)
            with spent_on(self._settings.profile, "stage", "declarations outside of compiled code"):
                self._examine_declarations(facts, path, source.text)
        self._examine_declared(facts, path)
        facts.findings = self._judge.findings()
        facts.errors += sorted(self._judge.errors, key=lambda e: e.message)
        questions = self._project.shared.questions(self._project.shared.touched)
        facts.questions = tuple(questions)
        facts.answers = digest_of_answers(questions.values())
        return facts

    def _examine_roots(self, fact: FileFacts, path: Path) -> None:
        module = self._project.module_at(path)
        if module is None:
            return
        for compiled in roots.find_roots(self._interpreter, module):
            self._take(fact, compiled)

    def _with_declaration(self, event: InputsCombined) -> InputsCombined:
        """With the decorator of the root that it was seen in, and how that could be changed."""
        compiled = self._compiled
        if compiled is None or compiled.event is None:
            return event
        owner = compiled.owner
        shared = () if owner is None else with_shape_id(owner.module, compiled.event, event.inputs)
        return replace(event, declaration=compiled.event.span, shared=shared)

    def _examine_declarations(self, fact: FileFacts, path: Path, text: str) -> None:
        """What the file declares outside its roots."""
        surveys = declarations.surveys_of(text, self._judge.hears)
        module = self._project.module_at(path) if surveys else None
        if module is None:
            return
        self._root = None
        self._interpreter.world = World()
        for survey in surveys:
            try:
                for event in survey.look(self._interpreter, module):
                    self._hear(event)
            except RecursionError:
                message = "gave up on what it declares outside compiled code: it nests too deeply"
                fact.errors.append(ToolError(message, path=fact.path))

    def _examine_declared(self, fact: FileFacts, path: Path) -> None:
        """Roots that the settings declare and this file defines; one that no file defines falls to the first file."""
        for name in self._settings.roots:
            if path != self._project.home(name, self._paths):
                continue
            self._take(fact, roots.find_declared(self._interpreter, name))

    def _take(self, fact: FileFacts, compiled: roots.CompiledRoot | UnresolvedRoot) -> None:
        if isinstance(compiled, UnresolvedRoot):
            self._root = None
            self._hear(compiled)
        else:
            self._enter(fact, compiled)

    def _enter(self, fact: FileFacts, compiled: roots.CompiledRoot) -> None:
        self._root = compiled.root
        self._compiled = compiled
        if compiled.event is not None:
            self._hear(compiled.event)
        try:
            with spent_on(self._settings.profile, "root", compiled.root.name):
                roots.enter(self._interpreter, compiled)
        except RecursionError:
            fact.errors.append(ToolError(f"gave up on {compiled.root.name}: it nests too deeply", path=fact.path))
        recording = self._interpreter.recording
        for event in decisions.without_decided(recording.told()):
            self._hear(event)
        functions = list(self._interpreter.function_bits.things(recording.functions))
        fact.reached |= {f.module.source.name for f in functions if isinstance(f, FunctionInfo)}
        unresolved = tuple(sorted(map(str, self._interpreter.unresolved_bits.things(recording.unresolved))))
        fact.roots.append(RootReport(compiled.root, compiled.dynamic, len(functions), unresolved))
