"""The order in which constructors set attributes counts."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.rules.samples import codes, found

MODEL = """
def choose(config) -> bool:
    return config.fast

class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.on = False
    def forward(self, x):
        return x * 2 if self.on and x.shape[0] > 64 else x

class Layer(nn.Module):
    def __init__(self, config, others):
        super().__init__()
        self.inner = Inner()
        self.on = choose(config)
{setup}
    def forward(self, x):
        return self.inner(x)

class Other(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.inner = Inner()
        self.inner.on = True
    def forward(self, x):
        return x

CONFIG = make_config()
other, layer = Other(CONFIG), Layer(CONFIG, make_others())
"""
FLAGGED = ["VL201"]


@pytest.mark.parametrize(
    ("setup", "expected"),
    [
        ("pass", []),
        ("self.inner.on = True\nself.inner.on = False", []),
        ("self.inner.on = False\nself.inner.on = True", FLAGGED),
        # One arm or the other may have run.
        ("if self.on: self.inner.on = True", FLAGGED),
        ("self.inner.on = True\nif config.slow: self.inner.on = False", FLAGGED),
        ("self.inner.on = True\nif config.slow: self.inner.on = False\nelse: self.inner.on = False", []),
        ("self.inner.on = True\nif config.slow: raise ValueError\nelse: self.inner.on = False", []),
        # The attribute holds what is asked for, so it is false where it is not reset.
        ("self.inner.on = self.on\nif self.on: self.inner.on = False", []),
        ("self.inner.on = self.on\nif getattr(self, 'on', False): self.inner.on = False", []),
        ("self.inner.on = self.on\nif not self.on: self.inner.on = False", FLAGGED),
        ("self.inner.on = choose(config)\nif config.slow: self.inner.on = False", FLAGGED),
        # What may not run, or runs several times, is no last word.
        ("self.inner.on = True\nfor o in others: self.inner.on = False", FLAGGED),
        ("self.inner.on = True\nwhile config.slow(): self.inner.on = False", FLAGGED),
        ("self.inner.on = True\ntry: prepare()\nexcept ValueError: self.inner.on = False", FLAGGED),
        ("if config.slow:\n    self.inner.on = True\n    return\nself.inner.on = False", FLAGGED),
        ("helper = lambda: setattr(self.inner, 'on', False)\nself.inner.on = True\nhelper()", []),
        ("helper = lambda: setattr(self.inner, 'on', True)\nconfig.slow and helper()", FLAGGED),
        ("helper = lambda: setattr(self.inner, 'on', False)\nself.inner.on = True\nconfig.slow and helper()", FLAGGED),
    ],
)
def test_the_last_assignment_counts(tmp_path: Path, setup: str, expected: list[str]) -> None:
    before = MODEL.format(setup=textwrap.indent(setup, " " * 8))
    assert codes(found(tmp_path, "return layer(x)", before=before)) == expected


ALIKE = """
class Part:
    def __init__(self, whole):
        self.on = False

class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        part = Part(1)
        self.part = part
        self.by_name = {"part": part}
        self.is_on = lambda: part.on
        self.user = User(part)

class User:
    def __init__(self, part):
        self.part = part

class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Inner()

class Changed(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Inner()
        self.inner.part.on = True

plain, changed = Plain(), Changed()
"""


@pytest.mark.parametrize("way", ["part.on", "by_name['part'].on", "is_on()", "user.part.on"])
@pytest.mark.parametrize("first", ["plain", "changed"])
def test_what_is_built_alike_is_told_apart_by_its_owner(tmp_path: Path, way: str, first: str) -> None:
    second = "plain" if first == "changed" else "changed"
    body = [f"if {name}.inner.{way} and x.shape[0] > 64: x = x * 2" for name in (first, second)]
    result = found(tmp_path, "\n".join([*body, "return x"]), before=ALIKE)
    lines = [f.line for f in result if f.code == "VL201"]
    text = (tmp_path / result[0].path).read_text().splitlines() if result else []
    assert [text[line - 1].split()[1].split(".")[0] for line in lines] == ["changed"]
