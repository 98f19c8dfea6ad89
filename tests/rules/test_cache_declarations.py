"""Hashes of configurations and uuids of passes, in the ways in which they are written."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from tests.analyzer.programs import run, write

CONFIG = """\
import hashlib
from dataclasses import asdict, astuple, dataclass, fields
from typing import ClassVar
from vllm.config.utils import config, get_hash_factors, hash_factors
IGNORED = {"c"}

@dataclass
class Base:
    a: int = 0

@config
class Config(Base):
    bound: int = 0
    c: int = 0
    KIND: ClassVar[str] = "x"
"""
#: Bodies of `compute_hash` that account for every field.
COMPLETE = {
    "all": "return hash_factors(get_hash_factors(self, set()))",
    "all but one": "return hash_factors(get_hash_factors(self, {'c'}))",
    "named set": "return hash_factors(get_hash_factors(self, IGNORED))",
    "union": "return hash_factors(get_hash_factors(self, IGNORED | {'bound'}))",
    "dict": "return str(asdict(self))",
    "tuple": "return str(astuple(self))",
    "attributes": "return str(sorted(self.__dict__.items()))",
    "itself": "return hashlib.md5(repr(self).encode()).hexdigest()",
    "loop": "factors = []\nfor f in fields(self):\n    factors.append(getattr(self, f.name))\nreturn str(factors)",
    "each": "return str([self.a, self.bound, getattr(self, 'c')])",
    "elsewhere": "return digest_of(self)",
    "no field counts": "factors = []\nreturn hashlib.md5(str(factors).encode()).hexdigest()",
    "none counts, as a table": "return hash_factors({})",
    "kind is a class variable": "return hash_factors(get_hash_factors(self, {'KIND'}))",
}
INCOMPLETE = {
    "listed": ("return str([self.a, self.bound])", "passes over `c` without"),
    "one of three": (
        "factors = []\nfactors.append(self.a)\nreturn str(factors)",
        "passes over `bound` and `c` without",
    ),
    "constant": ("return 'config'", "returns the same whatever the fields of `Config` are"),
    "name of the class": ("return hashlib.md5(b'Config').hexdigest()", "returns the same whatever"),
    "misspelt": ("return hash_factors(get_hash_factors(self, {'bounds'}))", "no such field, so `bound` is hashed"),
    "gone": ("return hash_factors(get_hash_factors(self, {'removed_field'}))", "`Config` has no such field"),
}


def hash_program(body: str) -> dict[str, str]:
    return {"settings.py": CONFIG + "\n    def compute_hash(self) -> str:\n" + indent(body, " " * 8) + "\n"}


@pytest.mark.parametrize("body", COMPLETE.values(), ids=COMPLETE)
def test_a_hash_that_accounts_for_every_field_is_no_finding(body: str, tmp_path: Path) -> None:
    write(tmp_path, hash_program(body))
    assert run(tmp_path).findings == ()


@pytest.mark.parametrize(("body", "said"), INCOMPLETE.values(), ids=INCOMPLETE)
def test_what_a_hash_leaves_open_is_said(body: str, said: str, tmp_path: Path) -> None:
    write(tmp_path, hash_program(body))
    (finding,) = run(tmp_path).findings
    assert finding.code == "VL503"
    assert said in finding.message


@pytest.mark.parametrize(
    "text",
    [
        "class Compiler:\n    name: str = ''\n    def compute_hash(self, vllm_config):\n        return self.name\n",
        "class Hashable:\n    def compute_hash(self):\n        raise NotImplementedError\n",
        "from dataclasses import dataclass\n@dataclass\nclass A:\n    a: int = 0\n    compute_hash = None\n",
        "from dataclasses import dataclass\n@dataclass\nclass A:\n    a: int\n    def compute_hash(): return ''\n",
        "def compute_hash(self):\n    return ''\n",
    ],
    ids=["no dataclass", "abstract", "no function", "no self", "no class"],
)
def test_other_uses_of_the_name_are_no_findings(text: str, tmp_path: Path) -> None:
    write(tmp_path, {"other.py": text})
    assert run(tmp_path).findings == ()


IMPORTS = """\
import hashlib
from torch import fx
from vllm.config import VllmConfig
from vllm.compilation.inductor_pass import InductorPass, CallableInductorPass
from torch._inductor.custom_graph_pass import CustomGraphPass
"""
#: A pass, and the attributes that its uuid does not cover.
PASSES = {
    "argument": (
        """
        class P(InductorPass):
            def __init__(self, n):
                self.n = n
            def __call__(self, graph):
                return self.n
        """,
        ["n"],
    ),
    "by way of a method and a local": (
        """
        class P(InductorPass):
            def __init__(self, n: int, config: VllmConfig):
                doubled = n * 2
                self.limit = doubled
                self.dtype = config.model_config.dtype
            def __call__(self, graph):
                self.apply(graph)
            def apply(self, graph):
                return self.limit, self.dtype
        """,
        ["limit"],
    ),
    "in a base class": (
        """
        class Base(InductorPass):
            def __init__(self, n):
                self.n = n
        class P(Base):
            def __call__(self, graph):
                return self.n
        """,
        ["n"],
    ),
    "none": (
        """
        class P(CustomGraphPass):
            def __call__(self, graph):
                return graph
        """,
        ["uuid"],
    ),
    "covered": (
        """
        class P(InductorPass):
            def __init__(self, n):
                self.n = n
            def uuid(self):
                return self.hash_source(self, str(self.n))
            def __call__(self, graph):
                return self.n
        """,
        [],
    ),
    "covered by its twin": (
        """
        class P(InductorPass):
            def __init__(self, function, uuid=None):
                self.function = function
                self._uuid = self.hash_source(function) if uuid is None else uuid
            def uuid(self):
                return self._uuid
            def __call__(self, graph):
                self.function(graph)
        """,
        [],
    ),
    "configuration": (
        """
        class P(InductorPass):
            def __init__(self, config):
                self.pass_config = config.compilation_config.pass_config
                self.seen = 0
            def __call__(self, graph):
                self.seen += 1
                return self.pass_config.fuse
        """,
        [],
    ),
    "only built with it": (
        """
        class P(InductorPass):
            def __init__(self, n):
                self.name = f"pass{n}"
            def __call__(self, graph):
                return graph
        """,
        [],
    ),
    "no pass": (
        """
        class P:
            def __init__(self, n):
                self.n = n
            def __call__(self, graph):
                return self.n, InductorPass
        """,
        [],
    ),
    "no constructor": (
        """
        class P(InductorPass):
            __init__ = None
            def __call__(self, graph):
                return self.n
        """,
        [],
    ),
}


@pytest.mark.parametrize(("text", "uncovered"), PASSES.values(), ids=PASSES)
def test_state_that_a_uuid_does_not_cover(text: str, uncovered: list[str], tmp_path: Path) -> None:
    write(tmp_path, {"passes.py": IMPORTS + dedent(text)})
    findings = run(tmp_path).findings
    assert [f.code for f in findings] == ["VL504"] * len(uncovered)
    for finding, name in zip(findings, uncovered, strict=True):
        assert f"`self.{name}`" in finding.message or (name == "uuid" and "no `uuid`" in finding.message)
