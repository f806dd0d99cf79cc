"""The OpenAPI document, completed, and a page that shows it in plain HTML.

FastAPI does not know most bodies, because the routes parse them as JSON or as a form; their schemas
are added here.
"""

from __future__ import annotations

import json
from html import escape
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse

from api.edit_bodies import edit_bodies
from jobs.film import MAX_SHOTS, NOT_OF_FILMS, FilmRequest, Shot
from jobs.shares import ShareOptions
from pipelines.request import REQUEST_FIELDS, GenerationRequest
from pipelines.request_fields import Kind, names_of
from pipelines.styles import Style
from web.addresses import address, root_address

REF = "#/components/schemas/{model}"
DOCS, DOCUMENT = "/api/docs", "/api/openapi.json"
FILE = {"type": "string", "format": "binary"}
PICTURES = names_of(REQUEST_FIELDS.values(), Kind.PICTURE)
CLIPS = names_of(REQUEST_FIELDS.values(), Kind.CLIP)
PICTURE = {
    "anyOf": [{"type": "string", "pattern": "^data:"}, {"type": "null"}],
    "description": "The picture itself: a data: URI here, a file in a form. Or the id of one.",
}
CLIP = {
    "anyOf": [{"type": "string", "pattern": "^([0-9a-f]{32}|[0-9a-f]{64})$"}, {"type": "null"}],
    "description": "The id of a finished clip of yours, or of one that was sent; a file in a form.",
}
SOURCE = {
    "anyOf": [FILE, {"type": "object", "properties": {"id": {"type": "string"}}}],
    "description": 'The file, or `{"id": ...}` of a finished video; `video[id]` in a form.',
}
REUSE = {
    "type": "boolean",
    "default": True,
    "description": "With a seed: give the stored clip if the same request was made before.",
}


