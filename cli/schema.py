"""The configuration described for editors (JSON schema) and for people (a table), from its class alone."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

import msgspec

from vllm_lint.cli.configuration import Configuration, Verification


def field_docs(settings: type[msgspec.Struct] = Configuration) -> dict[str, str]:
    """Kebab-case key to the docstring under the field."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(settings)))
    (definition,) = tree.body
    assert isinstance(definition, ast.ClassDef)
    docs = {}
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            docs[field.target.id.replace("_", "-")] = " ".join(ast.literal_eval(below.value).split())
    return docs


def json_schema() -> dict[str, Any]:
    """JSON schema of `vllm-lint.toml`, and of the table `[tool.vllm-lint]`."""
    (_,), components = msgspec.json.schema_components([Configuration])
    schema = components.pop("Configuration")
    for described, settings in ((schema, Configuration), (components["Verification"], Verification)):
        for key, text in field_docs(settings).items():
            described["properties"][key]["description"] = text
    schema["properties"]["verify"].pop("default")  # an empty table
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "vllm-lint",
        "$defs": components,
    }


def markdown_table() -> str:
    """One row a setting: key, type, default, what it does."""
    rows = ["| key | type | default | what it does |", "|---|---|---|---|"]
    schema = json_schema()
    for prefix, settings, properties in (
        ("", Configuration, schema["properties"]),
        ("verify.", Verification, schema["$defs"]["Verification"]["properties"]),
    ):
        docs = field_docs(settings)
        for key, default in msgspec.to_builtins(settings()).items():
            if key != "verify":
                shown = "" if default is None else f"`{msgspec.json.encode(default).decode()}`"
                rows.append(f"| `{prefix}{key}` | {_type(properties[key])} | {shown} | {docs[key]} |")
    return "\n".join(rows)


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        schema = json_schema()["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_type(option) for option in schema["anyOf"] if option.get("type") != "null")
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}s"
    if schema["type"] == "object":
        return f"table of {_type(schema['additionalProperties'])}"
    return str(schema["type"])
