"""Patches of Gradio, each with the condition under which it can be removed.

Each patch raises ImportError if what it replaces no longer exists.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any
from urllib.parse import unquote


def patch_gradio() -> None:
    """Before anything else imports Gradio."""
    skip_stub_files()
    fetch_nothing()
    answer_agents_in_json()
    take_files_from_agents()
    wait_for_the_server()


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
    """Before the page is served: no address in a request is ever fetched.

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


def answer_agents_in_json() -> None:
    """Over MCP, what is no string is shown as JSON instead of as Python's repr, and a tool with
    several outputs as several contents, not as the repr of a tuple.

    Can go when `GradioMCPServer.postprocess_output_data` does not call `str` on its outputs.
    """

    def as_json(each: Any) -> Any:
        is_file = isinstance(each, dict) and "gradio.FileData" in str(each.get("meta"))
        return each if isinstance(each, str) or is_file else json.dumps(each)

    def in_place_of(original: Any) -> Any:
        def postprocess_output_data(self: Any, data: Any, root_url: str) -> Any:
            if len(data) == 1 and isinstance(data[0], tuple):
                data = data[0]
            return original(self, [as_json(each) for each in data], root_url)

        return postprocess_output_data

    _replace_in_mcp_server("postprocess_output_data", in_place_of)


FILE_SCHEMA = {
    "type": "string",
    "description": "The file itself as a data: URI (data:image/png;base64,...), or the address "
    "here of one that was sent to /gradio_api/upload. No other address is fetched.",
}
UPLOADED = re.compile(r"/gradio_api/file=(?P<path>/[^?#]+)")


def take_files_from_agents() -> None:
    """Over MCP, a file is what its description says: a data: URI, the address of one that was
    uploaded here, or null where it may be left out. Gradio's schema takes any http address,
    which Gradio would download; nothing is ever downloaded here (see `fetch_nothing`).

    Can go when uploaded files are taken by their address without a download, and when
    `get_input_schema` lets a component describe its own string.
    """

    def describing(original: Any) -> Any:
        def get_input_schema(self: Any, tool_name: str, parameters: Any = None) -> Any:
            schema, positions = original(self, tool_name, parameters)
            for (name,) in positions:  # files are parameters here, never parts of one
                optional = name not in schema.get("required", [])
                schema["properties"][name] = (
                    {"oneOf": [{"type": "null"}, FILE_SCHEMA]} if optional else FILE_SCHEMA
                )
            return schema, positions

        return get_input_schema

    def taking(original: Any) -> Any:
        def convert_strings_to_filedata(self: Any, value: Any, positions: Any) -> Any:
            sent = dict(value)
            uploaded: dict[str, Any] = {}
            for (name,) in positions:
                path = _uploaded_here(self, sent.get(name))
                if path:  # Gradio itself then looks whether the file is in its upload folder
                    uploaded[name] = {"path": path, "meta": {"_type": "gradio.FileData"}}
                    del sent[name]
            return original(self, sent, positions) | uploaded

        return convert_strings_to_filedata

    _replace_in_mcp_server("get_input_schema", describing)
    _replace_in_mcp_server("convert_strings_to_filedata", taking)
    _replace_in_mcp_server(
        "_file_data_tool_description",
        lambda _: property(lambda _: " A file is sent as a data: URI, or uploaded before."),
    )


def _uploaded_here(server: Any, sent: Any) -> str | None:
    """The path in an address of this very app."""
    from web.addresses import public_root

    if not isinstance(sent, str):
        return None
    root = public_root(server.mcp_server.request_context.request)
    found = UPLOADED.fullmatch(sent.removeprefix(root)) if sent.startswith(root) else None
    return unquote(found["path"]) if found else None


def _replace_in_mcp_server(name: str, in_place_of: Any) -> None:
    from gradio.mcp import GradioMCPServer

    if not hasattr(GradioMCPServer, name):
        raise ImportError(f"GradioMCPServer has no {name} any more")
    original = vars(GradioMCPServer)[name]
    if name not in _REPLACED:
        setattr(GradioMCPServer, name, in_place_of(original))
        _REPLACED.add(name)


_REPLACED: set[str] = set()
"""A page may be built twice in one process; what was replaced is not replaced again."""


START_S = 120.0


def wait_for_the_server() -> None:
    """Before the page is served: a start may take more than 5 s.

    Gradio would report the port as busy. Can go when `Server.run_in_thread` waits for
    as long as its thread is alive.
    """
    from gradio import http_server
    from gradio.exceptions import ServerFailedToStartError

    run_in_thread = http_server.Server.run_in_thread

    def run_and_wait(self: Any) -> None:
        try:
            run_in_thread(self)
        except ServerFailedToStartError:
            ends = time.monotonic() + START_S
            while not self.started:
                if not self.thread.is_alive() or time.monotonic() > ends:
                    raise
                time.sleep(0.02)

    http_server.Server.run_in_thread = run_and_wait
