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
from media.operations.run_chain import EditedClip, run_chain
from tests.media.operations.sources import coloured_frames, tones, write_clip

FPS, COUNT = Fraction(12), 24
PLAY = """(files) => Promise.all(files.map(async ([url, kind]) => {
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
}))"""  # noqa: E501
"""All at the same time: each video is shown at half its speed, so that no frame is left out."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "in.clip"
    return write_clip(path, coloured_frames(COUNT, 96, 64), FPS, tones(COUNT, FPS))


def test_every_kind_of_file_that_browsers_know_plays(
    browser: Browser, clip: Path, tmp_path: Path
) -> None:
    formats: list[OutputFormat] = ["mp4", "webm", "webm-av1", "gif", "apng", "webp"]
    made: list[tuple[OutputFormat, EditedClip]] = []
    for shape, operations in (("even", []), ("odd", ["crop=75:53:3:5"])):
        chain = plan_chain([open_source(clip)], [parse_short_form(each) for each in operations])
        for format in formats:
            made.append((format, run_chain(chain, tmp_path / shape / format, OutputFile(format))))
    context = browser.new_context()
    page = context.new_page()
    # nothing listens there: the browser gives ImageDecoder to secure places only, such as localhost
    page.route("http://localhost/*", lambda route: route.fulfill(body="", content_type="text/html"))
    page.goto("http://localhost/")
    kinds = [OUTPUTS[format].media_type.replace("apng", "png") for format, _ in made]
    data = [base64.b64encode(file.path.read_bytes()).decode() for _, file in made]
    files = [[f"data:{kind};base64,{each}", kind] for kind, each in zip(kinds, data, strict=True)]
    for (format, file), kind, seen in zip(made, kinds, page.evaluate(PLAY, files), strict=True):
        what = (format, file.info.width)
        assert (seen["width"], seen["height"]) == (file.info.width, file.info.height), what
        assert seen["ready"] >= 2, what  # HAVE_CURRENT_DATA, at the end
        shown = seen["shown"]
        assert shown == sorted(shown), what
        if kind.startswith("image/"):
            assert len(shown) == COUNT and shown[-1] == pytest.approx(23 / 12, abs=0.03), what
        else:
            assert seen["duration"] == pytest.approx(2, abs=0.03), what
            assert len({round(time * 12) for time in shown}) > COUNT / 3, (what, shown)
    context.close()
