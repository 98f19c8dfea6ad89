"""Which custom operators a file registers, in every form, and what the cache makes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.analyzer.programs import found, write
from vllm_lint.analyzer.engine import CheckResult, Settings, check
from vllm_lint.rules.catalogue import RULES, find

HEAD = """\
import torch
from torch.library import Library
from vllm.utils.torch_utils import direct_register_custom_op
def real(x: torch.Tensor) -> torch.Tensor:
    return x + 1
"""
FAKE = """\
def fake(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)
"""

#: Registrations without a fake implementation in the last line.
MISSING = {
    "by keyword": "direct_register_custom_op(op_name='a', op_func=real)",
    "by position": "direct_register_custom_op('a', real, [], None)",
    "in a condition": "if torch.cuda.is_available():\n    direct_register_custom_op('a', real)",
    "where something fails": "try:\n    import fast\nexcept ImportError:\n    direct_register_custom_op('a', real)",
    "by name of a variable": "name = 'a'\nnames = [name]\ndirect_register_custom_op(names[0], real)",
    "by a library": "lib = Library('own', 'DEF')\nlib.impl('a', real)\nlib.define('a(Tensor x) -> Tensor')",
    "of what stands for another": (
        "import functools\ndef outer(f):\n    @functools.wraps(f)\n    def inner(*a):\n        return f(*a)\n"
        "    return inner\nwrapped = outer(real)\ndirect_register_custom_op('a', wrapped)"
    ),
    "of an operator as a value": "op = torch.library.custom_op('own::a', real, mutates_args=())",
}
#: Registrations of which nothing is to be said.
SILENT = {
    "fake by keyword": "direct_register_custom_op(op_name='a', op_func=real, fake_impl=fake)",
    "fake in one arm": (
        "if torch.cuda.is_available():\n    chosen = fake\nelse:\n    chosen = None\n"
        "direct_register_custom_op('a', real, fake_impl=chosen)"
    ),
    "unknown function": "from elsewhere import other\ndirect_register_custom_op('a', other)",
    "unknown fake": "from elsewhere import other\ndirect_register_custom_op('a', real, fake_impl=other)",
    "not annotated": "direct_register_custom_op('a', lambda x: x + 1)",
    "fake of a fallback": (
        "try:\n    from torch.library import register_fake\nexcept ImportError:\n"
        "    from torch.library import impl_abstract as register_fake\n"
        "torch.library.define('own::a', '(Tensor x) -> Tensor')\ntorch.library.impl('own::a', 'CPU', real)\n"
        "@register_fake('own::a')\ndef _(x):\n    return torch.empty_like(x)"
    ),
    "only defined": "torch.library.define('own::a', '(Tensor x) -> Tensor')",
    "a name of its own": "def custom_op(name): ...\ncustom_op('own::a')\nclass Library: ...\nLibrary().define('a')",
    "not a schema": "Library('own', 'DEF').define('a(')\nLibrary('own', 'DEF').define(3)\ndirect_register_custom_op()",
    "too much": "direct_register_custom_op('a', real, [], None, None, None, (), 8, 9)\ntorch.library.custom_op(1)(2)",
}


def run(base: Path, *paths: str, cache: Path | None = None, jobs: int = 1) -> CheckResult:
    settings = Settings(
        paths=tuple(map(Path, paths or (".",))), base=base, search_installed=False, jobs=jobs, cache_dir=cache
    )
    result = check(settings, RULES)
    assert result.errors == ()
    return result


@pytest.mark.parametrize("text", MISSING.values(), ids=MISSING.keys())
def test_an_operator_without_fake_is_found_where_it_is_defined(tmp_path: Path, text: str) -> None:
    write(tmp_path, {"ops.py": HEAD + text})
    assert found(run(tmp_path)) == [("ops.py", len((HEAD + text).splitlines()), "VL301")]


@pytest.mark.parametrize("text", SILENT.values(), ids=SILENT.keys())
def test_nothing_is_said_of_what_is_complete_or_not_known(tmp_path: Path, text: str) -> None:
    write(tmp_path, {"ops.py": HEAD + FAKE + text})
    assert not [f for f in run(tmp_path).findings if f.code == "VL301"]


def test_a_file_is_not_read_for_what_no_rule_hears_of(tmp_path: Path) -> None:
    write(tmp_path, {"ops.py": HEAD + MISSING["by keyword"]})
    settings = Settings(paths=(tmp_path,), base=tmp_path, search_installed=False, jobs=1)
    assert check(settings, find("VL301")).findings
    assert not check(settings, find("VL2")).findings


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_another_file_says_is_a_question_of_this_one(tmp_path: Path, jobs: int) -> None:
    """The fake implementation comes from another file, and goes: warm runs find what cold ones do."""
    registered = f"{HEAD}from pkg.fakes import fake\ndirect_register_custom_op('a', real, [], fake)\n"
    with_fake, without = "def fake(x):\n    return x.new_empty(x.shape)\n", "fake = None\n"
    write(tmp_path, {"pkg/__init__.py": "", "pkg/ops.py": registered, "pkg/fakes.py": with_fake})
    for text in (with_fake, without, with_fake, without):
        write(tmp_path, {"pkg/fakes.py": text})
        warm = run(tmp_path, cache=tmp_path / "cache", jobs=jobs)
        again = run(tmp_path, cache=tmp_path / "cache", jobs=jobs)
        cold = run(tmp_path)
        assert warm == again == cold
        assert [f.code for f in cold.findings] == ([] if text is with_fake else ["VL301"])


def test_findings_about_files_that_are_not_checked_are_not_shown(tmp_path: Path) -> None:
    files = {"pkg/__init__.py": "", "pkg/ops.py": HEAD + MISSING["by keyword"], "pkg/user.py": "from pkg import ops\n"}
    write(tmp_path, files)
    assert not run(tmp_path, "pkg/user.py").findings
    assert replace(run(tmp_path, "pkg/ops.py"), files=()).findings