def add_pages(app: FastAPI) -> None:
    made: dict[str, Any] = {}

    def document() -> dict[str, Any]:
        if not made:
            made.update(complete(type(app).openapi(app)))
        return made

    app.openapi = document

    @app.get(DOCUMENT, include_in_schema=False)
    async def openapi() -> JSONResponse:
        root = root_address()
        return JSONResponse(document() | ({"servers": [{"url": root}]} if root else {}))

    @app.get(DOCS, include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        return HTMLResponse(render(document()))


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """Adds what FastAPI cannot know: the bodies, and how callers authenticate."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    request = GenerationRequest.model_json_schema(ref_template=REF)
    schemas.update(request.pop("$defs", {}))
    request["properties"] |= {name: PICTURE for name in PICTURES} | {"reuse": REUSE}
    request["properties"] |= {name: CLIP | _described(request, name) for name in CLIPS}
    schemas["ClipRequest"] = request
    form = _form(request)
    schemas["ClipForm"] = form
    both = {
        "application/json": {"schema": {"$ref": REF.format(model="ClipRequest")}},
        "multipart/form-data": {"schema": {"$ref": REF.format(model="ClipForm")}},
    }
    compare = {
        "description": "One or two settings: `guidance_scale=2,4`, or objects with a field and "
        "values.",
        "anyOf": [{"type": "string"}, {"type": "array", "items": {}}],
    }
    drafts = {"type": "integer", "minimum": 2, "maximum": 8, "default": 4}
    drafted, compared = (
        {
            "application/json": {"schema": _object(request["properties"], **extra)},
            "multipart/form-data": {"schema": _object(form["properties"], **extra)},
        }
        for extra in ({"drafts": drafts}, {"compare": compare})
    )
    video = _object(
        {k: v for k, v in form["properties"].items() if k not in ("image", "width", "height")},
        prompt={"type": "string"},
        seconds={"type": "string", "description": "How long; `4`."},
        size={"type": "string", "pattern": r"^\d+x\d+$"},
        input_reference=FILE,
    )
    settings = {
        k: v for k, v in video["properties"].items() if k not in ("input_reference", *CLIPS)
    }
    edit = _object(settings, video=SOURCE) | {"required": ["prompt", "video"]}
    character = _object({}, name={"type": "string"}, video=FILE)
    listed = {"type": "array", "items": {"type": "string"}}
    batch = _object(
        request["properties"],
        prompts=listed,
        requests={"type": "array", "items": {"$ref": REF.format(model="ClipRequest")}},
        csv={"type": "string", "description": "One clip a line; the first line names the fields."},
    )
    many = _object(form["properties"], prompts=listed, images={"type": "array", "items": FILE},
                 zip=FILE, csv=FILE)  # fmt: skip
    batched = {
        "application/json": {"schema": batch},
        "multipart/form-data": {"schema": many},
    }
    bodies: dict[str, dict[str, Any]] = {
        "generate": both,
        "estimate": both,
        "task_generate": {"multipart/form-data": both["multipart/form-data"]},
        "text_to_video": {"application/json": both["application/json"]},
        "image_to_video": {"multipart/form-data": both["multipart/form-data"]},
        "videos_create": {"multipart/form-data": {"schema": video}},
        "videos_edit": _as_json_or_form(edit),
        "videos_extend": _as_json_or_form(edit | {"required": ["prompt", "video", "seconds"]}),
        "videos_create_character": {"multipart/form-data": {"schema": character}},
        "videos_remix": {
            "application/json": {
                "schema": _object({}, prompt={"type": "string"}) | {"required": ["prompt"]}
            }
        },
        "batches_create": batched,
        "batches_estimate": batched,
        "drafts": drafted,
        "estimate_drafts": drafted,
        "comparisons": compared,
        "estimate_comparison": compared,
        "verify": {
            "application/octet-stream": {"schema": FILE},
            "multipart/form-data": {"schema": _object({}, file=FILE, credentials=FILE)},
        },
        "read_settings": {
            "video/mp4": {"schema": FILE},
            "multipart/form-data": {"schema": _object({}, file=FILE)},
            "application/json": {"schema": _object({}, link={"type": "string"})},
        },
        "share": {"application/json": {"schema": _share_body()}},
        **_prompt_bodies(request, both["application/json"]),
        **_film_bodies(request),
        **edit_bodies(schemas),
    }
    for path in document["paths"].values():
        for operation in path.values():
            content = bodies.get(operation.get("operationId", ""))
            if content:
                operation["requestBody"] = {"required": True, "content": content}
    document["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "A key, or a secret of your own"}
    }
    document["security"] = [{}, {"key": []}]
    return document


def _share_body() -> dict[str, Any]:
    options = ShareOptions.model_json_schema(ref_template=REF)["properties"]
    seconds = {"type": "number", "exclusiveMinimum": 0, "description": "Instead of `expires_at`."}
    return _object(options, expires_in_s=seconds)


def _film_bodies(request: dict[str, Any]) -> dict[str, dict[str, Any]]:
    own = Shot.model_json_schema(ref_template=REF)["properties"] | {"image": PICTURE}
    known = {"type": "string", "description": "The id of a shot that there is."}
    fade = {name: FilmRequest.model_json_schema()["properties"][name] for name in ("crossfade_s",)}
    left_out = ("prompt", "image", "reuse", *NOT_OF_FILMS)
    settings = {k: v for k, v in request["properties"].items() if k not in left_out}

    def shots(properties: dict[str, Any]) -> dict[str, Any]:
        items = {"anyOf": [_object(properties), {"type": "string"}]}
        about = "The shots in order, each an object or its prompt."
        return {"type": "array", "maxItems": MAX_SHOTS, "items": items, "description": about}

    film = _object(settings | fade, shots=shots(own)) | {"required": ["shots"]}
    changed = _object(fade, shots=shots(own | {"id": known}))
    return {
        "films_create": _as_json_or_form(film),
        "films_estimate": _as_json_or_form(film),
        "films_redo": {"application/json": {"schema": _object(own)}},
        "films_change": {"application/json": {"schema": changed}},
    }


def _prompt_bodies(request: dict[str, Any], whole: dict[str, Any]) -> dict[str, dict[str, Any]]:
    words = {name: request["properties"][name] for name in ("prompt", "model")}
    task = {"type": "string", "enum": ["t2v", "i2v", "v2v"]}
    style = Style.model_json_schema(ref_template=REF)
    template = {"type": "object", "description": "prompt and negative_prompt, by family"}
    look = {"type": "object", "description": "Fields of a request, without pictures and clips."}
    without_id = {k: v for k, v in style["properties"].items() if k not in ("id", "families")}
    written = _object(without_id, families=template) | {"required": ["name", "prompt"]}
    short = {"schema": _object(words, task=task) | {"required": ["prompt"]}}
    return {
        "final_prompt": {"application/json": whole},
        "suggestions": {"application/json": short},
        "improve": {"application/json": short},
        "style_save": {"application/json": {"schema": written}},
        "styles_import": {
            "application/yaml": {"schema": {"type": "string"}},
            "multipart/form-data": {"schema": _object({}, file=FILE)},
        },
        "look_save": {"application/json": {"schema": {
            "type": "object", "properties": {"settings": look}, "required": ["settings"],
        }}},
    }  # fmt: skip


def _form(request: dict[str, Any]) -> dict[str, Any]:
    """The same fields in a form: files, and text for everything else."""
    properties = {
        name: {"type": "string", "description": _about(schema)}
        for name, schema in request["properties"].items()
    }
    return _object(properties, **dict.fromkeys((*PICTURES, *CLIPS), FILE))


def _described(request: dict[str, Any], name: str) -> dict[str, str]:
    written = request["properties"][name].get("description", "")
    return {"description": f"{written} {CLIP['description']}".strip()}


def _as_json_or_form(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}, "multipart/form-data": {"schema": schema}}


def _object(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties | more, "additionalProperties": False}


# ---- the page

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin-top: 2.4rem; border-top: 1px solid #8884; padding-top: 1.2rem; font-size: 1.1rem }
h2 b { display: inline-block; min-width: 4.2rem; color: #7b3ff2 }
code { font-family: ui-monospace, monospace; font-size: .92em }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; vertical-align: top;
  padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #8883 } th { font-weight: 600 }
summary { cursor: pointer }
"""


def render(document: dict[str, Any]) -> str:
    """Every operation with its parameters, its body and its answers. No script, no other host."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width, initial-scale=1'>",
        f"<title>Kinora: the API</title><style>{STYLE}</style><h1>Kinora: the API</h1>",
        "<p>The same as a document for programs: "
        f"<a href='{escape(address(DOCUMENT))}'>{DOCUMENT}</a>. A caller's clips are found under "
        "the key or secret they were made with, sent as <code>Authorization: Bearer</code>; "
        "without one, under their ids alone.</p>",
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts += _operation(path, method, operation, document)
    return "".join(parts)


def _operation(
    path: str, method: str, operation: dict[str, Any], document: dict[str, Any]
) -> list[str]:
    parts = [f"<h2><b>{escape(method.upper())}</b><code>{escape(path)}</code></h2>"]
    parts.append(f"<p>{escape(operation.get('description', ''))}</p>")
    rows = [(p["name"], p["in"], p.get("schema", {})) for p in operation.get("parameters", [])]
    parts += _table("Parameters", rows, document)
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        fields = _properties(content["schema"], document)
        parts += _table(f"Body: {kind}", [(n, "", s) for n, s in fields.items()], document)
    answers = []
    for status, answer in operation["responses"].items():
        for kind, content in answer.get("content", {}).items() or [("", {})]:
            of = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
            answers.append(f"{status} {kind} {of}".strip())
    parts.append(f"<p>Answers: {', '.join(f'<code>{escape(a)}</code>' for a in answers)}</p>")
    return parts


def _table(
    title: str, rows: list[tuple[str, str, dict[str, Any]]], document: dict[str, Any]
) -> list[str]:
    if not rows:
        return []
    cells = "".join(
        f"<tr><td><code>{escape(name)}</code><td>{escape(where or _type(schema))}"
        f"<td>{escape(_about(schema))}</tr>"
        for name, where, schema in rows
    )
    return [f"<details><summary>{escape(title)}</summary><table>{cells}</table></details>"]


def _properties(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema.get("properties", {})


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    return str(schema.get("format") or schema.get("type", ""))


def _about(schema: dict[str, Any]) -> str:
    words = [schema["description"]] if "description" in schema else []
    bounds = {name: value for name, value in _bounds(schema).items() if value is not None}
    words += [f"{name} {json.dumps(value)}" for name, value in bounds.items()]
    if schema.get("default") not in (None, "", [], {}):
        words.append(f"default {json.dumps(schema['default'])}")
    return "; ".join(words)


def _bounds(schema: dict[str, Any]) -> dict[str, Any]:
    for each in [schema, *schema.get("anyOf", [])]:
        found = {"min": each.get("minimum", each.get("exclusiveMinimum")),
                 "max": each.get("maximum", each.get("exclusiveMaximum"))}  # fmt: skip
        if any(value is not None for value in found.values()):
            return found
    return {}
