"""What the compile-cache rules take vLLM's key to hold, for several ways of writing it down."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from tests.analyzer.programs import HEAD, check_program, found, run, write
from vllm_lint.analyzer.engine import Settings, check
from vllm_lint.analyzer.findings import Confidence, Severity
from vllm_lint.rules.catalogue import RULES, find

ENVS = """
import os
environment_variables = {
    "VLLM_HASHED": lambda: bool(int(os.getenv("VLLM_HASHED", "0"))),
    "VLLM_RENAMED": lambda: os.getenv("RENAMED"),
    "VLLM_PORT": lambda: os.getenv("VLLM_PORT"),
}
def __getattr__(name):
    return environment_variables[name]()
def is_set(name):
    return name in os.environ
"""
#: What the function that says which variables are hashed looked like at one time or another.
FACTORS = {
    "ignored in the function": """
        def compile_factors():
            ignored = {"VLLM_PORT"}
            factors = {}
            for factor, getter in environment_variables.items():
                if factor in ignored:
                    continue
                factors[factor] = getter()
            return factors
    """,
    "ignored in the module": """
        IGNORED = frozenset(("VLLM_PORT",))
        def compile_factors():
            return {k: g() for k, g in environment_variables.items() if k not in IGNORED}
    """,
    "listed": """
        def compute_hash():
            environment_variables_to_hash = ["VLLM_HASHED", "VLLM_RENAMED"]
            return [os.environ.get(key) for key in environment_variables_to_hash]
    """,
    "listed for a loop": """
        def compute_hash():
            environment_variables_to_hash = ["VLLM_HASHED", "VLLM_RENAMED"]
            factors = []
            for key in environment_variables_to_hash:
                factors.append(environment_variables[key]())
            return factors
    """,
}
READER = (
    HEAD
    + """
import os
import vllm.envs as envs

@support_torch_compile
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = envs.VLLM_HASHED
        self.b = os.environ.get("RENAMED")
        self.c = os.environ["VLLM_HASHED"]
        self.d = envs.VLLM_PORT  # expect: VL501
        self.e = os.getenv("OTHER")  # expect: VL501
        self.f = envs.is_set("VLLM_HASHED")  # expect: VL501
        self.g = envs.is_set

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.a:
            x = x + 1
        if self.b:
            x = x + 2
        if self.c:
            x = x + 3
        if self.d:
            x = x + 4
        if not self.e:
            x = x + 5
        if self.f and x.ndim == 2:
            x = x + 6
        if self.g:
            x = x + 7
        return x
"""
)


@pytest.mark.parametrize("factors", FACTORS.values(), ids=FACTORS)
def test_variables_that_vllm_hashes_are_told_from_others(factors: str, tmp_path: Path) -> None:
    files = {"vllm/__init__.py": "", "vllm/envs.py": ENVS + dedent(factors), "model.py": READER}
    result = check_program(tmp_path, files, "model.py")
    assert {(f.severity, f.confidence) for f in result.findings} == {(Severity.ERROR, Confidence.HIGH)}


@pytest.mark.parametrize(
    "factors", ["def other():\n    pass\n", "compile_factors = print\n", "def compile_factors(: \n"]
)
def test_nothing_is_said_of_variables_where_the_hash_cannot_be_read(factors: str, tmp_path: Path) -> None:
    write(tmp_path, {"vllm/__init__.py": "", "vllm/envs.py": ENVS + factors, "model.py": READER})
    found_codes = {(f.line, f.severity) for f in run(tmp_path, "model.py").findings}
    # That vLLM has no such variable is certain only if its own can be read.
    assert found_codes <= {(line, Severity.WARNING) for line in range(1, 60)}


CONFIG = """
from __future__ import annotations
from dataclasses import dataclass, field, fields, asdict
from vllm.config.utils import get_hash_factors, hash_factors

@dataclass
class Passes:
    fuse: bool = False
    def compute_hash(self):
        return hash_factors(get_hash_factors(self, set()))

@dataclass
class Vision:
    text_only: bool = False
    tower: str = ""
    prune: float = 0.0
    def prunes(self):
        return self.prune > 0

@dataclass
class Leaf:
    tower: str = ""

@dataclass
class Plain:
    depth: int = 1
    inner: Leaf = field(default_factory=Leaf)

@dataclass
class Model:
    width: int = 1
    seed: int = 0
    vision: Vision | None = None
    plain: Plain = field(default_factory=Plain)
    def compute_hash(self):
        ignored = {"seed", "vision"}
        factors = get_hash_factors(self, ignored)
        if self.vision:
            factors["text"] = self.vision.text_only
            factors["prunes"] = self.vision.prunes()
        return hash_factors(factors)

