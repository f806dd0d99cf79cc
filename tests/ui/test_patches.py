from __future__ import annotations

import subprocess
import sys

from settings import ROOT


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
