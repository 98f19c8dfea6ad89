"""Remembers the facts of files between runs, and knows whether they still hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from vllm_lint.analyzer.cache import Cache, code_stamp, make_key
from vllm_lint.analyzer.discovery import display_name
from vllm_lint.analyzer.facts import FileFacts
from vllm_lint.analyzer.project import Project
from vllm_lint.analyzer.questions import Answers, Disk
from vllm_lint.analyzer.rule import Rule

if TYPE_CHECKING:
    from vllm_lint.analyzer.engine import Settings

_NAMESPACE = "vllm_lint."


class Memory:
    """What a cache holds for one run: facts by path and text of a file, each with what they depend on."""

    def __init__(
        self, cache: Cache, settings: Settings, rules: Sequence[type[Rule]], files: Sequence[Path], project: Project
    ) -> None:
        self._cache = cache
        self._settings = settings
        self._files = files
        self._project = project
        self._answers = Answers(project, project.disk, settings.base)
        self._run = make_key(
            code_stamp(sorted({_package(rule) for rule in rules} | {_package(Memory)})),
            *(rule.meta.code for rule in rules),
            "roots",
            *(project.display(root) for root in project.roots),
            "installed",
            *(project.display(root) for root in project.installed.values()),
        )

    @staticmethod
    def can_serve(settings: Settings, rules: Iterable[type[Rule]]) -> bool:
        """Whether all that the facts of a run depend on is in files: neither in stdin nor in rules from elsewhere."""
        return settings.stdin is None and all(rule.__module__.startswith(_NAMESPACE) for rule in rules)

    @staticmethod
    def disk(cache: Cache, settings: Settings) -> Disk:
        """What the last run with these settings read."""
        return Disk(cache.get("files", _table(settings)))

    def recall(self, path: Path) -> FileFacts | None:
        """The facts of the file at `path` if all that they depend on is as it was."""
        data = self._cache.get("facts", self._key(path, self._project.disk.digest(str(path))))
        if data is None:
            return None
        try:
            facts = msgspec.msgpack.decode(data, type=FileFacts)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        return facts if self._answers.digest(facts.questions) == facts.answers else None

    def keep(self, facts: FileFacts) -> None:
        """Remember `facts`, unless something went wrong on the way to them."""
        if facts.digest and not facts.errors:
            path = self._settings.base / facts.path
            self._cache.put("facts", self._key(path, facts.digest), msgspec.msgpack.encode(facts))

    def keep_disk(self) -> None:
        """Remember what files were found to hold."""
        if self._project.disk.is_changed:
            self._cache.put("files", _table(self._settings), self._project.disk.packed())

    def _key(self, path: Path, digest: str) -> str:
        name = display_name(path, self._settings.base)
        declared = [r for r in self._settings.roots if self._project.home(r, self._files) == path]
        return make_key(self._run, name, digest, *declared)


def _package(thing: type) -> str:
    """The package of ours that a class is defined in: `vllm_lint.rules` for a rule."""
    return ".".join(thing.__module__.split(".")[:2])


def _table(settings: Settings) -> str:
    # Facts name files relative to the base, so a cache may move with them; what the disk looked like stays behind.
    return make_key(str(settings.base), *map(str, settings.paths))