@dataclass
class Lora:
    rank: int = 1
    cpu_loras: int = 1
    def compute_hash(self):
        factors = []
        factors.append(self.rank)
        return str(factors)

@dataclass
class Derived(Lora):
    extra: bool = False
    def compute_hash(self):
        return super().compute_hash() + str(self.extra)

@dataclass
class Compilation:
    mode: int = 0
    passes: Passes = field(default_factory=Passes)
    debug: bool = False
    def compute_hash(self):
        ignored = {"passes"}
        ignored.add("debug")
        if self.mode == 0:
            ignored.add("mode")
        factors = get_hash_factors(self, ignored_factors=ignored)
        factors["passes"] = self.passes.compute_hash()
        return hash_factors(factors)

@dataclass
class Forgotten:
    kernel: str = ""

@dataclass
class Opaque:
    kernel: str = ""
    def compute_hash(self):
        return other_hash(self)

@dataclass
class VllmConfig:
    model: Model = field(default_factory=Model)
    lora: Lora | None = None
    derived: Derived = field(default_factory=Derived)
    compilation: Compilation = field(default_factory=Compilation)
    forgotten: Forgotten = field(default_factory=Forgotten)
    opaque: Opaque = field(default_factory=Opaque)
    parent: VllmConfig | None = None
    def compute_hash(self):
        factors = [self.model.compute_hash(), self.derived.compute_hash(), self.opaque.compute_hash()]
        if self.lora:
            factors.append(self.lora.compute_hash())
        factors.append(self.compilation.compute_hash())
        return str(factors)
"""
#: Fields that a hash holds, and fields that none does, as a constructor reads them.
HELD = (
    "config.model.width",
    "config.model.vision is not None",
    "config.model.vision.text_only",
    "config.model.vision.prune",
    "config.model.plain.depth",
    "config.model.plain.inner.tower",
    "config.lora",
    "config.lora.rank",
    "config.derived.rank",
    "config.derived.extra",
    "config.compilation.passes.fuse",
    "config.compilation.mode",
    "config.opaque.kernel",
    "getattr(config.model, 'width')",
)
MISSING = {
    "config.model.seed": "`Model.compute_hash` ignores it",
    "config.model.vision.tower": "no hash that vLLM takes covers `Vision`",
    "config.lora.cpu_loras": "`Lora.compute_hash` leaves it out",
    "config.derived.cpu_loras": "`Lora.compute_hash` leaves it out",
    "config.compilation.debug": "`Compilation.compute_hash` ignores it",
    "config.forgotten.kernel": "no hash that vLLM takes covers `Forgotten`",
    "getattr(config.model, 'seed', 0)": "`Model.compute_hash` ignores it",
    "config.parent.model.seed": "`Model.compute_hash` ignores it",
}
CONFIG_READER = (
    HEAD
    + """
from vllm.config import VllmConfig

@support_torch_compile
class Model(nn.Module):
    def __init__(self, config: VllmConfig):
        super().__init__()
        self.value = {read}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1 if self.value else x - 1
