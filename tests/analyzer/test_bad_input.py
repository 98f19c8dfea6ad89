"""Whatever lies under the given paths, a check ends, says what it could not read, and still checks the rest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from vllm_lint.analyzer.cache import Cache
from vllm_lint.analyzer.engine import CheckResult, Settings, check
from vllm_lint.rules.catalogue import RULES

HEADER = """\
import torch
from torch import nn
from vllm.compilation.decorators import support_torch_compile

"""
MODEL = f"""\
{HEADER}
@support_torch_compile
class Model(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] > 64:
            return x * 2
        return x
"""
FLAW = ("VL201", MODEL[: MODEL.index("if x.shape")].count("\n") + 1)


#: A check of `src` in a process of its own, with a cache; prints code and line of each finding.
RUN = """
import resource, sys
from pathlib import Path
from vllm_lint.analyzer.engine import Settings, check
from vllm_lint.rules.catalogue import RULES
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (30, 30))  # seconds; a busy machine takes longer, but works no more
base = Path(sys.argv[1])
paths = (Path("src"),)
result = check(Settings(paths=paths, base=base, search_installed=False, cache_dir=base / "cache", jobs=1), RULES)
assert not result.errors, result.errors
for finding in result.findings:
    print(finding.code, finding.line)
"""


def write(base: Path, name: str, content: str | bytes) -> None:
    path = base / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def run(base: Path, *paths: str, cache: Path | None = None) -> CheckResult:
    given = tuple(map(Path, paths or (".",)))
    result = check(Settings(paths=given, base=base, search_installed=False, cache_dir=cache, jobs=1), RULES)
    assert [error for error in result.errors if error.rule] == []
    return result


def found(result: CheckResult) -> dict[str, list[tuple[str, int]]]:
    """Code and line of the findings by file."""
    by_file: dict[str, list[tuple[str, int]]] = {}
    for finding in result.findings:
        by_file.setdefault(finding.path, []).append((finding.code, finding.line))
    return by_file


def check_model(base: Path, text: str, *others: tuple[str, str]) -> CheckResult:
    """Check a module in the package `pkg`, beside `others`."""
    write(base, "pkg/__init__.py", "")
    write(base, "pkg/model.py", HEADER + dedent(text))
    for name, content in others:
        write(base, name, dedent(content))
    return run(base, "pkg")


def messages(result: CheckResult) -> list[str]:
    return [finding.message for finding in result.findings if finding.code.startswith("VL0")]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"def f(:\n", ("VL002", 1)),
        (b"import os\nprint 'loading'\n", ("VL002", 2)),
        (b"x = 1\ny = '\0'\n", ("VL002", 2)),
        (b"x = 1\n\ny = 'gr\xf6\xdfe'\n", ("VL001", 3)),
        (b"# coding: utf-9\n", ("VL001", 1)),
        (b"x = " + b"-" * 100_000 + b"1\n", ("VL002", 1)),
    ],
    ids=["syntax error", "Python 2", "NUL", "not UTF-8", "unknown encoding", "nested"],
)
def test_file_that_cannot_be_read(tmp_path: Path, content: bytes, expected: tuple[str, int]) -> None:
    write(tmp_path, "bad.py", content)
    write(tmp_path, "model.py", MODEL)
    result = run(tmp_path)
    assert found(result) == {"bad.py": [expected], "model.py": [FLAW]}
    assert {file.path: file.status for file in result.files}["bad.py"] == "unreadable"


def test_import_of_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    model = """\
        from pkg.bad import helper

        @support_torch_compile
        class Model(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                y = helper(x)
                return y if x.shape[0] > 64 else x
        """
    result = check_model(tmp_path, model, ("pkg/bad.py", "def helper(x:\n"))
    assert found(result) == {"pkg/bad.py": [("VL002", 1)], "pkg/model.py": [("VL201", 11)]}


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"\xef\xbb\xbf" + MODEL.encode(), FLAW[1]),
        (MODEL.replace("\n", "\r\n").encode(), FLAW[1]),
        (MODEL.replace("\n", "\r").encode(), FLAW[1]),
        (MODEL.replace("\n@", "\n\x0c\n@").encode(), FLAW[1] + 1),
        (b"# coding: latin-1\n" + MODEL.replace("x * 2", "x * len('größe')").encode("latin-1"), FLAW[1] + 1),
        (MODEL.encode() + b"\nvalue = 1\n" * 25_000, FLAW[1]),
    ],
    ids=["byte order mark", "CRLF", "CR", "form feed", "latin-1", "50,000 lines"],
)
def test_file_that_is_merely_odd(tmp_path: Path, content: bytes, line: int) -> None:
    write(tmp_path, "model.py", content)
    result = run(tmp_path)
    assert found(result) == {"model.py": [("VL201", line)]}
    assert (result.findings[0].column, result.findings[0].end_line) == (12, line)


def test_column_after_other_letters(tmp_path: Path) -> None:
    write(
        tmp_path,
        "model.py",
        MODEL.replace("if x.shape[0] > 64:", "größe = 'ä'; x = x if x.shape[0] > 64 else -x\n        if True:"),
    )
    [finding] = run(tmp_path).findings
    assert (finding.line, finding.column, finding.end_column) == (FLAW[1], 31, 46)


def test_empty_folder(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert (result.findings, result.files, result.errors) == ((), (), ())


def test_path_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file or folder: gone"):
        run(tmp_path, "gone")


def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    write(tmp_path, "model.py", MODEL)
    (tmp_path / "dangling.py").symlink_to("gone.py")
    (tmp_path / "loop.py").symlink_to("loop.py")
    (tmp_path / "up").symlink_to(".")
    expected = {"dangling.py": [("VL001", 1)], "loop.py": [("VL001", 1)], "model.py": [FLAW]}
    assert found(run(tmp_path)) == expected
    assert found(run(tmp_path, "dangling.py", "loop.py", "model.py")) == expected


def test_notebook(tmp_path: Path) -> None:
    write(tmp_path, "model.ipynb", "{}")
    write(tmp_path, "model.py", MODEL)
    assert found(run(tmp_path)) == {"model.py": [FLAW]}
    [message] = messages(run(tmp_path, "model.ipynb"))
    assert "notebooks are not read" in message


def test_permission_denied(closed_to_us: Path) -> None:
    write(closed_to_us, "closed.py", MODEL)
    write(closed_to_us, "folder/model.py", MODEL)
    write(closed_to_us, "model.py", MODEL)
    (closed_to_us / "closed.py").chmod(0)
    (closed_to_us / "folder").chmod(0)
    expected = {"closed.py": [("VL001", 1)], "folder": [("VL001", 1)], "model.py": [FLAW]}
    assert found(run(closed_to_us)) == expected
    (closed_to_us / "folder").chmod(0o700)


#: Definitions and the start of a forward, which a careless interpreter would follow for ever or let grow without end.
ENDLESS = {
    "each other": ("def even(x, n): return odd(x, n - 1)\ndef odd(x, n): return even(x, n - 1)", "y = even(x, 10)"),
    "itself": ("", "y = self.forward(x)"),
    "counting": ("def f(x, n): return f(x, n + 1)", "y = f(x, 0)"),
    "counting sizes": ("def f(x, n): return f(x, n + 1)", "y = f(x, x.shape[0])"),
    "fan": ("def f(x, n): return f(x, n + 1) + f(x, n + 2)", "y = f(x, 0)"),
    "longer list": ("def f(x, n): return f(x, [*n, 1])", "y = f(x, [])"),
    "deeper list": ("def f(x, n): return f(x, [n])", "y = f(x, [])"),
    "list of lists": ("def f(x, n): return f(x, [n, *n])", "y = f(x, [x.shape[0]])"),
    "longer tensor": ("def f(x): return f(torch.cat([x, x]))", "y = f(x)"),
    "self application": ("", "f = lambda g: g(g); y = f(f)"),
    "closures": ("def twice(f): return lambda q: f(f(q))", "f = lambda q: q + 1;" + "f = twice(f);" * 60 + "y = f(x)"),
    "generator": ("def g(n):\n    yield n\n    yield from g(n + 1)", "y = x + sum(g(0))"),
    "decorator": ("def d(f): return d(f)\n@d\ndef f(x): return f(x)", "y = f(x)"),
    "property": ("class A:\n    @property\n    def p(self): return self.p", "A().p"),
    "getattr": ("class A:\n    def __getattr__(self, name): return getattr(self, name + name)", "A().p"),
    "metaclass": ("class M(type):\n    def __call__(cls): return cls()\nclass A(metaclass=M): pass", "A()"),
    "names": ("a = b\nb = a\nc = c.c\nd = d()", "a(b.x, c.y, d)"),
    "object in itself": (
        "class A:\n    def __init__(self): self.me = [self]",
        "a = A(); a.me[0].z = a; f = print; f(a)",
    ),
    "list in itself": ("def f(q): return q", "d = [1]; d.append(d); f(d)"),
    "dict in itself": ("def f(q): return q", "d = {}; d['d'] = d; f(d)"),
    "doubled list": ("def f(q): return q", "d = [1];" + "d = [d, d];" * 60 + "f(d)"),
    "doubled tuple": ("def f(q): return q", "d = (1,);" + "d = (d, d);" * 60 + "f(d)"),
    "doubled dict": ("def f(q): return q", "d = {1: 1};" + "d = {**d, 2: d};" * 60 + "f(d)"),
    "long tuple": ("def f(q): return q", "d = (1,);" + "d = d + d;" * 60 + "f(d)"),
    "long text": ("def f(q): return q", "d = 'a';" + "d = d + d;" * 60 + "f(d)"),
    "long format": ("def f(q): return q", "d = 'a';" + "d = f'{d}{d!r}';" * 60 + "f(d)"),
    "long range": ("", "a = [1] * 10**12; b = 'a' * 10**12; c = list(range(10**12))"),
    "large number": ("", "a = 10**10**8; b = 1 << 10**12; n = 3;" + "n = n * n;" * 60),
    "large size": ("", "n = x.shape[0];" + "n = n * n + n;" * 60 + "y = x[:n]"),
    "twisted size": ("", "n = x.shape[0];" + "".join(f"n = (n + {i}) // {i} * (n % {i + 1});" for i in range(2, 60))),
    "options": (
        "def f(q): return q",
        "y = x;" + "".join(f"y = y if self.a{i} else (y, {i});" for i in range(60)) + "f(y)",
    ),
    "loops": (
        "def f(x, n):\n    for i in range(n):\n        for j in range(i):\n            while j: x = torch.cat([x, x])",
        "f(x, x.shape[0])",
    ),
}


#: These do not end, or end Python, yet; the reason names what grows.
@pytest.mark.parametrize(
    ("definitions", "start"),
    [pytest.param(*case, id=name) for name, case in ENDLESS.items()],
)
def test_endless(tmp_path: Path, definitions: str, start: str) -> None:
    """The check ends, and what follows is still found. It runs apart, since Python itself may crash."""
    text = MODEL.replace("\n@", f"\n{definitions}\n@").replace(
        "        if x.shape", f"        {start}\n        if x.shape"
    )
    write(tmp_path, "src/model.py", text)
    line = text[: text.index("if x.shape")].count("\n") + 1
    completed = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path)], capture_output=True, text=True, timeout=600, check=False
    )
    assert completed.returncode == 0, completed.stderr[-2000:]
    assert f"VL201 {line}" in completed.stdout.splitlines()


def test_modules_that_import_each_other(tmp_path: Path) -> None:
    model = """\
        import pkg.model
        from pkg.other import helper, threshold as limit

        def decide(x):
            return x if x.shape[0] > 64 else -x

        @support_torch_compile
        class Model(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return helper(x, limit)
        """
    other = """\
        from pkg import model
        from pkg.model import limit as threshold

        def helper(x, size):
            return model.decide(pkg_again.decide(x)) + size

        import pkg.model as pkg_again
        """
    result = check_model(tmp_path, model, ("pkg/other.py", other))
    assert found(result)["pkg/model.py"] == [("VL201", 9)]


def test_classes_that_inherit_from_each_other(tmp_path: Path) -> None:
    model = """\
        from pkg.other import Other

        class Itself(Itself):
            pass

        class Base(Other):
            def helper(self, x):
                return x if x.shape[0] > 64 else -x

        @support_torch_compile
        class Model(Base):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return self.helper(super().helper(x)) + self.missing(x)

        @support_torch_compile
        class Twisted(Model, Base, Itself):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return super().forward(x)
        """
    result = check_model(tmp_path, model, ("pkg/other.py", "from pkg.model import Base\nclass Other(Base): pass\n"))
    assert result.errors == ()
    assert ("VL201", 12) in found(result)["pkg/model.py"]


@pytest.mark.parametrize(
    "shadow",
    [
        "class torch:\n    class Tensor:\n        shape = (1, 2)\n",
        "torch = None\n",
        "def torch(): return torch\n",
        "for torch in (): pass\n",
        "import json as torch\n",
        "del torch\n",
    ],
)
def test_name_torch_means_something_else(tmp_path: Path, shadow: str) -> None:
    write(tmp_path, "model.py", MODEL.replace("\n@", f"\n{shadow}\n@"))
    assert run(tmp_path).errors == ()


def test_module_named_torch(tmp_path: Path) -> None:
    write(tmp_path, "torch.py", "import torch\nclass Tensor(torch.Tensor): pass\n")
    write(tmp_path, "model.py", MODEL)
    assert run(tmp_path).errors == ()


def test_star_imports(tmp_path: Path) -> None:
    model = """\
        from pkg.helpers import *
        from pkg.helpers import *
        from nowhere import *

        @support_torch_compile
        class Model(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return decide(x) + _hidden(x) + unknown(x)
        """
    helpers = """\
        from pkg.model import *
        from pkg.helpers import *

        __all__ = ["decide", "missing"] + [name for name in dir()]

        def decide(x):
            return x if x.shape[0] > 64 else -x
        """
    result = check_model(tmp_path, model, ("pkg/helpers.py", helpers))
    assert found(result) == {"pkg/helpers.py": [("VL201", 7)]}


def test_conditional_definitions(tmp_path: Path) -> None:
    model = """\
        import os

        try:
            from fast import decide
        except ImportError:
            def decide(x):
                return x if x.shape[0] > 64 else -x

        if os.name == "nt":
            class Base(nn.Module):
                def helper(self, x): return x
        else:
            class Base(nn.Module):
                def helper(self, x): return decide(x)

        while False:
            def decide(x): return x

        @support_torch_compile
        class Model(Base):
            if os.name == "nt":
                def forward(self, x: torch.Tensor) -> torch.Tensor:
                    return x
            else:
                def forward(self, x: torch.Tensor) -> torch.Tensor:
                    return self.helper(x)
        """
    assert check_model(tmp_path, model).errors == ()


@pytest.mark.parametrize(
    "body",
    [
        "y = x" + " + x" * 900,
        "y = " + "(" * 90 + "x" + ")" * 90,
        "y = x" + ".clone()" * 900,
        "y = " + "[" * 90 + "x" + "]" * 90,
        "if x.ndim == 0: pass\n" + "\n".join(f"        elif x.ndim == {i}: pass" for i in range(1, 900)),
        "y = " + "x if x.ndim else " * 400 + "x",
        "y = " + "lambda: " * 90 + "x",
        "\n".join(f"{' ' * (8 + depth)}if x.ndim:" for depth in range(90)).strip() + "\n" + " " * 98 + "pass",
    ],
    ids=["sum", "parentheses", "calls", "lists", "elif", "conditionals", "lambdas", "blocks"],
)
def test_deep_code(tmp_path: Path, body: str) -> None:
    """Code that the parser takes is not too deep for us."""
    write(tmp_path, "model.py", MODEL.replace("        if x.shape", f"        {body}\n        if x.shape"))
    result = run(tmp_path)
    assert result.errors == ()
    assert [code for code, _ in found(result).get("model.py", [])] in (["VL201"], ["VL002"])


def test_many_paths_through_a_function(tmp_path: Path) -> None:
    """The number of paths doubles with each line; the time must not."""
    lines = "\n".join(f"        y = x if self.flag{i} else x + {i}" for i in range(60))
    loops = "\n".join(f"        for i{i} in self.scales{i}: x = x * i{i}" for i in range(30))
    write(tmp_path, "model.py", MODEL.replace("        if x.shape", f"{lines}\n{loops}\n        if x.shape"))
    assert [code for code, _ in found(run(tmp_path))["model.py"]] == ["VL201"]


def test_standard_input(tmp_path: Path) -> None:
    settings = Settings(paths=(), base=tmp_path, stdin=("models/new.py", MODEL.encode()), search_installed=False)
    assert found(check(settings, RULES)) == {"models/new.py": [FLAW]}
    settings = Settings(paths=(), base=tmp_path, stdin=("models/new.py", b"x = '\xff'"), search_installed=False)
    assert found(check(settings, RULES)) == {"models/new.py": [("VL001", 1)]}


def test_suppression(tmp_path: Path) -> None:
    comment = "  # vllm-lint: ignore[VL201, batch-size-brunch] both sides are equal"
    write(tmp_path, "model.py", MODEL.replace("64:", f"64:{comment}").replace("return x\n", f"return x{comment}\n"))
    result = run(tmp_path)
    assert result.suppressed == 1
    assert sorted(found(result)["model.py"]) == [
        ("VL003", FLAW[1] + 2), ("VL004", FLAW[1]), ("VL004", FLAW[1] + 2),
    ]  # fmt: skip


def test_cache_that_cannot_be_used(tmp_path: Path) -> None:
    write(tmp_path, "src/model.py", MODEL)
    write(tmp_path, "cache", "in the way")
    result = run(tmp_path, "src", cache=tmp_path / "cache")
    assert found(result) == {"src/model.py": [FLAW]}
    assert ["going on without a cache" in error.message for error in result.errors] == [True]


def test_cache_that_is_damaged(tmp_path: Path) -> None:
    write(tmp_path, "src/model.py", MODEL)
    cache = tmp_path / "cache"
    expected = run(tmp_path, "src", cache=cache)
    [database] = cache.glob("*.sqlite")
    database.write_bytes(os.urandom(20_000))
    again = run(tmp_path, "src", cache=cache)
    assert again.findings == expected.findings
    assert len(again.errors) == 1
    assert run(tmp_path, "src", cache=cache) == expected


def test_cache_full_of_nonsense(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "src/model.py", MODEL)
    cache = tmp_path / "cache"
    expected = run(tmp_path, "src", cache=cache)
    with monkeypatch.context() as patch:
        patch.setattr(Cache, "get", lambda *_: b"\xffnonsense")
        assert run(tmp_path, "src", cache=cache).findings == expected.findings


def test_two_runs_at_once_on_one_cache(tmp_path: Path) -> None:
    for index in range(20):
        write(tmp_path, f"src/model{index}.py", MODEL)
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    expected = f"VL201 {FLAW[1]}\n" * 20
    assert [process.communicate(timeout=120)[0] for process in runs] == [expected, expected]
