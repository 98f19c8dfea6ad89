"""Runs an analysis: files in, findings out."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vllm_lint.analyzer import discovery
from vllm_lint.analyzer.cache import Cache
from vllm_lint.analyzer.facts import FileFacts, RootReport
from vllm_lint.analyzer.findings import Finding, Promise, ToolError
from vllm_lint.analyzer.judge import Judge
from vllm_lint.analyzer.memory import Memory
from vllm_lint.analyzer.profile import Profile, spent_on
from vllm_lint.analyzer.project import Project
from vllm_lint.analyzer.questions import Disk
from vllm_lint.analyzer.rule import Rule
from vllm_lint.analyzer.source import SourceFile, read_source
from vllm_lint.analyzer.suppressions import Suppressions, parse_suppressions

if TYPE_CHECKING:
    from vllm_lint.analyzer.worker import Worker


@dataclass(frozen=True)
class Settings:
    """What to check and how. Paths are resolved against `base`, and findings name paths relative to it."""

    paths: tuple[Path, ...]
    base: Path = field(default_factory=Path.cwd)
    exclude: tuple[str, ...] = ()
    """gitignore-style patterns, on top of .gitignore files."""
    exclude_base: Path | None = None
    """Folder that these patterns are relative to; None for `base`."""
    force_exclude: bool = False
    """Whether `exclude` also holds for files and folders that `paths` names."""
    source_roots: tuple[Path, ...] = ()
    """Folders in which imports are looked up, besides those that the paths themselves lie in."""
    search_installed: bool = True
    """Whether to read installed packages (vllm) that the checked files import."""
    roots: tuple[str, ...] = ()
    """User-declared compiled roots, `package.module:Class` or `package.module:function`."""
    stdin: tuple[str, bytes] | None = None
    """A file name and the text to check in its place; `paths` need not name it."""
    cache_dir: Path | None = None
    """Where facts are kept between runs; None for no cache."""
    jobs: int = 0
    """Worker processes; 0 chooses by the number of processors and the work."""
    profile: Profile | None = None
    """Takes what the time is spent on; in one process, whatever `jobs` says."""


@dataclass(frozen=True)
class FileReport:
    """What became of one file."""

    path: str
    status: Literal["root", "reached", "not reached", "excluded", "unreadable"]
    reason: str
    digest: str = ""
    """Names the bytes that were checked; empty if there were none to be had."""


@dataclass(frozen=True)
class CheckResult:
    """Everything a run produced, in source order."""

    findings: tuple[Finding, ...]
    errors: tuple[ToolError, ...]
    files: tuple[FileReport, ...]
    roots: tuple[RootReport, ...]
    suppressed: int
    """Findings silenced by a comment."""


#: Fewer files than this are checked in one process: starting others takes about as long.
_FILES_PER_JOB = 24
#: What these files reach is parsed before the processes part: the layers that all models share.
_FILES_BEFORE_FORK = 2


def check(settings: Settings, rules: Sequence[type[Rule]]) -> CheckResult:
    """Check `settings.paths` with `rules`.

    Raises:
        FileNotFoundError: one of the paths does not exist.
    """
    with spent_on(settings.profile, "stage", "find files"):
        found = discovery.discover(settings)
    files: list[tuple[Path, bytes | None]] = [(path, None) for path in found.files]
    if settings.stdin is not None:
        name, data = settings.stdin
        files.append((Path(os.path.normpath(settings.base / name)), data))
    judge = Judge(rules, settings.profile)
    for problem in found.problems:
        judge.add(problem, None)
    with closing(Cache(settings.cache_dir if Memory.can_serve(settings, rules) else None)) as cache:
        facts = _recall_or_examine(settings, rules, files, cache)
    reached = {path for fact in facts for path in fact.reached}
    names = {fact.path for fact in facts}
    for fact in facts:
        judge.merge(fact.findings)
    with spent_on(settings.profile, "stage", "suppressions"):
        findings, suppressed = _suppress(settings, judge, facts, rules)
    reports = [_file_report(fact, reached) for fact in facts]
    reports += [
        FileReport(discovery.display_name(path, settings.base), "excluded", reason) for path, reason in found.excluded
    ]
    errors = dict.fromkeys([*judge.errors, *(error for fact in facts for error in fact.errors), *cache.errors])
    return CheckResult(
        findings=tuple(
            sorted((f for f in findings if f.path in names or f.promise is Promise.TOOL), key=lambda f: f.sort_key)
        ),
        errors=tuple(errors),
        files=tuple(sorted(reports, key=lambda r: r.path)),
        roots=tuple(sorted((r for fact in facts for r in fact.roots), key=lambda r: r.root)),
        suppressed=suppressed,
    )


def _recall_or_examine(
    settings: Settings, rules: Sequence[type[Rule]], files: list[tuple[Path, bytes | None]], cache: Cache
) -> list[FileFacts]:
    """What each file and its roots have to say, from the cache where that still holds."""
    if not files:
        return []
    paths = [path for path, _ in files]
    project = _project(settings, paths, Memory.disk(cache, settings))
    if not cache.is_open:
        return _examine(settings, rules, files, paths, project)
    with spent_on(settings.profile, "stage", "read the cache"):
        memory = Memory(cache, settings, rules, paths, project)
        recalled = {path: memory.recall(path) for path in paths}
    stale = [(path, data) for path, data in files if recalled[path] is None]
    examined = _examine(settings, rules, stale, paths, project)
    with spent_on(settings.profile, "stage", "write the cache"):
        for fact in examined:
            memory.keep(fact)
        memory.keep_disk()
    return sorted((*filter(None, recalled.values()), *examined), key=lambda fact: fact.path)


def _examine(
    settings: Settings,
    rules: Sequence[type[Rule]],
    files: list[tuple[Path, bytes | None]],
    paths: list[Path],
    project: Project,
) -> list[FileFacts]:
    """Examine `files`, some of `paths`, in as many processes as are worth while."""
    if not files:
        return []
    with spent_on(settings.profile, "stage", "start"):
        from vllm_lint.analyzer.worker import Worker  # with the interpreter, which most of the start-up would go to

    worker = Worker(settings, rules, paths, project)
    jobs = min(settings.jobs or min(os.cpu_count() or 1, len(files) // _FILES_PER_JOB), len(files))
    if settings.profile is not None:
        jobs = 1
    with _without_collection():
        with spent_on(settings.profile, "stage", "read files"):
            worker.read(files)
        if jobs <= 1 or not hasattr(os, "fork"):
            return worker.examine([path for path, _ in files])
        return _examine_together(worker, [path for path, _ in files], jobs)


def _examine_together(worker: Worker, files: list[Path], jobs: int) -> list[FileFacts]:
    """Examine some files here, then the rest in processes that start with all that was read for these."""
    from vllm_lint.analyzer.forks import in_forks

    shared = [path for path in files if worker.may_have_roots(path)][:_FILES_BEFORE_FORK]
    rest = [path for path in files if path not in set(shared)]
    # Neighbours in the alphabet are often alike in size and in what they import, so deal them out in turn.
    shares = [rest[i::jobs] for i in range(jobs)]
    facts = worker.examine(shared)
    for part in in_forks([partial(worker.examine, share) for share in shares]):
        facts += part
    return facts


@contextmanager
def _without_collection() -> Iterator[None]:
    """Syntax trees are millions of objects without a cycle worth collecting, which the collector goes through again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            # Into the oldest generation with all of it, which the next collection would otherwise go through.
            gc.freeze()
            gc.unfreeze()
            gc.enable()


