"""Settings from `vllm-lint.toml` or `[tool.vllm-lint]` in pyproject.toml, merged with the command line."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from vllm_lint.analyzer.cache import default_folder
from vllm_lint.analyzer.findings import Confidence
from vllm_lint.cli.errors import Failure, did_you_mean

# By name, since a type checker set to 3.10 would ask for tomli, which newer Pythons do not install.
tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

OutputFormat = Literal["full", "concise", "json", "jsonl", "github", "sarif"]

FILE_NAME = "vllm-lint.toml"
TABLE = "tool.vllm-lint"


class Configuration(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """All settings. A path is relative to the folder of the file that it stands in."""

    select: tuple[str, ...] = ("ALL",)
    """Rules to run, by code, name or prefix such as `VL2`; `ALL` for all."""
    ignore: tuple[str, ...] = ()
    """Rules not to run. Of a rule's entries in `select` and `ignore` the most specific one counts."""
    per_file_ignores: dict[str, tuple[str, ...]] = {}
    """Rules not to report in files that match a gitignore-style pattern."""
    exclude: tuple[str, ...] = ()
    """gitignore-style patterns of files and folders not to check, on top of .gitignore files."""
    force_exclude: bool = False
    """Whether `exclude` also holds for files that are named on the command line, as pre-commit names them."""
    source_roots: tuple[str, ...] = ()
    """Folders in which imports are looked up, besides those that the checked files lie in."""
    roots: tuple[str, ...] = ()
    """More compiled roots, as `package.module:Class` or `package.module:function`."""
    min_confidence: Confidence = Confidence.LOW
    """Report only findings at least this certain."""
    output_format: OutputFormat = "full"
    """Format of the report."""
    cache_dir: str | None = None
    """Folder where facts about files are kept between runs; by default `.vllm_lint_cache` beside the configuration
    file, or else at the top of the git repository."""
    search_installed: bool = True
    """Whether to follow imports into an installed vLLM."""
    require_suppression_reason: bool = False
    """Whether a suppression comment must say why."""


class Loaded(msgspec.Struct, frozen=True):
    """The merged settings and where they came from."""

    values: Configuration
    origins: dict[str, str]
    """Kebab-case key to the file or "command line" that set it, or "default"."""
    folders: dict[str, Path]
    """Kebab-case key to the folder that paths in its value are relative to."""
    file: Path | None
    """The configuration file, absolute."""

    @property
    def cache_folder(self) -> Path:
        """Where the cache lies."""
        value = self.values.cache_dir
        return default_folder(Path.cwd(), self.file) if value is None else self.path("cache-dir", value)

    def path(self, key: str, value: str) -> Path:
        """`value`, which stands under `key`, as a path."""
        return self.folders[key] / Path(value).expanduser()


def load(start: Path, overrides: Mapping[str, Any], *, file: Path | None = None, isolated: bool = False) -> Loaded:
    """Settings for what lies at `start`: the nearest file's, or `file`'s, with `overrides` (kebab-case) in their place.

    Raises:
        Failure: a file cannot be read, is not TOML, has a key that does not exist or a value of the wrong type.
    """
    source = None if isolated else file or _nearest(start)
    table: dict[str, Any] = {}
    if source is not None:
        table = _read(source)
        _validate(table, source)
    changed = {key: value for key, value in overrides.items() if value not in (None, (), [])}
    values = msgspec.convert({**table, **changed}, Configuration, strict=True)
    origins, folders = {}, {}
    for field in msgspec.structs.fields(Configuration):
        key = field.encode_name
        from_file = source is not None and key in table and key not in changed
        folders[key] = source.resolve().parent if source is not None and from_file else Path.cwd()
        origins[key] = "command line" if key in changed else str(source) if from_file else "default"
    return Loaded(values, origins, folders, source.resolve() if source else None)


def _nearest(start: Path) -> Path | None:
    """The configuration file that holds at `start`: in its folder or the nearest one above."""
    start = start.resolve()
    for folder in (start, *start.parents):
        own = folder / FILE_NAME
        if own.is_file():
            return _shown(own)
        project = folder / "pyproject.toml"
        if project.is_file() and _has_table(project):
            return _shown(project)
    return None


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _has_table(project: Path) -> bool:
    # Most pyproject.toml files on the way up are about other tools: their mistakes are not ours to report.
    try:
        return b"vllm-lint" in project.read_bytes() and "vllm-lint" in _parse(project).get("tool", {})
    except OSError as error:
        raise Failure(f"cannot read {project}: {error.strerror}") from error


def _parse(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Failure(f"{path} is not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise Failure(f"{path} is not TOML: {error}") from error
    return document


def _read(path: Path) -> dict[str, Any]:
    document = _parse(path)
    if path.name == "pyproject.toml":
        document = document.get("tool", {}).get("vllm-lint", {})
    if not isinstance(document, dict):
        raise Failure(f"{path}: {TABLE} is not a table")
    return document


def _validate(table: dict[str, Any], source: Path) -> None:
    known = [field.encode_name for field in msgspec.structs.fields(Configuration)]
    for key in table:
        if key not in known:
            raise Failure(f"{_place(source, key)}: unknown setting {key!r}{did_you_mean(key, known)}")
    try:
        msgspec.convert(table, Configuration, strict=True)
    except msgspec.ValidationError as error:
        reason, _, where = str(error).partition(" - at `$.")
        key = re.split(r"[.\[`]", where)[0]
        raise Failure(f"{_place(source, key)}: {key}: {reason[:1].lower()}{reason[1:].replace('`', '')}") from error


def _place(source: Path, key: str) -> str:
    """`file:line` of a key in our table; the file alone if the key is written in an unusual way."""
    in_table = source.name != "pyproject.toml"
    for number, line in enumerate(source.read_text(encoding="utf-8-sig").splitlines(), 1):
        header = re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line)
        if header:
            name = header[1].replace(" ", "").replace('"', "").removeprefix(f"{TABLE}.")
            if name == key:
                return f"{source}:{number}"
            in_table = name == TABLE
        elif in_table and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*[=.]""", line):
            return f"{source}:{number}"
    return str(source)
