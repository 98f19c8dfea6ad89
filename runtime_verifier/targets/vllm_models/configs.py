"""Finds the Hugging Face configuration class of an architecture, without a checkpoint."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import torch
import transformers
from transformers.models.auto import configuration_auto, modeling_auto
from vllm.transformers_utils import config as vllm_config

from vllm_lint.runtime_verifier.targets.vllm_models.registry import NotBuilt, model_class, one_line, plain

try:
    from transformers import PreTrainedConfig
except ImportError:  # transformers before 5
    from transformers import PretrainedConfig as PreTrainedConfig

ConfigClass = type[Any]

_SUFFIX = re.compile(
    r"(For(CausalLM|ConditionalGeneration|SequenceClassification|TokenClassification|Retrieval|Embedding|"
    r"QuestionAnswering|ActionPrediction|MaskedLM|CausalLMV)|LMHeadModel|TextModel|EmbeddingModel|"
    r"RewardModel|ChatModel|Model|Generation)+$"
)


def config_class(architecture: str) -> tuple[ConfigClass | None, str]:
    """The class, and where it was found; None if there is none and one has to be made up."""
    for name, found in (
        ("the mapping of transformers", _from_transformers(architecture)),
        ("a model type of the same name", _from_model_type(architecture)),
        ("the annotations of the model", _from_annotations(model_class(architecture))),
        ("a relative", _from_relatives(model_class(architecture))),
    ):
        if found is not None:
            return found, name
    return None, "made up"


def register(cls: ConfigClass) -> str:
    """Have AutoConfig know the class; returns its model type."""
    model_type: str = cls.model_type or re.sub(r"Config$", "", cls.__name__).lower()
    known = model_type in configuration_auto.CONFIG_MAPPING or model_type in vllm_config._CONFIG_REGISTRY
    if not known:
        cls.model_type = model_type
        transformers.AutoConfig.register(model_type, cls)
    return model_type


def made_up(architecture: str, name: str | None = None) -> ConfigClass:
    """A class for an architecture that has none: it takes any value, and its parts are such classes too."""
    return _made_up(name or "MadeUpConfig", plain(architecture))


def _made_up(name: str, model_type: str) -> ConfigClass:
    def init(self: Any, **values: Any) -> None:
        for key, value in values.items():
            if key.endswith("_config") and isinstance(value, dict):  # a part is told by the name of its class
                values[key] = _part(f"{key}.{name}", value)
            elif key.endswith("_configs") and isinstance(value, list):  # parts without names, one for each layer
                values[key] = [_namespace(item) for item in value]
        PreTrainedConfig.__init__(self, **values)

    return type(name, (PreTrainedConfig,), {"model_type": model_type, "__init__": init})


def _part(name: str, values: dict[str, Any]) -> Any:
    cls = class_of_type(values.get("model_type", ""))
    return (cls or _made_up(name, values.get("model_type", plain(name))))(**values)


class _Part(dict[str, Any]):
    """A dictionary whose keys are attributes too; unlike other objects it can be written as JSON."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def _namespace(value: Any) -> Any:
    return _Part({k: _namespace(v) for k, v in value.items()}) if isinstance(value, dict) else value


def _from_transformers(architecture: str) -> ConfigClass | None:
    for name, mapping in vars(modeling_auto).items():
        if not name.endswith("_MAPPING_NAMES"):
            continue
        for model_type, classes in mapping.items():
            if architecture in ((classes,) if isinstance(classes, str) else classes):
                found = class_of_type(model_type)
                if found is not None:
                    return found
    return None


def _from_model_type(architecture: str) -> ConfigClass | None:
    by_name = {plain(t): t for t in (*configuration_auto.CONFIG_MAPPING_NAMES, *vllm_config._CONFIG_REGISTRY)}
    short = _SUFFIX.sub("", architecture)
    for wanted in (architecture, short, f"{short}Text"):
        if plain(wanted) in by_name:
            return class_of_type(by_name[plain(wanted)])
    return None


def class_of_type(model_type: str) -> ConfigClass | None:
    """The class of a model type; vLLM's own come first, as in vLLM."""
    for mapping in (vllm_config._CONFIG_REGISTRY, configuration_auto.CONFIG_MAPPING):
        try:
            if model_type in mapping:
                return mapping[model_type]  # type: ignore[no-any-return]
        except (ImportError, AttributeError):
            continue  # a class that this version of transformers has not
    return None


def _from_annotations(cls: type[torch.nn.Module]) -> ConfigClass | None:
    """What `config: SomeConfig = vllm_config.model_config.hf_config` in a constructor says."""
    for base in cls.__mro__:
        if not base.__module__.startswith("vllm.") or "__init__" not in vars(base):
            continue
        module = vars(sys.modules[base.__module__])
        for name in _annotated(base):
            found = module.get(name)
            if isinstance(found, type) and issubclass(found, PreTrainedConfig) and found is not PreTrainedConfig:
                return found
    return None


def _annotated(cls: type) -> Iterator[str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError, SyntaxError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and node.value is not None and "hf_config" in ast.unparse(node.value):
            for name in ast.walk(node.annotation):
                if isinstance(name, ast.Name):
                    yield name.id
        if isinstance(node, ast.arg) and node.arg == "config" and node.annotation is not None:
            for name in ast.walk(node.annotation):
                if isinstance(name, ast.Name):
                    yield name.id


def _from_relatives(cls: type[torch.nn.Module]) -> ConfigClass | None:
    """The configuration of a class that this one is made of: its bases, then what its module says."""
    for base in cls.__mro__[1:]:
        if base.__module__.startswith("vllm.model"):
            found = _from_transformers(base.__name__) or _from_model_type(base.__name__)
            if found is not None:
                return found
    found = _from_model_type(cls.__name__) or _from_model_type(cls.__module__.rpartition(".")[2])
    if found is not None:
        return found
    module = sys.modules[cls.__module__]
    for other in vars(module).values():
        if isinstance(other, type) and other.__module__ == module.__name__ and issubclass(other, torch.nn.Module):
            found = _from_annotations(other)
            if found is not None:
                return found
    return None


def defaults(cls: ConfigClass, given: dict[str, Any] | None = None) -> dict[str, Any]:
    """The default values of a class, with a configuration in every place where a default is none.

    `given` holds values for a class that cannot do without them.

    Raises:
        NotBuilt: the class cannot be made from its defaults.
    """
    try:
        made = cls(**(given or {}))
    except Exception as error:
        raise NotBuilt("config", f"{cls.__name__} has no defaults: {one_line(error)}") from error
    values: dict[str, Any] = made.to_dict()
    for name, part in (getattr(cls, "sub_configs", None) or {}).items():
        if values.get(name) is None and isinstance(part, type) and part is not transformers.AutoConfig:
            values[name] = defaults(part)
    return values
