"""The OpenAPI document of what is served, made from the ports."""

from __future__ import annotations

from typing import Any

import imagegraph
from imagegraph.message import DATATYPES
from imagegraph.ports import Port
from imagegraph.serve.service import Service

_LIMITS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "enum", "maxLength")
_NUMBERS = {"f": {"type": "number"}, "b": {"type": "boolean"}}


def document(service: Service) -> dict[str, Any]:
    """Returns the document; every answer of `rest` conforms to it."""
    model = {"name": "model", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    version = {**model, "name": "version"}
    ready = {"200": _ref("Ready"), "503": _ref("Ready")}
    infer: dict[str, Any] = {
        "requestBody": {"required": True, "content": {"application/json": {"schema": _schema("Request")}}},
        "responses": {
            "200": _ref("Response"),
            **_errors("400", "404", "413", "415", "499", "500", "501", "503", "504"),
        },
    }
    events = {"text/event-stream": {"schema": {"type": "string"}}}
    infer["responses"]["200"]["content"] |= events
    kept = {"description": "Bytes", "content": {"*/*": {"schema": {"type": "string"}}}}
    result = {"responses": {"200": kept, **_errors("404")}}
    predict = {
        "requestBody": {"required": True, "content": {"application/json": {"schema": _schema("Instances")}}},
        "responses": {
            "200": _ref("Predictions"),
            **_errors("400", "404", "413", "415", "499", "500", "503", "504"),
        },
    }
    paths: dict[str, Any] = {
        "/v2": {"get": {"responses": {"200": _ref("Server")}}},
        "/v2/health/live": {"get": {"responses": {"200": _ref("Live")}}},
        "/v2/health/ready": {"get": {"responses": ready}},
        "/v2/models": {"get": {"responses": {"200": _ref("Models")}}},
        "/v2/models/{model}": {"parameters": [model], "get": {"responses": {"200": _ref("Metadata")}}},
        "/v2/models/{model}/ready": {"parameters": [model], "get": {"responses": ready}},
        "/v2/models/{model}/infer": {"parameters": [model], "post": infer},
        "/v2/models/{model}/versions/{version}/infer": {"parameters": [model, version], "post": infer},
        "/v2/models/infer": {"post": infer},
        "/v2/results/{sha256}": {"parameters": [{**model, "name": "sha256"}], "get": result},
        "/v1/models/{model}:predict": {"parameters": [model], "post": predict},
        "/v2/repository/index": {"post": {"responses": {"200": _ref("Index")}}},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": f"imagegraph: {service.name}", "version": imagegraph.__version__},
        "paths": paths,
        "components": {"schemas": _schemas(service)},
    }


def _schema(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _ref(name: str) -> dict[str, Any]:
    return {"description": name, "content": {"application/json": {"schema": _schema(name)}}}


def _errors(*statuses: str) -> dict[str, Any]:
    return {status: _ref("Error") for status in statuses}


def _object(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": {**required, **optional}}


def _list(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _schemas(service: Service) -> dict[str, Any]:
    text, boolean = {"type": "string"}, {"type": "boolean"}
    interface = service.interface
    tensor = _object({"name": text, "datatype": text, "shape": _list({"type": "integer"})}, data=_list({}))
    facts = _object({"required": boolean, "schema": {"type": "object"}}, default={})
    about = _object(
        {"name": text, "datatype": text, "shape": _list({"type": "integer"}), "parameters": facts}
    )
    required = [name for name, port in interface.inputs.items() if port.required]
    properties = {name: _plain(port) for name, port in interface.inputs.items()}
    # Required of an instance unless the request's parameters have it, which JSON schema cannot say.
    plain = {"type": "object", "required": required, "properties": properties}
    inputs = {"anyOf": [_tensor(port) for port in interface.inputs.values()]} if interface.inputs else tensor
    parameters = {"type": ["object", "null"]}
    return {
        "Error": _object({"error": text}),
        "Live": _object({"live": boolean}),
        "Ready": _object({"name": text, "ready": boolean}, error=text),
        "Server": _object({"name": text, "version": text, "extensions": _list(text)}),
        "Models": _object({"models": _list(text)}),
        "Metadata": _object({"name": text, "inputs": _list(about), "outputs": _list(about)}),
        "Index": _list(_object({"name": text, "state": text, "reason": text}, version=text)),
        "Request": _object({"inputs": _list(inputs)}, id={"type": ["string", "null"]}, parameters=parameters),
        "Response": _object(
            {"id": text, "model_name": text, "outputs": _list(tensor)}, parameters=parameters
        ),
        "Instances": _object({"instances": {**_list(plain), "minItems": 1}}, parameters={"type": "object"}),
        "Predictions": _object({"predictions": _list({"type": "object"})}),
    }


def _tensor(port: Port) -> dict[str, Any]:
    """The V2 tensor that carries a port."""
    kind = "T" if port.datatype == "BYTES" else DATATYPES[port.datatype].kind
    item = {"type": "string"} if kind == "T" else _NUMBERS.get(kind, {"type": "integer"})
    schema = port.schema.get("items", port.schema) if port.is_list else port.schema
    item = {**item, **{key: schema[key] for key in _LIMITS if key in schema}}
    return _object(
        {
            "name": {"const": port.name},
            "datatype": {"const": port.datatype},
            "shape": _list({"type": "integer", "minimum": 0}),
            "data": _list(item),
        }
    )


def _plain(port: Port) -> dict[str, Any]:
    """The port's own JSON schema with its default, without what only makes sense at the top of a document."""
    schema = dict(port.schema)
    if "$defs" in schema:
        schema = {"type": "object"}
    if port.holds_images:
        base64 = {"type": "string", "contentEncoding": "base64"}
        schema = _list(base64) if port.is_list else base64
    if port.description:
        schema["description"] = port.description
    return {**schema, "default": port.facts["default"]} if "default" in port.facts else schema
