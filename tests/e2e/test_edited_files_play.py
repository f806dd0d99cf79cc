"""What an edit writes plays in Chromium: every frame size is right, and the frames advance."""

from __future__ import annotations

import base64
from fractions import Fraction
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from media.operations.chain import plan_chain
from media.operations.edit_sources import open_source
from media.operations.outputs import OUTPUTS, OutputFile, OutputFormat
from media.operations.registry import parse_short_form
from media.operations.run_chain import run_chain
from tests.media.operations.sources import coloured_frames, tones, write_clip

FPS, COUNT = Fraction(12), 24
PLAY = """async ([url, kind]) => {
  if (kind.startsWith("image/")) {
    const image = new Image();
    image.src = url;
    await image.decode();
    const frames = new ImageDecoder({data: await (await fetch(url)).arrayBuffer(), type: kind});
    await frames.tracks.ready;
    await frames.completed;
    const shown = [];
    for (let n = 0; n < frames.tracks.selectedTrack.frameCount; n++) {
      shown.push((await frames.decode({frameIndex: n})).image.timestamp / 1e6);
    }
    return {ready: 4, width: image.naturalWidth, height: image.naturalHeight, shown};
  }
  const video = document.createElement("video");
  document.body.append(video);
  video.muted = true;
  video.src = url;
  const shown = [];
  const ended = new Promise((done, fail) => {
    video.onended = done;
    video.onerror = () => fail(new Error(video.error.message));
  });
  const note = (now, frame) => { shown.push(frame.mediaTime); video.requestVideoFrameCallback(note); };
  video.requestVideoFrameCallback(note);
  video.playbackRate = 0.5;
  await video.play();
  await ended;
  return {ready: video.readyState, width: video.videoWidth, height: video.videoHeight, shown,
          duration: video.duration};
}"""  # noqa: E501


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "in.clip"
    return write_clip(path, coloured_frames(COUNT, 96, 64), FPS, tones(COUNT, FPS))


@pytest.mark.parametrize("operations", [[], ["crop=75:53:3:5"]], ids=["even", "odd"])
def test_every_kind_of_file_that_browsers_know_plays(
    browser: Browser, clip: Path, tmp_path: Path, operations: list[str]
) -> None:
    chain = plan_chain([open_source(clip)], [parse_short_form(each) for each in operations])
    formats: list[OutputFormat] = ["mp4", "webm", "webm-av1", "gif", "apng", "webp"]
    context = browser.new_context()
    page = context.new_page()
    # nothing listens there: the browser gives ImageDecoder to secure places only, such as localhost
    page.route("http://localhost/*", lambda route: route.fulfill(body="", content_type="text/html"))
    page.goto("http://localhost/")
    for format in formats:
        made = run_chain(chain, tmp_path / "out", OutputFile(format))
        kind = OUTPUTS[format].media_type.replace("apng", "png")
        data = base64.b64encode(made.path.read_bytes()).decode()
        seen = page.evaluate(PLAY, [f"data:{kind};base64,{data}", kind])
        assert (seen["width"], seen["height"]) == (made.info.width, made.info.height), format
        assert seen["ready"] >= 2, format  # HAVE_CURRENT_DATA, at the end
        shown = seen["shown"]
        assert shown == sorted(shown), format
        if kind.startswith("image/"):
            assert len(shown) == COUNT and shown[-1] == pytest.approx(23 / 12, abs=0.03), format
        else:
            assert seen["duration"] == pytest.approx(2, abs=0.03), format
            assert len({round(time * 12) for time in shown}) > COUNT / 3, (format, shown)
    context.close()
