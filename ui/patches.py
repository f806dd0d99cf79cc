"""What we change in Gradio, each change by itself, with what makes it unnecessary.

Knows names inside Gradio, and fails where they are gone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


def patch_gradio() -> None:
    """Before anything else imports Gradio."""
    skip_stub_files()
    fetch_nothing()
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


START_S = 120.0


def wait_for_the_server() -> None:
    """Before the page is served: a start that takes more than 5 s is no failure.

    Gradio then takes the port for busy, and says so. Can go when `Server.run_in_thread` waits for
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