def program(settings: Settings) -> Project:
    """The program that `check` would check, for those who want to know more about it.

    Raises:
        FileNotFoundError: one of the paths does not exist.
    """
    files = list(discovery.discover(settings).files)
    stdin = None
    if settings.stdin is not None:
        name, data = settings.stdin
        path = Path(os.path.normpath(settings.base / name))
        files.append(path)
        stdin = read_source(path, discovery.display_name(path, settings.base), data)
    project = _project(settings, files, Memory.disk(Cache(None), settings))
    if isinstance(stdin, SourceFile):
        project.add_source(stdin.path, stdin)
    return project


def _project(settings: Settings, paths: list[Path], disk: Disk) -> Project:
    return Project(
        paths,
        (settings.base / root for root in settings.source_roots),
        search_installed=settings.search_installed,
        base=settings.base,
        disk=disk,
        profile=settings.profile,
    )


def _suppress(
    settings: Settings, judge: Judge, facts: Iterable[FileFacts], rules: Sequence[type[Rule]]
) -> tuple[list[Finding], int]:
    """Drop findings that a comment silences, and report comments that silence nothing."""
    comments: dict[str, Suppressions] = {}
    former = {rule.meta.code: rule.meta.former for rule in rules}
    for fact in facts:
        if fact.has_suppressions:
            source = read_source(settings.base / fact.path, fact.path, fact.data)
            if isinstance(source, SourceFile):
                comments[fact.path] = parse_suppressions(source)
    kept: list[Finding] = []
    suppressed = 0

    def sift(findings: Iterable[Finding]) -> None:
        nonlocal suppressed
        for finding in findings:
            if finding.path in comments and comments[finding.path].match(finding, former[finding.code]):
                suppressed += 1
            else:
                kept.append(finding)

    sift(judge.findings())
    about_comments = Judge(rules)
    for suppressions in comments.values():
        for problem in suppressions.problems(rules):
            about_comments.add(problem, None)
    sift(about_comments.findings())
    judge.errors.update(about_comments.errors)
    return kept, suppressed


def _file_report(fact: FileFacts, reached: set[str]) -> FileReport:
    if fact.unreadable:
        return FileReport(fact.path, "unreadable", fact.unreadable)
    if fact.roots:
        names = ", ".join(r.root.name for r in fact.roots)
        return FileReport(fact.path, "root", f"declares {names}", fact.digest)
    if fact.path in reached:
        return FileReport(fact.path, "reached", "a compiled root calls into it", fact.digest)
    reason = "it declares no compiled root, and none calls into it"
    return FileReport(fact.path, "not reached", reason, fact.digest)
