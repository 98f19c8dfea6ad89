"""Says, in a child of a process that has imported vLLM, what its key and the captured graph of a fixture case are."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

Facts = tuple[tuple[str, ...], str]
"""The factors of the key, save for the source of what is traced, which is the same in all runs; and the graph."""


def facts(path: str, name: str, change: str) -> Facts:
    """Build the class `name` of the file at `path` under vLLM's own configuration, and capture it.

    `change` is a setting such as `VARIABLE=1`, `PluginConfig.field=True` or `os.cpu_count()=3`; empty for none.
    """
    from vllm.compilation.caching import aot_compile_hash_factors
    from vllm.config import CompilationConfig, CompilationMode, VllmConfig, set_current_vllm_config

    setting, _, value = change.partition("=")
    if setting.endswith("()"):
        owner, _, function = setting.removesuffix("()").rpartition(".")
        setattr(importlib.import_module(owner), function, lambda: ast.literal_eval(value))
        setting = ""
    elif setting and "." not in setting:
        os.environ[setting] = value
    module = _load(Path(path))
    plugin = _plugin_config(module, setting, value)
    config = VllmConfig(
        additional_config=plugin if plugin is not None else {},
        compilation_config=CompilationConfig(mode=CompilationMode.NONE),
    )
    with set_current_vllm_config(config):
        model = getattr(module, name)()

    passes = module.passes() if hasattr(module, "passes") else []
    graph = _captured(model, passes)
    factors = [*aot_compile_hash_factors(config), *(one.uuid() for one in passes)]  # the latter as Inductor adds them
    return tuple(map(str, factors)), graph


def _captured(model: Any, passes: list[Any]) -> str:
    """The graph of a forward, after these passes."""
    import torch

    graphs: list[str] = []

    def record(graph: Any, example_inputs: Any) -> Any:  # noqa: ARG001  what a backend is called with
        for one in passes:
            one(graph.graph)
            graph.recompile()
        graphs.append(graph.code + "".join(f"\n{n}: {m}" for n, m in graph.named_modules() if n))
        return graph.forward

    torch.compile(model.forward, backend=record, fullgraph=True)(torch.randn(8, 8))
    return "\n".join(graphs)


def held_by_vllm() -> tuple[set[str], dict[str, dict[str, bool]]]:
    """The variables that vLLM hashes, and for each of its configurations which fields change the hash of an object.

    A hash that cannot be worked out with the changed field takes that field into account as well.
    """
    import vllm.config
    from vllm import envs

    found: dict[str, dict[str, bool]] = {}
    for name, cls in sorted(vars(vllm.config).items()):
        if not dataclasses.is_dataclass(cls) or not hasattr(cls, "compute_hash") or name == "VllmConfig":
            continue
        instance = _some(cls)
        before = _hash_of(instance)
        if before is None:
            continue
        found[name] = {}
        for field in dataclasses.fields(cls):
            value = instance.__dict__.get(field.name)
            instance.__dict__[field.name] = "another"
            found[name][field.name] = _hash_of(instance) != before
            instance.__dict__[field.name] = value
    return set(envs.compile_factors()), found


def _some(cls: Any) -> Any:
    """An object of a configuration with the defaults of its fields; nothing is checked or looked up."""
    from vllm.config.utils import get_field

    instance = object.__new__(cls)
    for field in dataclasses.fields(cls):
        default = get_field(cls, field.name)
        if default.default_factory is not dataclasses.MISSING:
            value = default.default_factory()
        else:
            value = None if default.default is dataclasses.MISSING else default.default
        instance.__dict__[field.name] = value
    return instance


def _hash_of(instance: Any) -> str | None:
    """None where the hash cannot be worked out."""
    try:
        return str(instance.compute_hash())
    except (AttributeError, TypeError, ValueError, KeyError):
        return None


def _plugin_config(module: ModuleType, setting: str, value: str) -> Any:
    """The configuration of the fixture's plugin with the setting, in force; None where there is none."""
    plugin = next((m for m in (module, sys.modules.get("plugin.settings")) if hasattr(m, "set_config")), None)
    if plugin is None:
        return None
    config = plugin.PluginConfig()
    owner, _, field = setting.rpartition(".")
    if owner:
        change = {field: ast.literal_eval(value)}
        if owner == "PluginConfig":
            config = dataclasses.replace(config, **change)
        else:
            (inner,) = (f.name for f in dataclasses.fields(config) if type(getattr(config, f.name)).__name__ == owner)
            config = dataclasses.replace(config, **{inner: dataclasses.replace(getattr(config, inner), **change)})
    plugin.set_config(config)
    return config


def _load(path: Path) -> ModuleType:
    sys.path.insert(0, str(path.parent))
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = module
    specification.loader.exec_module(module)
    return module