"""
)


def program(read: str) -> dict[str, str]:
    config = {"vllm/__init__.py": "", "vllm/config/__init__.py": "from vllm.config.vllm import VllmConfig\n"}
    return {**config, "vllm/config/vllm.py": CONFIG, "model.py": CONFIG_READER.replace("{read}", read)}


@pytest.mark.parametrize("read", HELD)
def test_a_field_that_a_hash_holds_is_no_finding(read: str, tmp_path: Path) -> None:
    write(tmp_path, program(read))
    assert found(run(tmp_path, "model.py")) == []


@pytest.mark.parametrize(("read", "reason"), MISSING.items())
def test_a_field_that_no_hash_holds_is_found_with_the_reason(read: str, reason: str, tmp_path: Path) -> None:
    write(tmp_path, program(read))
    (finding,) = run(tmp_path, "model.py").findings
    assert finding.code == "VL502"
    assert finding.message.endswith(reason)
    assert finding.line == CONFIG_READER[: CONFIG_READER.index("{read}")].count("\n") + 1


#: Ways from the constructor into the graph; `{}` is what is read.
WAYS = {
    "while": ("self.n = {}", "while self.n:\n    x = x + 1\n    break\nreturn x"),
    "comparison": ("self.n = {}", "return x if self.n == 'a' else -x"),
    "arithmetic": ("self.n = {} * 2 + 1", "return x * self.n"),
    "argument": ("self.n = {}", "return torch.clamp(x, max=self.n)"),
    "in a list": ("self.n = {}", "return x.view([-1, self.n])"),
    "index": ("self.n = {}", "return x[:, self.n]"),
    "of a table": ("self.n = {{'a': 1, 'b': 2}}[{}]", "return x + self.n"),
    "keyword of a layer": ("self.act = nn.GELU(approximate={})", "return self.act(x)"),
    "one of two layers": ("self.act = nn.GELU() if {} else nn.ReLU()", "return self.act(x)"),
    "attribute in an arm": ("self.n = 1\nif {}:\n    self.n = 2", "return x + self.n"),
    "a local in an arm": ("n = 1\nif {}:\n    n = 2\nself.n = n", "return x + self.n"),
    "none or not": ("self.act = nn.GELU() if {} else None", "return x if self.act is None else self.act(x)"),
    "text": ("self.n = str({}).lower() == 'yes'", "if self.n:\n    x = x + 1\nreturn x"),
    "boolean": ("self.n = bool({}) and torch.cuda.is_available()", "return x + 1 if self.n else x"),
}
#: The same where nothing of the graph depends on it.
NOWHERE = {
    "unused": ("self.n = {}", "return x + 1"),
    "raises": ("if {}:\n    raise ValueError", "return x + 1"),
    "asserted": ("self.n = {}", "assert not self.n\nreturn x"),
    "logged": ("if {}:\n    import logging\n    logging.info('on')", "return x + 1"),
    "decided otherwise": ("self.n = bool({}) and False", "return x + 1 if self.n else x"),
    "only called if there": ("self.n = nn.GELU() if {} else None", "return self.n(x)"),
    "same in both arms": ("self.n = 1 if {} else 1", "return x + self.n"),
}


def model(way: tuple[str, str]) -> str:
    constructor, forward = (part.replace("\n", "\n        ") for part in way)
    read = constructor.replace("{}", "os.environ['PLUGIN_X']").replace("{{", "{").replace("}}", "}")
    return (
        f"import os\n{HEAD}\n@support_torch_compile\nclass Model(nn.Module):\n    def __init__(self):\n"
        f"        super().__init__()\n        {read}\n"
        f"    def forward(self, x: torch.Tensor) -> torch.Tensor:\n        {forward}\n"
    )


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_ways_into_the_graph(way: tuple[str, str], tmp_path: Path) -> None:
    write(tmp_path, {"model.py": model(way)})
    assert [f.code for f in run(tmp_path).findings] == ["VL501"]


@pytest.mark.parametrize("way", NOWHERE.values(), ids=NOWHERE)
def test_what_does_not_change_the_graph(way: tuple[str, str], tmp_path: Path) -> None:
    write(tmp_path, {"model.py": model(way)})
    assert found(run(tmp_path)) == []


def test_only_vllm_has_such_a_key(tmp_path: Path) -> None:
    text = model(WAYS["argument"]).replace("@support_torch_compile\n", "")
    write(tmp_path, {"model.py": text + "\nmodel = torch.compile(Model())\n"})
    result = run(tmp_path)
    assert result.roots
    assert found(result) == []


def test_a_change_of_the_hash_is_noticed_by_the_cache(tmp_path: Path) -> None:
    write(tmp_path, program("config.model.seed"))
    settings = Settings(paths=(tmp_path / "model.py",), base=tmp_path, search_installed=False, jobs=1)
    cached = replace(settings, cache_dir=tmp_path / ".cache")
    rules = [rule for rule in RULES if rule in find("VL5")]
    cold = check(cached, rules).findings
    assert [f.code for f in cold] == ["VL502"]
    assert check(cached, rules).findings == cold
    path = tmp_path / "vllm/config/vllm.py"
    path.write_text(path.read_text().replace('{"seed", "vision"}', '{"width", "vision"}'))
    assert check(cached, rules).findings == check(settings, rules).findings == ()


@pytest.mark.parametrize(
    "hash_of",
    [
        "ignored = ignored | {'seed'}\n        return hash_factors(get_hash_factors(self, ignored))",
        "return",
        "return self.compute_hash()",
        "return hash_factors(get_hash_factors(self, *args))",
    ],
)
def test_odd_hashes_are_survived(hash_of: str, tmp_path: Path) -> None:
    files = program("config.model.width")
    start, end = CONFIG.index('        ignored = {"seed"'), CONFIG.index("@dataclass\nclass Lora")
    files["vllm/config/vllm.py"] = CONFIG[:start] + f"        {hash_of}\n\n" + CONFIG[end:]
    write(tmp_path, files)
    assert {f.code for f in run(tmp_path, "model.py").findings} <= {"VL502"}
