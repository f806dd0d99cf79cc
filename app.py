"""The composition root: builds the parts and connects them.

`python app.py` serves the page and the API; the other commands are in `cli`. `gradio app.py` serves
and restarts whenever a file changes.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported
if os.environ.get("SPACES_ZERO_GPU"):
    import spaces  # noqa: F401  # on ZeroGPU it must come before gradio and torch


from cli.address import choose_address
from cli.terminal import interrupt_on_stop_signals, on_stop_signal
from errors import ErrorCode, KinoraError
from jobs.executor import Executor
from jobs.fleet.requirements import require_redis
from jobs.paused_gc import paused_gc
from jobs.service import JobService
from media.files import NO_ROOM
from settings import Settings

if TYPE_CHECKING:
    import gradio as gr

    demo: gr.Blocks

RUNS: int = globals().get("RUNS", 0) + 1
"""`gradio app.py` runs this file a second time at its start, which is ignored, and again at every
change."""


def executor_for(settings: Settings) -> Executor:
    if settings.executor_kind == "redis":
        require_redis(settings)
        from jobs.fleet.dispatcher import RedisExecutor

        return RedisExecutor(settings)
    from jobs.workers.side_by_side import run_side_by_side

    if settings.executor_kind == "inline":
        from jobs.workers.inline import InlineExecutor

        return run_side_by_side(InlineExecutor, settings)
    from jobs.workers.process import ProcessExecutor

    return run_side_by_side(ProcessExecutor, settings)


def build_service(settings: Settings, executor: Executor | None = None) -> JobService:
    """The service, not started: without a worker."""
    from sqlalchemy.exc import SQLAlchemyError

    from jobs.local_database import open_store
    from pipelines.models.cards import load_cards

    cards = load_cards(settings.models_dir)
    try:
        store = open_store(settings)
        return JobService(store, executor or executor_for(settings), cards, settings)
    except (OSError, SQLAlchemyError) as error:
        if getattr(error, "errno", None) in NO_ROOM:
            raise KinoraError(ErrorCode.OUT_OF_DISK) from error
        raise KinoraError(
            ErrorCode.INVALID_INPUT,
            "The data folder or the database cannot be used. "
            "Check KINORA_DATA_DIR and DATABASE_URL.",
        ) from error


def build_page(service: JobService) -> gr.Blocks:
    from ui.patches import patch_gradio

    patch_gradio()
    from ui.page import build
    from web.identity import Callers

    identify = Callers(service.settings).identify
    return build(service, service.cards, service.settings, identify)


def serve() -> None:
    """Blocks until Ctrl-C or SIGTERM."""
    global demo
    interrupt_on_stop_signals()
    settings, address = Settings.load(), choose_address()
    with closing(build_service(settings)) as service:
        on_stop_signal(service.pause)
        with paused_gc():
            demo = build_page(service)
            from api.site import with_api
            from ui.routes import launch_kwargs

            launch = with_api(launch_kwargs(service, settings), service, settings)
        service.start()  # after the page: the worker's imports would slow down ours
        try:
            demo.launch(**launch, **address)
        except OSError as error:  # another process has taken the port in the meantime
            raise KinoraError(ErrorCode.UNAVAILABLE, str(error)) from error


def restart() -> None:
    """Replaces the whole process. If the changed code raises here, the old one keeps running."""
    build_unstarted_page()
    atexit.register(os.execv, sys.executable, [sys.executable, *sys.argv])
    signal.raise_signal(signal.SIGINT)


def build_unstarted_page() -> gr.Blocks:
    with closing(build_service(Settings.load())) as service:
        return build_page(service)


def __getattr__(name: str) -> Any:
    """`from app import demo` builds the page without starting anything."""
    if name != "demo":
        raise AttributeError(name)
    return build_unstarted_page()


if __name__ == "__main__":
    if RUNS == 1:
        from cli.commands import Parts, command_line

        command_line(Parts(serve, build_service))
    elif RUNS > 2:
        restart()
