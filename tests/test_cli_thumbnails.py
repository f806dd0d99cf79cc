"""`style-thumbnails`, and the thumbnails as the page gets them."""

from __future__ import annotations

import json
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient
from typer.testing import CliRunner, Result

from app import build_service, executor_for
from cli.commands import Parts, app, exit_status, message_with_option
from errors import ErrorCode, KinoraError
from jobs.service import JobService
from jobs.store import JobStore
from jobs.style_thumbnails import SIZE
from pipelines.models.cards import ModelCard, load_cards
from pipelines.styles import Style, load_styles
from settings import ROOT, Settings
from tests import tiny
from tests.forks import Forks
from ui.prompt_routes import PromptRoutes
from web.identity import COOKIE, Callers, VisitorCookie
from web.limits import windows_for
from web.prompt_tools import PromptTools

TWO = ("--style", "cinematic", "--style", "Film noir")
COMMAND = "style-thumbnails"


@pytest.fixture
def environment(tiny_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in tiny_env.items():
        monkeypatch.setenv(name, value)


def run(*arguments: str) -> Result:
    """The command in this process."""
    parts = Parts(lambda: None, build_service)
    return CliRunner().invoke(app, [COMMAND, *arguments], obj=parts)


@pytest.fixture
def service(tiny_settings: Settings, tiny_cards: dict[str, ModelCard]) -> Iterator[JobService]:
    """It makes no clips."""
    store = JobStore(tiny_settings.database_url)
    idle = JobService(store, executor_for(tiny_settings), tiny_cards, tiny_settings)
    yield idle
    idle.close()


@pytest.fixture
def page(service: JobService, tiny_settings: Settings) -> Iterator[TestClient]:
    tools = PromptTools(service, windows_for(tiny_settings))
    routes = PromptRoutes(tools, Callers(tiny_settings)).routes()
    site = Starlette(routes=routes, middleware=[Middleware(VisitorCookie)])
    headers = {"X-Kinora": "1"}
    with TestClient(site, cookies={COOKIE: "a" * 32}, headers=headers) as client:
        yield client


def thumbnails(page: TestClient, model: str = "pocket") -> dict[str, str]:
    listed = page.get("/kinora/styles", params={"model": model}).json()["styles"]
    return {style["id"]: style["thumbnail"] for style in listed if style["thumbnail"]}


def store_one(service: JobService, folder: Path, style: Style) -> None:
    frame = folder / "frame.jpg"
    Image.new("RGB", (64, 64), "orange").save(frame)
    service.thumbnails.store(frame, service.cards["pocket"], style)


@pytest.mark.usefixtures("environment")
def test_thumbnails_are_made_once_and_shown_for_their_model(
    tiny_settings: Settings, request: pytest.FixtureRequest
) -> None:
    made = run(*TWO)
    assert made.exit_code == 0, (made.output, made.exception)
    assert "2 thumbnails with Tiny, about" in made.stderr
    assert "Film noir (2 of 2):" in made.stderr
    paths = [Path(line) for line in made.stdout.splitlines()]
    for path in paths:
        assert path.is_relative_to(tiny_settings.data_dir)
        with Image.open(path) as image:
            assert (image.format, image.size) == ("WEBP", SIZE)
    assert paths[0].read_bytes() != paths[1].read_bytes(), "each in its own style"
    assert not any((tiny_settings.data_dir / "jobs").iterdir()), "only the stills are kept"
    with sqlite3.connect(tiny_settings.data_dir / "kinora.db") as database:
        assert database.execute("select count(*) from jobs").fetchone() == (0,)

    written = [path.stat().st_mtime_ns for path in paths]
    again = run(*TWO, "--json")
    assert json.loads(again.stdout) == {
        "model": "pocket", "made": [], "present": ["cinematic", "film-noir"], "failed": [],
    }  # fmt: skip
    assert "Every thumbnail for Tiny is there already." in again.stderr
    assert [path.stat().st_mtime_ns for path in paths] == written

    page: TestClient = request.getfixturevalue("page")
    shown = thumbnails(page)
    assert shown == {"cinematic": paths[0].name, "film-noir": paths[1].name}
    answer = page.get(f"/kinora/styles/thumbnails/{shown['cinematic']}")
    assert answer.headers["content-type"] == "image/webp"
    assert "immutable" in answer.headers["cache-control"]
    assert answer.content == paths[0].read_bytes()


def test_a_stale_thumbnail_is_not_shown_and_then_removed(
    page: TestClient, service: JobService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    styles = dict(load_styles())
    for name in ("cinematic", "anime"):
        store_one(service, tmp_path, styles[name])
    before = thumbnails(page)
    assert set(before) == {"cinematic", "anime"}

    words = styles["cinematic"].prompt + ", in the rain"
    changed = styles | {"cinematic": styles["cinematic"].model_copy(update={"prompt": words})}
    # the words for this model's family decide, and they are the style's `ltx` template
    monkeypatch.setattr("jobs.style_thumbnails.load_styles", lambda: changed)
    assert thumbnails(page) == before
    template = styles["cinematic"].families["ltx"].model_copy(update={"prompt": words})
    families = {"families": {"ltx": template}}
    changed["cinematic"] = styles["cinematic"].model_copy(update=families)
    assert thumbnails(page) == {"anime": before["anime"]}

    service.thumbnails.remove_stale(service.cards["pocket"])
    gone, kept = (
        page.get(f"/kinora/styles/thumbnails/{before[n]}") for n in ("cinematic", "anime")
    )
    assert (gone.status_code, kept.status_code) == (404, 200)


def test_another_revision_of_the_model_has_thumbnails_of_its_own(
    service: JobService, tmp_path: Path
) -> None:
    card = service.cards["pocket"]
    store_one(service, tmp_path, load_styles()["anime"])
    assert set(service.thumbnails.find(card)) == {"anime"}
    for change in ({"revision": "0" * 40}, {"id": "another"}, {"parts": {"vae": "a/b"}}):
        assert service.thumbnails.find(card.model_copy(update=change)) == {}


def test_own_styles_are_names_and_no_other_file_is_served(
    page: TestClient, service: JobService, tmp_path: Path, tiny_settings: Settings
) -> None:
    page.put("/kinora/styles/mine", json={"name": "Mine", "prompt": "{prompt}, in crayon"})
    store_one(service, tmp_path, load_styles()["anime"])
    listed: list[dict[str, Any]] = page.get("/kinora/styles?model=pocket").json()["styles"]
    assert (listed[0]["id"], listed[0]["thumbnail"]) == ("mine", None)
    assert all(style["thumbnail"] is None for style in page.get("/kinora/styles").json()["styles"])
    (tiny_settings.data_dir / "thumbnails" / "secret").write_text("no picture")
    for name in ("secret", "..%2Fsecret", f"{'0' * 16}-{'0' * 32}.webp"):
        assert page.get(f"/kinora/styles/thumbnails/{name}").status_code == 404


def test_a_model_that_cannot_show_styles_is_refused(
    tmp_path: Path, tiny_repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KINORA_DATA_DIR", str(tmp_path / "data"))
    for model in ("pocket", "pocket-distilled", "svd"):
        error = run("--model", model).exception
        assert isinstance(error, KinoraError)
        assert exit_status(error) == 2
        assert "cannot show styles" in message_with_option(error)
        assert message_with_option(error).startswith("--model: ")
    unknown = run("--style", "cinematik").exception
    assert isinstance(unknown, KinoraError)
    assert "Did you mean “cinematic”?" in unknown.message
    assert not (tmp_path / "data" / "thumbnails").exists()
    tiny.write_card(tmp_path / "cards", tiny_repo)
    assert load_cards(tmp_path / "cards")["pocket"].can_show_styles, "unless its card says so"


def test_most_models_of_the_presets_can_show_styles() -> None:
    cards = load_cards(ROOT / "presets" / "models").values()
    without = {card.id for card in cards if not card.shows_styles}
    assert without == {"pocket", "pocket-distilled"}
    assert all(card.rules.prompt for card in cards if card.can_show_styles)


@pytest.mark.usefixtures("environment")
def test_two_failures_end_the_run(
    tmp_path: Path, tiny_repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.write_card(tmp_path / "cards", tmp_path / "no-weights-here")
    monkeypatch.setenv("KINORA_MODELS_DIR", str(tmp_path / "cards"))
    done = run("--json")
    assert done.exit_code == 1
    failed = json.loads(done.stdout)["failed"]
    assert [each["style"] for each in failed] == list(load_styles())[:2]
    assert "not on this machine" in failed[0]["error"]
    assert "Stopped after two failures in a row." in done.stderr


def test_a_run_that_was_stopped_is_continued(tiny_env: dict[str, str], forks: Forks) -> None:
    process = forks.start([COMMAND], tiny_env)
    for line in process.stderr:
        if b"(2 of" in line:
            assert b"Loading" in next(process.stderr)
            break
    process.send_signal(signal.SIGINT)
    status, stdout, stderr = process.communicate(timeout=60)
    assert (status, stdout) == (128 + signal.SIGINT, b"")
    assert b"Kept: 1 thumbnail. To continue, run the command again." in stderr
    assert b"Traceback" not in stderr
    data = Path(tiny_env["KINORA_DATA_DIR"])
    with sqlite3.connect(data / "kinora.db") as database:
        assert database.execute("select count(*) from jobs").fetchone() == (0,)

    first, second, third = list(load_styles())[:3]
    options = [word for name in (first, second, third) for word in ("--style", name)]
    done = forks.run_text([COMMAND, *options, "--json"], tiny_env)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["present"] == [first]
    assert [each["style"] for each in told["made"]] == [second, third]
    assert "2 thumbnails with Tiny, about" in done.stderr
    assert "Already there: 1." in done.stderr


def test_a_draft_has_the_words_of_its_style_and_no_other_model(service: JobService) -> None:
    card = service.cards["pocket"]
    long = card.defaults.model_copy(update={"num_frames": 33})
    for each, frames in ((card, 9), (card.model_copy(update={"defaults": long}), 25)):
        request = service.thumbnails.request(each, load_styles()["film-noir"])
        assert (request.num_frames, request.allow_fallback) == (frames, False)
        assert "film noir" in service.fit(request).prompt
    with pytest.raises(KinoraError) as caught:
        silent = card.model_copy(update={"shows_styles": False})
        service.thumbnails.request(silent, load_styles()["film-noir"])
    assert caught.value.code is ErrorCode.INVALID_INPUT
