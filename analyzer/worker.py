"""Examines files in one process: reads them, finds their compiled roots and interprets these."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vllm_lint.analyzer import roots
from vllm_lint.analyzer.discovery import display_name
from vllm_lint.analyzer.events import Event, FileProblem, InputsCombined, UnresolvedRoot
from vllm_lint.analyzer.facts import FileFacts, RootReport
from vllm_lint.analyzer.findings import Root, Span, ToolError
from vllm_lint.analyzer.index import FunctionInfo
from vllm_lint.analyzer.interpreter import Interpreter
from vllm_lint.analyzer.judge import Judge
from vllm_lint.analyzer.project import Project
from vllm_lint.analyzer.questions import digest_of_answers
from vllm_lint.analyzer.rule import Rule
from vllm_lint.analyzer.source import SourceFile, read_source
from vllm_lint.analyzer.suppressions import worth_a_look

if TYPE_CHECKING:
    from vllm_lint.analyzer.engine import Settings

#: The interpreter recurses about a dozen Python frames for each call that it follows.
_RECURSION_LIMIT = 20_000


class Worker:
    """Examines files. What is learnt about the program is shared between them, but each file's facts say all that its
    own roots reach and all that this depends on, so that they hold until one of these things changes.
    """

    def __init__(
        self, settings: Settings, rules: Sequence[type[Rule]], paths: Sequence[Path], project: Project
    ) -> None:
        self._settings = settings
        self._rules = rules
        self._paths = paths
        self._judge = Judge(rules)
        self._root: Root | None = None
        self._declaration: Span | None = None
        self._project = project
        self._interpreter = Interpreter(project)
        if sys.getrecursionlimit() < _RECURSION_LIMIT:
            sys.setrecursionlimit(_RECURSION_LIMIT)

    def _hear(self, event: Event) -> None:
        if isinstance(event, InputsCombined):
            event = replace(event, declaration=self._declaration)
        self._judge.add(event, self._root)

    def examine(self, files: Sequence[tuple[Path, bytes | None]]) -> list[FileFacts]:
        """Examine each of `files`, a path with the text in its place where that is not on disk."""
        facts: dict[Path, FileFacts] = {}
        sources: dict[Path, SourceFile | FileProblem] = {}
        for path, data in files:
            facts[path] = FileFacts(path=display_name(path, self._settings.base), data=data)
            sources[path] = source = read_source(path, facts[path].path, data)
            if isinstance(source, SourceFile):
                facts[path].digest = source.digest
                self._project.add_source(path, source)
        for path, source in sources.items():
            self._judge = Judge(self._rules)
            self._root = None
            self._project.touched = 0
            problem = source if isinstance(source, FileProblem) else source.problem
            if problem is not None:
                facts[path].unreadable = problem.reason
                self._hear(problem)
            elif isinstance(source, SourceFile):
                facts[path].has_suppressions = worth_a_look(source.text)
                self._examine_roots(facts[path], path)
            self._examine_declared(facts[path], path)
            facts[path].findings = self._judge.findings()
            facts[path].errors += sorted(self._judge.errors, key=lambda e: e.message)
            questions = self._project.questions(self._project.touched)
            facts[path].questions = tuple(questions)
            facts[path].answers = digest_of_answers(questions.values())
        return list(facts.values())

    def _examine_roots(self, fact: FileFacts, path: Path) -> None:
        module = self._project.module_at(path)
        if module is None:
            return
        for compiled in roots.find_roots(self._interpreter, module):
            self._enter(fact, compiled)

    def _examine_declared(self, fact: FileFacts, path: Path) -> None:
        """Roots that the settings declare and this file defines; one that no file defines falls to the first file."""
        for name in self._settings.roots:
            if path != self._project.home(name, self._paths):
                continue
            compiled = roots.find_declared(self._interpreter, name)
            if isinstance(compiled, UnresolvedRoot):
                self._root = None
                self._hear(compiled)
            else:
                self._enter(fact, compiled)

    def _enter(self, fact: FileFacts, compiled: roots.CompiledRoot) -> None:
        self._root = compiled.root
        self._declaration = compiled.event.span if compiled.event is not None else None
        if compiled.event is not None:
            self._hear(compiled.event)
        try:
            roots.enter(self._interpreter, compiled)
        except RecursionError:
            fact.errors.append(ToolError(f"gave up on {compiled.root.name}: it nests too deeply", path=fact.path))
        recording = self._interpreter.recording
        for event in recording.told():
            self._hear(event)
        functions = list(self._interpreter.function_bits.things(recording.functions))
        fact.reached |= {f.module.source.name for f in functions if isinstance(f, FunctionInfo)}
        unresolved = tuple(sorted(map(str, self._interpreter.unresolved_bits.things(recording.unresolved))))
        fact.roots.append(RootReport(compiled.root, compiled.dynamic, len(functions), unresolved))
