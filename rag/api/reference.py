"""The API reference as one plain page, made from the OpenAPI schema."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

import rag.web
from rag.api.render import markdown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jinja2 import Template

Schema = dict[str, Any]

_SERVER = "http://127.0.0.1:8080"


def reference_html(openapi: Schema) -> str:
    """The page for a whole OpenAPI schema."""
    operations = list(_operations(openapi))
    groups = [
        {**tag, "operations": [each for each in operations if tag["name"] in each["tags"]]} for tag in openapi["tags"]
    ]
    return _template().render(info=openapi["info"], groups=groups, schemas=openapi["components"]["schemas"])


@cache
def _template() -> Template:
    folder = Path(rag.web.__file__).parent
    environment = Environment(loader=FileSystemLoader(folder), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(markdown=_markdown, type_of=type_of, curl=_curl, limits=_limits)
    return environment.get_template("reference.html")


def _operations(openapi: Schema) -> Iterator[Schema]:
    schemas = openapi["components"]["schemas"]
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            contents = operation.get("requestBody", {}).get("content", {})
            body = {kind: _resolved(content["schema"], schemas) for kind, content in contents.items()}
            yield {"parameters": [], **operation, "path": path, "method": method.upper(), "body": body}


def _resolved(schema: Schema, schemas: Mapping[str, Schema]) -> Schema:
    return schemas[_name(schema)] if "$ref" in schema else schema


def _name(schema: Schema) -> str:
    return str(schema["$ref"]).rsplit("/", 1)[-1]


def type_of(schema: Schema) -> Markup:
    """A schema in words: `integer or null`, `list of Passage`, with links to the named ones."""
    if "$ref" in schema:
        return Markup('<a href="#{0}">{0}</a>').format(_name(schema))
    if "anyOf" in schema:
        return Markup(" or ").join(type_of(each) for each in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return Markup(" or ").join(f'"{value}"' for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return Markup("list of ") + type_of(schema.get("items") or schema.get("prefixItems", [{}])[0])
    if schema.get("format") == "binary":
        return Markup("file")
    return Markup.escape(schema.get("type", "anything"))


def _limits(schema: Schema) -> str:
    """The bounds on a value, in words."""
    parts = [each for each in (schema, *schema.get("anyOf", [])) if each.get("type") != "null"]
    words = {
        "minimum": "from {}",
        "maximum": "to {}",
        "maxLength": "at most {} characters",
        "pattern": "matches {}",
    }
    return ", ".join(text.format(part[key]) for part in parts for key, text in words.items() if key in part)


def _curl(operation: Schema) -> str:
    """How to call an operation from a shell."""
    words = ["curl"] if operation["method"] == "GET" else ["curl", "-X", operation["method"]]
    words.append(_SERVER + operation["path"])
    for media_type, schema in operation["body"].items():
        if media_type == "application/json":
            words += ["-H", f"'Content-Type: {media_type}'", "-d", f"'{_example(schema)}'"]
        else:
            words += ["-F", "file=@handbook.pdf"]
    return " ".join(words)


def _example(schema: Schema) -> str:
    """A request body with the required fields."""
    properties = schema["properties"]
    return json.dumps({name: properties[name]["examples"][0] for name in schema["required"]})


def _markdown(text: str | None) -> Markup:
    return Markup(markdown(text or ""))  # noqa: S704 - cleaned by rag.api.render
