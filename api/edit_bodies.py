"""The bodies of edits in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from media.operations.edit_request import EditRequest

REF = "#/components/schemas/{model}"
FILE = {"type": "string", "format": "binary"}
STEP_DESCRIPTION = "An operation, or its short form, such as `trim=1.0:3.5`."


def edit_bodies(schemas: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By operation id. Adds the schemas of the operations to those of the document."""
    request = EditRequest.model_json_schema(ref_template=REF)
    schemas.update(request.pop("$defs", {}))
    fields = request["properties"]
    steps = fields["operations"]
    steps["items"] = {
        "anyOf": [steps["items"], {"type": "string"}],
        "description": STEP_DESCRIPTION,
    }
    schemas["EditRequest"] = request
    one_clip = request | {"required": []}
    texts = {"type": "array", "items": {"type": "string"}}
    form = {
        "type": "object",
        "properties": {
            "clips": {"type": "array", "items": {"anyOf": [FILE, {"type": "string"}]}},
            "operations": texts | {"description": "Short forms, or JSON."},
            **{name: {"type": "string"} for name in ("format", "quality", "target_mb")},
        },
        "additionalProperties": FILE
        | {"description": "A file that an operation names as `@` and its field."},
    }

    def bodies(schema: dict[str, Any]) -> dict[str, Any]:
        return {"application/json": {"schema": schema}, "multipart/form-data": {"schema": form}}

    whole = bodies({"$ref": REF.format(model="EditRequest")})
    file = {
        "type": "object",
        "properties": {"file": FILE, "kind": {"type": "string"}},
        "additionalProperties": False,
        "required": ["file"],
    }
    return {
        "edit": whole,
        "estimate_edit": whole,
        "preview_edit": whole,
        "edit_clip": bodies(one_clip),
        "store_edit_file": {"multipart/form-data": {"schema": file}},
    }
