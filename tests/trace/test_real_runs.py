"""Logs that torch and vLLM write on this machine are read like those that were kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.trace import logs
from tests.trace.test_join import MODEL
from vllm_lint.cli.main import main

CAPTURE = """\
import json, sys, torch
sys.path.insert(0, {folder!r})
from model import Model
from vllm_lint.runtime_verifier.worker.evidence import Evidence

x, y = torch.ones(40, 8), torch.ones(40)
for value in (x, y):
    torch._dynamo.mark_dynamic(value, 0)
with Evidence() as evidence:
    torch.compile(Model(), fullgraph=True, dynamic=False, backend="eager",
                  options={{"guard_filter_fn": torch.compiler.skip_all_guards_unsafe}})(x, y)
(found,) = evidence.trace.compilations
print(json.dumps([found.names, [[g.text, g.origin, [[p.path, p.line] for p in g.stack]] for g in found.guards]]))
"""

SOURCE = """\
import torch


class Model(torch.nn.Module):
    def forward(self, x, y):
        if x.size(0) % 5 == 0:
            x = x * 2
        return (x + y[:, None]).view(-1, 4, 16)
"""


@pytest.mark.torch
@pytest.mark.slow
def test_a_log_says_what_the_process_itself_saw(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(SOURCE)
    environment = {**os.environ, "TORCH_TRACE": str(tmp_path / "trace")}
    done = subprocess.run(
        [sys.executable, "-c", CAPTURE.format(folder=str(tmp_path))],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    (path,) = (tmp_path / "trace").glob("*.log")
    (found,) = logs.read(path)
    guards = [[g.text, g.origin, [[p.path, p.line] for p in g.stack]] for g in found.guards]
    assert [found.names, guards] == json.loads(done.stdout)
    assert (found.captured, found.keeps_guards, found.is_marked) == (True, False, True)
    result = CliRunner().invoke(main, ["trace", str(path), str(tmp_path), "--isolated", "--output-format", "concise"])
    assert result.exit_code == 1
    assert "model.py:6:9: error[VL201]" in result.stdout
    assert "model.py:8:9: error[VL204]" in result.stdout


#: Calls the decorated class of `MODEL` as vLLM does; nothing is changed but the environment.
CALL = """

if __name__ == "__main__":
    config = EngineArgs(
        model=sys.argv[1], skip_tokenizer_init=True, load_format="dummy", dtype="float32", max_model_len=128
    ).create_engine_config()
    with set_current_vllm_config(config), torch.no_grad():
        toy = Toy(vllm_config=config)
        with set_forward_context(None, config, num_tokens=40):
            for tokens in (40, 128):
                toy(torch.ones(tokens, 8), torch.arange(tokens))
"""
LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 128,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 256,
    "max_position_embeddings": 256,
}


@pytest.mark.vllm
@pytest.mark.slow
def test_a_decorated_call_of_vllm_is_confirmed(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    (tmp_path / "toy.py").write_text(MODEL + CALL)
    environment = {
        **os.environ,
        "TORCH_TRACE": str(tmp_path / "trace"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CACHE_ROOT": str(tmp_path / "cache"),
    }
    command = [sys.executable, "toy.py", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    arguments = ["trace", str(tmp_path / "trace"), str(tmp_path / "toy.py"), "--isolated", "--output-format", "json"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1, result.output
    found = json.loads(result.stdout)["findings"]
    assert [(f["code"], f["line"], f["verdict"]) for f in found] == [
        ("VL201", 9, "confirmed"),
        ("VL204", 20, "not reached"),
    ]
