#!/usr/bin/env bash
# Unpacks what pack.py packed and makes vLLM and vllm-lint importable: setup.sh PACKED TARGET [SOURCE]
# Prints the PYTHONPATH to use. SOURCE is the checkout of vllm-lint, the current folder by default.
set -euo pipefail
packed=$1 target=$2 source=$(realpath "${3:-.}")
here=$(dirname "$(realpath "$0")")
mkdir -p "$target/site" "$target/vllm" "$target/own/vllm_lint"
python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$target/site" "$packed"/wheels/*.whl >&2
python3 - "$packed" "$target/vllm" <<'PY'
import lzma
import sys
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path


def unpack(file: Path) -> None:
    Path(sys.argv[2], "vllm", file.stem).write_bytes(lzma.decompress(file.read_bytes()))


zipfile.ZipFile(Path(sys.argv[1], "vllm.zip")).extractall(sys.argv[2])
with ProcessPoolExecutor() as pool:
    list(pool.map(unpack, Path(sys.argv[1]).glob("*.xz")))
PY
# vLLM wants one of its two flash attention modules to import; nothing here calls attention.
touch "$target/vllm/vllm/vllm_flash_attn/_vllm_fa3_C.py"
for folder in analyzer cli rewriter rules runtime_verifier; do ln -sfn "$source/$folder" "$target/own/vllm_lint/$folder"; done
echo "$target/own:$here/absent:$target/vllm:$target/site"
