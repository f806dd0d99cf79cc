"""What we change in Gradio, each change by itself, with what makes it unnecessary.

Knows names inside Gradio, and fails where they are gone.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


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
