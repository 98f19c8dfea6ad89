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
from vllm_lint.runtime_verifier.jobs import Device
from vllm_lint.runtime_verifier.outcomes import Backend, Mode

# By name, since a type checker set to 3.10 would ask for tomli, which newer Pythons do not install.
tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

OutputFormat = Literal["full", "concise", "json", "jsonl", "github", "sarif"]

FILE_NAME = "vllm-lint.toml"
TABLE = "tool.vllm-lint"


FailOn = Literal["confirmed", "likely", "any"]


class Verification(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """Settings of `verify` and of `check --verify`."""

    harness: tuple[str, ...] = ()
    """Functions that return a module and its inputs, as `package.module:function` or `file.py:function`."""
    shapes: dict[str, str] = {}
    """What a target takes, by its name as it is given to `verify`: `"model.py:Block" = "x=n,64 positions=n:int64"`."""
    python: str | None = None
    """The interpreter that has torch and vLLM; by default the one that vllm-lint runs in."""
    device: Device = "auto"
    """Where targets run; `auto` is a GPU if there is one, `cuda` fails without one."""
    timeout: float = 120.0
    """Seconds for one target."""
    memory: float = 8.0
    """GiB for one target, on top of what torch itself maps."""
    modes: tuple[Mode, ...] = ("backed",)
    """How sizes are marked in the captures; more are run by themselves where that tells more about a failure."""
    replay: tuple[Backend, ...] = ("eager",)
    """What runs the captured graph when it is compared with eager at other sizes."""
    fail_on: FailOn = "likely"
    """Which findings make the exit status 1: those that a run proved, also those that are likely, or all but those that
    a run refuted."""


class Configuration(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """All settings. A path is relative to the folder of the file that it stands in."""

    select: tuple[str, ...] = ("ALL",)
    """Rules to run, by code, name or prefix such as `VL2`; `ALL` for all."""
    ignore: tuple[str, ...] = ()
    """Rules not to run. Of a rule's entries in `select` and `ignore` the most specific one counts."""
    preview: bool = False
    """Whether rules in preview run as well; without it, only those that `select` names by code or name."""
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
    verify: Verification = Verification()
    """The table of settings for `verify`."""


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
    _know(table, Configuration, "", source)
    if isinstance(table.get("verify"), dict):
        _know(table["verify"], Verification, "verify.", source)
    try:
        msgspec.convert(table, Configuration, strict=True)
    except msgspec.ValidationError as error:
        reason, _, where = str(error).partition(" - at `$.")
        names = re.split(r"[.\[`]", where)
        key = names[1] if names[0] == "verify" and names[1] else names[0]
        raise Failure(f"{_place(source, key)}: {key}: {reason[:1].lower()}{reason[1:].replace('`', '')}") from error


def _know(table: dict[str, Any], settings: type[msgspec.Struct], prefix: str, source: Path) -> None:
    known = [field.encode_name for field in msgspec.structs.fields(settings)]
    for key in table:
        if key not in known:
            raise Failure(f"{_place(source, key)}: unknown setting {prefix + key!r}{did_you_mean(key, known)}")


def _place(source: Path, key: str) -> str:
    """`file:line` of a key in our table; the file alone if the key is written in an unusual way."""
    in_table = source.name != "pyproject.toml"
    for number, line in enumerate(source.read_text(encoding="utf-8-sig").splitlines(), 1):
        header = re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line)
        if header:
            name = header[1].replace(" ", "").replace('"', "").removeprefix(f"{TABLE}.")
            if name == key:
                return f"{source}:{number}"
            in_table = name in (TABLE, f"{TABLE}.verify", "verify")
        elif in_table and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*[=.]""", line):
            return f"{source}:{number}"
    return str(source)
