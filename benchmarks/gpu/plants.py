"""Defects planted in a copy of vLLM's Llama, in the forward of its MLP."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from vllm_lint.runtime_verifier.outcomes import Backend

MODULE = Path("model_executor", "models", "llama.py")
_AFTER = "        x = self.act_fn(x)\n"
_HERE = "# here"


@dataclass(frozen=True)
class Plant:
    """Lines that go behind the activation; the one to blame ends with `# here`."""

    name: str
    code: str
    finds: str
    """Code of the finding on that line; empty where there must be none."""
    backends: tuple[Backend, ...] = ("eager",)
    is_repaired: bool = False
    """Whether what vllm-lint itself makes of it is verified in its place: it has to be clean then."""

    def write(self, folder: Path) -> tuple[str, str, int]:
        """Write the changed copy. Returns the paths of original and copy, and the line to blame."""
        found = find_spec("vllm")
        assert found is not None and found.origin is not None, "vLLM is not installed"
        original = Path(found.origin).parent / MODULE
        text = original.read_text(encoding="utf-8")
        assert text.count(_AFTER) == 1, "this release of vLLM has another MLP"
        code = "".join(f"        {line}\n" for line in self.code.splitlines())
        text = text.replace(_AFTER, _AFTER + code)
        copy = folder / self.name / MODULE.name
        copy.parent.mkdir(parents=True)
        copy.write_text(text, encoding="utf-8")
        line = next(n for n, content in enumerate(text.splitlines(), 1) if content.endswith(_HERE))
        if self.is_repaired:
            _repair(original, copy)
        return str(original), str(copy), line


def _repair(original: Path, copy: Path) -> None:
    """Apply all fixes to `copy`, read as if it stood in place of `original`: there its imports mean something."""
    command = [sys.executable, "-m", "vllm_lint.cli", "check", "-", "--stdin-filename", str(original)]
    command += ["--isolated", "--diff", "--unsafe-fixes"]
    done = subprocess.run(command, input=copy.read_bytes(), capture_output=True, check=False)
    assert done.stdout, f"there is no fix: {done.stderr.decode()}"
    subprocess.run(["patch", str(copy)], input=done.stdout, capture_output=True, check=True)


_SYNC = "VL401"

PLANTS = (
    Plant(
        "branch on divisibility",
        "if x.size(0) % 128 == 0:  # here\n    x = x * 2",
        "VL201",
        ("eager", "aot_eager", "inductor", "cudagraph"),
    ),
    Plant(
        "branch on divisibility, moved into an operator",
        "if x.size(0) % 128 == 0:  # here\n    x = x * 2",
        "",
        ("eager", "aot_eager", "inductor", "cudagraph"),
        is_repaired=True,
    ),
    Plant(
        "branch on data, moved into an operator",
        "if x.abs().max().item() > 1:  # here\n    x = x / 2",
        "",
        ("eager", "inductor"),
        is_repaired=True,
    ),
    Plant("print", "print(x.shape)  # here", "VL103"),
    Plant("print, repaired", "print(x.shape)  # here", "", ("eager", "inductor", "cudagraph"), is_repaired=True),
    Plant("branch on data", "if x.abs().max().item() > 1:  # here\n    x = x / 2", "VL102"),
    Plant("item", "x = x / x.count_nonzero().item()  # here", _SYNC, ("eager", "inductor", "cudagraph")),
    Plant("copy to the host", "x = x * x.abs().amax().cpu().to(x.device)  # here", _SYNC, ("eager", "cudagraph")),
    Plant("size from data", "x = x * x.sign().nonzero().size(0)  # here", _SYNC, ("eager", "cudagraph")),
    # AOTAutograd turns a float that is only multiplied back into a tensor.
    Plant("item that the compiler removes", "x = x * x.abs().max().item()  # here", "", ("eager", "cudagraph")),
)
