"""The parameters of Gradio's endpoints and MCP tools, made from the declaration of the request.

Gradio reads an endpoint's signature, annotations and docstring; here they are put onto a handler
that takes its arguments as one dictionary.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components.api_component import Api

from pipelines.request import REQUEST_FIELDS, Task
from pipelines.request_fields import Kind, RequestField, by_group

NULL = {"type": "null"}
LORAS: dict[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "source": {
                "type": "string",
                "description": "A file in the LoRA folder, or owner/name on the Hub",
            },
            "weight": {"type": "number", "minimum": -4, "maximum": 4, "default": 1.0},
        },
        "required": ["source"],
    },
}
"""gr.JSON would describe itself as `{"type": {}}`, which is no JSON Schema: clients that check
schemas refuse every call of such a tool."""
TYPES: dict[Kind, type] = {
    Kind.INTEGER: int,
    Kind.NUMBER: float,
    Kind.BOOLEAN: bool,
    Kind.LORAS: list[dict[str, Any]],
}
COMPONENTS: dict[Kind, type[Any]] = {
    Kind.INTEGER: gr.Number,
    Kind.NUMBER: gr.Number,
    Kind.BOOLEAN: gr.Checkbox,
}
REQUIRED = inspect.Parameter.empty
Handler = Callable[..., Any]


@dataclass(frozen=True)
class EndpointParameter:
    name: str
    kind: Kind = Kind.TEXT
    is_optional: bool = False
    default: Any = REQUIRED
    help: str = ""
    type: Any = None
    """Its annotation, where that is not the one of its kind."""

    @property
    def annotation(self) -> Any:
        plain = self.type or TYPES.get(self.kind, str)
        return plain | None if self.is_optional else plain

    def component(self) -> Any:
        """An unseen component, from which Gradio makes the typed schema of its API."""
        if self.kind in (Kind.PICTURE, Kind.CLIP):
            return gr.File(label=self.name, visible=False, type="filepath")
        if self.kind is Kind.LORAS:
            return Api(None, {"oneOf": [NULL, LORAS]}, label=self.name)  # type: ignore[arg-type]
        more: dict[str, Any] = {"precision": 0} if self.kind is Kind.INTEGER else {}
        if self.default is not REQUIRED:  # a value makes it optional for clients
            more["value"] = self.default
        made = COMPONENTS.get(self.kind, gr.Textbox)(label=self.name, visible=False, **more)
        if self.is_optional:  # programs, models above all, send `null` for what they leave out
            schema = {"oneOf": [NULL, made.api_info()]}
            made.api_info = lambda: schema
        made.preprocess = _as_sent
        return made


def _as_sent(payload: Any) -> Any:
    """The value for the request to parse: a component would round 3.7 to 4, and make a text of a
    list."""
    return payload


def fields_of(task: Task) -> list[RequestField]:
    return [field for field in by_group(REQUEST_FIELDS.values()) if task in field.tasks]


def parameters_for(
    fields: Iterable[RequestField], task: Task = Task.TEXT_TO_VIDEO
) -> list[EndpointParameter]:
    """Of these fields of the request; a point becomes two numbers."""
    found: list[EndpointParameter] = []
    for field in fields:
        if field.kind is Kind.POINT:
            found += [
                EndpointParameter(f"{field.name}_{axis}", Kind.NUMBER, default=value)
                for axis, value in field.default.model_dump().items()
            ]
            continue
        is_required = task in field.required_for
        is_list = field.kind is Kind.LORAS
        default = None if is_list else field.default
        unset = f" Left out: {field.unset}." if field.unset else ""
        found.append(
            EndpointParameter(
                field.name,
                field.kind,
                is_optional=(field.is_optional or is_list) and not is_required,
                default=REQUIRED if is_required else default,
                help=f"{field.description}{unset}",
            )
        )
    return found


def request_values(arguments: dict[str, Any]) -> dict[str, Any]:
    """Of an endpoint's arguments, the fields of the request."""
    values: dict[str, Any] = {}
    for name, field in REQUEST_FIELDS.items():
        if field.kind is Kind.POINT and f"{name}_x" in arguments:
            values[name] = {
                axis: arguments[f"{name}_{axis}"] for axis in field.default.model_dump()
            }
        elif name in arguments and not (field.kind is Kind.LORAS and arguments[name] is None):
            values[name] = arguments[name]
    return values


def endpoint(
    handler: Handler,
    name: str,
    doc: str,
    parameters: Sequence[EndpointParameter],
    *,
    has_progress: bool = False,
) -> Callable[..., Any]:
    """A function for Gradio with this signature, which calls `handler(arguments, request)` or
    `handler(arguments, request, progress)`."""
    keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
    listed = [
        inspect.Parameter(each.name, keyword, default=each.default, annotation=each.annotation)
        for each in parameters
    ]
    listed.append(inspect.Parameter("request", keyword, default=None, annotation=gr.Request))
    if has_progress:  # Gradio finds it by its default
        listed.append(
            inspect.Parameter("progress", keyword, default=gr.Progress(), annotation=gr.Progress)
        )
    signature = inspect.Signature(listed, return_annotation=Any)

    def handler_arguments(values: tuple[Any, ...], named: dict[str, Any]) -> list[Any]:
        bound = signature.bind(*values, **named)
        bound.apply_defaults()
        arguments = dict(bound.arguments)
        special = [arguments.pop(each) for each in ("request", "progress") if each in arguments]
        return [arguments, *special]

    async def run_async(*values: Any, **named: Any) -> Any:
        return await handler(*handler_arguments(values, named))

    def run(*values: Any, **named: Any) -> Any:
        return handler(*handler_arguments(values, named))

    described: Any = run_async if inspect.iscoroutinefunction(handler) else run
    described.__signature__ = signature
    described.__annotations__ = {each.name: each.annotation for each in listed}
    described.__name__ = described.__qualname__ = name
    explained = [f"    {each.name}: {each.help}" for each in parameters if each.help]
    described.__doc__ = "\n".join([doc, "", "Args:", *explained]) if explained else doc
    return described
