"""Small programs that say in comments what must be found in them: `# expect: VL201`."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

from vllm_lint.analyzer.engine import CheckResult, Settings, check
from vllm_lint.analyzer.findings import Finding
from vllm_lint.rules.catalogue import RULES

HEAD = """\
import torch
from torch import nn
from torch.nn import functional as F
from vllm.compilation.decorators import ignore_torch_compile, support_torch_compile
"""
_EXPECT = re.compile(r"# expect: (VL\d{3}(?:, VL\d{3})*)")


def write(base: Path, files: dict[str, str]) -> None:
    """Write `files`, by path from `base`; packages get their `__init__.py`."""
    for name, text in files.items():
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")


def run(
    base: Path, *paths: str, roots: tuple[str, ...] = (), sources: tuple[str, ...] = (), jobs: int = 1
) -> CheckResult:
    """Check `paths`, or all of `base`, with all rules; nothing that is installed is read."""
    settings = Settings(
        paths=tuple(map(Path, paths or (".",))),
        base=base,
        source_roots=tuple(map(Path, sources)),
        search_installed=False,
        roots=roots,
        jobs=jobs,
    )
    result = check(settings, RULES)
    assert result.errors == ()
    return result


def expected(base: Path) -> list[tuple[str, int, str]]:
    """File, line and code of what the comments below `base` name."""
    return sorted(
        (path.relative_to(base).as_posix(), number, code)
        for path in base.rglob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (match := _EXPECT.search(line))
        for code in match[1].split(", ")
    )


def found(result: CheckResult) -> list[tuple[str, int, str]]:
    """File, line and code of the findings; several of one code in a line count once."""
    return sorted({(f.path, f.line, f.code) for f in result.findings})


def check_program(base: Path, files: dict[str, str], *paths: str, **options: tuple[str, ...]) -> CheckResult:
    """Write and check a program, and compare what is found with its comments, of which there must be some."""
    write(base, files)
    result = run(base, *paths, roots=options.get("roots", ()), sources=options.get("sources", ()))
    wanted = expected(base)
    assert wanted, "a program in which nothing is to be found shows nothing if nothing is looked at"
    assert found(result) == wanted, f"found {found(result)}, but the comments say {wanted}"
    return result


def check_model(base: Path, text: str, **others: str) -> CheckResult:
    """`check_program` of one file behind the usual imports, beside modules of the names of `others`."""
    files = {"model.py": HEAD + dedent(text), **{f"{name}.py": dedent(other) for name, other in others.items()}}
    return check_program(base, files)


def only(result: CheckResult, code: str) -> Finding:
    """The one finding with `code`."""
    (finding,) = [f for f in result.findings if f.code == code]
    return finding


def root_names(result: CheckResult) -> list[str]:
    """The compiled roots."""
    return [report.root.name for report in result.roots]
