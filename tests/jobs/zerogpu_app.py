"""A small Gradio app on ZeroGPU as the rehearsal runs it: real `spaces`, real forks, no GPU.

    python -m tests.jobs.zerogpu_app        prints its URL, and ends on SIGTERM

Configured by the environment: SPACES_ZERO_GPU, SPACES_ZERO_DEVICE_API_URL and the usual settings.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Iterator

# `spaces` looks for CUDA parts of torch that a CPU build does not have. With torch hidden while it
# is imported, everything of it works but the tensors' way to the GPU.
sys.modules["torch"] = None  # type: ignore[assignment]
import spaces  # noqa: E402, F401

del sys.modules["torch"]

import gradio as gr  # noqa: E402

from api.site import api_lifespan  # noqa: E402
from app import executor_for  # noqa: E402
from jobs.service import JobService  # noqa: E402
from jobs.store import JobStore  # noqa: E402
from pipelines.models.cards import load_cards  # noqa: E402
from pipelines.request import GenerationRequest  # noqa: E402
from settings import Settings  # noqa: E402
from ui import mcp_tools  # noqa: E402
from web.identity import Callers  # noqa: E402


def main() -> None:
    settings = Settings.load()
    service = JobService(
        JobStore(settings.database_url),
        executor_for(settings),
        load_cards(settings.models_dir),
        settings,
    )
    service.start()

    def make(seed: float, steps: float) -> Iterator[str]:
        """Submits a clip and shows its log, as a page does."""
        request = GenerationRequest(prompt="a dog", seed=int(seed), num_inference_steps=int(steps))
        job = service.submit(request, "visitor:me")
        for event in service.drive(job.id):
            yield json.dumps({"job": job.id, "kind": event.kind if event else "tick"})

    def submit_only(seed: float) -> str:
        return service.submit(GenerationRequest(prompt="a dog", seed=int(seed)), "visitor:me").id

    def ask(job_id: str, what: str) -> str:
        job = {"discard": service.cancel, "finish": service.finish, "look": service.get}[what](
            job_id
        )
        kinds = [event.kind for event in service._events.since(job_id)]
        return json.dumps(json.loads(job.model_dump_json()) | {"kinds": kinds})

    with gr.Blocks(analytics_enabled=False) as demo:
        number, text = gr.Number, gr.Textbox
        gr.on([], make, [number(), number()], text(), api_name="make", concurrency_limit=None)
        gr.on([], submit_only, number(), text(), api_name="submit_only")
        gr.on([], ask, [text(), text()], text(), api_name="ask")
        mcp_tools.Tools(service, Callers(settings).identify).add()
    demo.queue(max_size=32, api_open=False)
    _, url, _ = demo.launch(
        prevent_thread_lock=True,
        quiet=True,
        ssr_mode=False,
        app_kwargs={"lifespan": api_lifespan(service, settings)},
    )
    print("URL", url, flush=True)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    ended.wait()
    demo.close()
    service.close(grace_s=1)


if __name__ == "__main__":
    main()
