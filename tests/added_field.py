"""Run in a copy of the code with one field more: prints where the field is found, as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
from gradio_client import Client

from api import schemas
from tests.doors import PROMPT, Doors
from tests.ports import free_port
from ui import job_view
from ui.form import Form


def found(name: str, label: str, value: float, folder: Path) -> dict[str, Any]:
    doors = Doors(folder)
    typed = {"prompt": PROMPT, "model": "pocket", name: value}
    described = doors.http.get("/api/openapi.json").json()["components"]["schemas"]
    job = doors.rest(typed).job
    assert job
    shown = schemas.job_view(doors.service, job).settings
    jobs = {
        door: getattr(doors, door)(typed)
        for door in ("rest", "form", "batch", "page", "client", "tool", "command")
    }
    wrong = {
        door: getattr(doors, door)(typed | {name: 7}).sentence
        for door in ("rest", "page", "client", "tool", "command")
    }
    sliders = [b for b in doors.demo.blocks.values() if isinstance(b, gr.Slider)]
    port = free_port()
    doors.demo.launch(
        server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, quiet=True,
        mcp_server=True,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    client = Client(url, verbose=False, analytics_enabled=False, httpx_kwargs={"trust_env": False})
    api: Any = client.view_api(return_format="dict", print_info=False)
    tools = httpx.get(f"{url}/gradio_api/mcp/schema", trust_env=False).json()
    client.close()
    doors.demo.close()
    report = {
        "used": {door: getattr(each.job.fitted, name, None) for door, each in jobs.items()},
        "wrong": wrong,
        "rest job": shown.get(name),
        "openapi json": described["ClipRequest"]["properties"].get(name),
        "openapi form": described["ClipForm"]["properties"].get(name),
        "endpoints": [
            path
            for path, endpoint in api["named_endpoints"].items()
            if name in [each["parameter_name"] for each in endpoint["parameters"]]
        ],
        "tools": {
            tool["name"]: tool["inputSchema"]["properties"][name]
            for tool in tools
            if name in tool["inputSchema"]["properties"]
        },
        "page": [[each.minimum, each.maximum] for each in sliders if each.label == label],
        "form": name in Form.names(),
        "job view": job_view.used(job).get(name),
        "job rows": dict(job_view.labelled_settings(job.fitted)).get(label),
    }
    doors.close()
    return report


if __name__ == "__main__":
    name, label, value, folder = sys.argv[1:]
    print(json.dumps(found(name, label, float(value), Path(folder))))
