from __future__ import annotations

import subprocess
import sys

import pytest

from settings import ROOT
from tests.ports import free_port


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    ).stdout.strip()


def test_gradio_writes_no_stub_files_and_works_as_before() -> None:
    code = (
        "from ui.patches import skip_stub_files; skip_stub_files(); import pathlib\n"
        "writes = []; pathlib.Path.write_text = lambda path, *a, **k: writes.append(path)\n"
        "import gradio as gr\n"
        "with gr.Blocks() as demo:\n"
        "    box = gr.Textbox(); box.submit(str.upper, box, box)\n"
        "print(writes, len(demo.fns), gr.component_meta.create_or_modify_pyi.__name__)"
    )
    assert run(code) == "[] 1 <lambda>"


def test_the_patch_is_still_needed() -> None:
    """Fails where Gradio does not parse its own sources at import any more: remove the patch."""
    code = (
        "import ast; parse, parsed = ast.parse, []\n"
        "ast.parse = lambda *a, **k: (parsed.append(1), parse(*a, **k))[1]\n"
        "import gradio; print(len(parsed) > 50)"
    )
    assert run(code) == "True"


def test_gradio_fetches_no_address_and_says_so() -> None:
    code = (
        "from ui.patches import fetch_nothing; import gradio as gr, asyncio; fetch_nothing()\n"
        "box = gr.File()\n"
        "try: asyncio.run(box.async_move_resource_to_block_cache('https://example.org/a.png'))\n"
        "except gr.Error as error: print(error.message)"
    )
    assert run(code) == "No address is fetched here: send the file itself."


@pytest.mark.slow
def test_a_server_that_starts_slowly_has_not_failed() -> None:
    """As on a machine that has much else to do."""
    code = (
        "import asyncio, contextlib, sys; from fastapi import FastAPI\n"
        "from ui.patches import wait_for_the_server; wait_for_the_server()\n"
        "from gradio.http_server import start_server\n"
        "@contextlib.asynccontextmanager\n"
        "async def slowly(app):\n"
        "    await asyncio.sleep(6); yield\n"
        "port = int(sys.argv[1])\n"
        "_, given, _, server = start_server(FastAPI(lifespan=slowly), '127.0.0.1', port)\n"
        "print(given == port); server.close()"
    )
    command = [sys.executable, "-c", code, str(free_port())]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "True", done.stderr
