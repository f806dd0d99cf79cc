"""What we change in Gradio, each change by itself, with what makes it unnecessary.

Knows names inside Gradio, and fails where they are gone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


def patch_gradio() -> None:
    """Before anything else imports Gradio."""
    skip_stub_files()
    fetch_nothing()
    answer_agents_in_json()
    describe_files_to_agents()


def skip_stub_files() -> None:
    """Before Gradio is imported: do not write typing stubs while people wait for the page.

    Gradio parses the source of each component, and rewrites its `.pyi` file, at every import: two
    fifths of the import's time, for editors only. Can go when `create_or_modify_pyi` is not called
    at import any more.
    """
    if "gradio" not in sys.modules:
        sys.meta_path.insert(0, _StubFiles())


class _StubFiles(MetaPathFinder):
    MODULE, FUNCTION = "gradio.component_meta", "create_or_modify_pyi"

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != self.MODULE:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_patch(module: ModuleType) -> None:
            execute(module)
            if not hasattr(module, self.FUNCTION):
                raise ImportError(f"{self.MODULE} has no {self.FUNCTION} any more")
            setattr(module, self.FUNCTION, lambda *_: None)

        spec.loader.exec_module = execute_and_patch  # type: ignore[method-assign]
        return spec


def fetch_nothing() -> None:
    """Before the page is served: no address that somebody sends is ever fetched.

    Where a file is expected, Gradio also takes an http address and downloads it, if its host is
    public. Here a file is sent, or there is none. Can go when `launch` can switch that off.
    """
    from gradio import Error, processing_utils

    safehttpx: Any = vars(processing_utils)["sh"]  # its own import of it

    async def fetch_not(*_: object, **__: object) -> str:
        raise Error("No address is fetched here: send the file itself.", print_exception=False)

    for module, name in (
        (processing_utils, "async_ssrf_protected_get"),
        (processing_utils, "async_ssrf_protected_download"),
        (safehttpx, "async_validate_url"),
        (safehttpx, "get"),
    ):
        if not hasattr(module, name):
            raise ImportError(f"{module.__name__} has no {name} any more")
        setattr(module, name, fetch_not)


FILE_SCHEMA = {
    "type": "string",
    "description": "The file itself as a data: URI (`data:image/png;base64,...`). "
    "No address is fetched here.",
}


def answer_agents_in_json() -> None:
    """Over MCP, what is no string is shown as JSON instead of as Python's repr.

    Can go when `GradioMCPServer.postprocess_output_data` does not call `str` on dictionaries.
    """
    from gradio.mcp import GradioMCPServer
    from gradio_client.utils import is_file_obj_with_meta

    name = "postprocess_output_data"
    original = _method(GradioMCPServer, name)
    if getattr(original, "is_ours", False):
        return

    def postprocess(self: Any, data: Any, root_url: str) -> Any:
        shown = [
            each if isinstance(each, str) or is_file_obj_with_meta(each) else json.dumps(each)
            for each in data
        ]
        return original(self, shown, root_url)

    postprocess.is_ours = True  # type: ignore[attr-defined]
    setattr(GradioMCPServer, name, postprocess)


def describe_files_to_agents() -> None:
    """Over MCP, a file is described as what is taken here: a data: URI, and null where it is
    optional. Gradio asks for an http address, which is never fetched (see `fetch_nothing`).

    Can go when `GradioMCPServer.get_input_schema` lets a component describe its own string.
    """
    from gradio.mcp import GradioMCPServer

    name = "get_input_schema"
    original = _method(GradioMCPServer, name)
    if getattr(original, "is_ours", False):
        return

    def get_input_schema(self: Any, tool_name: str, parameters: Any = None) -> Any:
        schema, positions = original(self, tool_name, parameters)
        for path in positions:  # the place of each file's value: here always a parameter's name
            (parameter,) = path
            optional = parameter not in schema.get("required", [])
            schema["properties"][parameter] = (
                {"oneOf": [{"type": "null"}, FILE_SCHEMA]} if optional else FILE_SCHEMA
            )
        return schema, positions

    get_input_schema.is_ours = True  # type: ignore[attr-defined]
    setattr(GradioMCPServer, name, get_input_schema)


def _method(owner: type, name: str) -> Any:
    if not hasattr(owner, name):
        raise ImportError(f"{owner.__name__} has no {name} any more")
    return getattr(owner, name)
