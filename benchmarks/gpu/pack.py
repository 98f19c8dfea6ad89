"""Packs what a GPU machine without network lacks to run vLLM: its Python files, kernels for one architecture, wheels.

For example: python benchmarks/gpu/pack.py .gpu
The machine has Python 3.12 with torch 2.11 for CUDA 13, and the packages that the README names.
"""

from __future__ import annotations

import argparse
import lzma
import re
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

VLLM = "vllm==0.24.0"
#: What vLLM and vllm-lint import, and a machine with torch and transformers need not have.
WHEELS = (
    "annotated_types==0.8.0",
    "cachetools==8.0.1",
    "cbor2==6.3.0",
    "distro==1.9.0",
    "fastapi==0.136.0",
    "msgspec==0.22.0",
    "openai==2.54.0",
    "partial_json_parser==0.2.1.1.post7",
    "pybase64==1.5.1",
    "pydantic==2.14.3",
    "pydantic_core==2.50.4",
    "pyzmq==27.3.0",
    "sniffio==1.3.1",
    "starlette==1.10.0",
    "typing_inspection==0.4.5",
)
PLATFORMS = tuple(
    f"manylinux{name}_x86_64" for name in ("_2_28", "_2_27", "_2_31", "_2_34", "_2_35", "_2_17", "2014", "1")
)
KERNELS = ("_C_stable_libtorch.abi3.so", "_moe_C_stable_libtorch.abi3.so")
LEFT_OUT = {".so", ".h", ".hpp", ".cuh", ".cu", ".inl", ".cpp", ".js", ".css", ".jpg", ".png"}

_FATBIN, _CODE, _PTX = 0xBA55ED50, 2, 1


def main() -> None:
    """Download, trim and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sm", type=int, default=90, help="compute capability times ten")
    options = parser.parse_args()
    wheels = options.folder / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    _download(wheels, WHEELS)
    with tempfile.TemporaryDirectory() as scratch:
        _download(Path(scratch), (VLLM,))
        (wheel,) = Path(scratch).glob("vllm-*.whl")
        _strip(wheel, options.folder / "vllm.zip")
        for name in KERNELS:
            with zipfile.ZipFile(wheel) as archive:
                code = bytearray(archive.read(f"vllm/{name}"))
            _trim(code, options.sm)
            (options.folder / f"{name}.xz").write_bytes(lzma.compress(code, preset=6))
    size = sum(f.stat().st_size for f in options.folder.rglob("*"))
    print(f"{options.folder}: {size / 1e6:.0f} MB")


def _download(folder: Path, requirements: tuple[str, ...]) -> None:
    platforms = [argument for name in PLATFORMS for argument in ("--platform", name)]
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(folder)]
    command += ["--python-version", "3.12", "--implementation", "cp", *platforms, *requirements]
    subprocess.run(command, check=True)


def _strip(wheel: Path, out: Path) -> None:
    """The wheel without compiled code and headers."""
    with (
        zipfile.ZipFile(wheel) as source,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target,
    ):
        for item in source.infolist():
            is_code = Path(item.filename).suffix in LEFT_OUT or item.filename == "vllm/vllm-rs"
            if not item.is_dir() and not is_code and not item.filename.endswith("/RECORD"):
                target.writestr(item.filename, source.read(item))


def _trim(code: bytearray, sm: int) -> None:
    """Zero the GPU code for other architectures in place: the file keeps its layout and compresses to a fraction."""
    with tempfile.NamedTemporaryFile(suffix=".so") as file:
        file.write(code)
        file.flush()
        sections = subprocess.run(["readelf", "-SW", file.name], capture_output=True, text=True, check=True).stdout
    found = re.search(r"\.nv_fatbin\s+PROGBITS\s+[0-9a-f]+ ([0-9a-f]+) ([0-9a-f]+)", sections)
    assert found is not None, "no GPU code"
    position = int(found[1], 16)
    end = position + int(found[2], 16)
    while position < end - 16:
        if struct.unpack_from("<I", code, position)[0] != _FATBIN:
            position += 8
            continue
        header, size = struct.unpack_from("<HQ", code, position + 6)
        images = list(_images(code, position + header, position + header + size))
        native = [at for kind, arch, at, _ in images if kind == _CODE and arch == sm]
        older = [arch for kind, arch, _, _ in images if kind == _PTX and arch <= sm]
        for kind, arch, at, length in images:
            is_kept = at in native if native else kind == _PTX and bool(older) and arch == max(older)
            if not is_kept:
                code[at : at + length] = bytes(length)
        position += header + size


def _images(code: bytearray, position: int, end: int) -> list[tuple[int, int, int, int]]:
    """Kind, architecture, offset and length of each image in a container."""
    images = []
    while position < end:
        kind, _, header, size = struct.unpack_from("<HHIQ", code, position)
        arch = struct.unpack_from("<I", code, position + 28)[0]
        images.append((kind, arch, position + header, size))
        position += header + size
    return images


if __name__ == "__main__":
    main()
