"""`python -m tools.editing_pictures`: makes the pictures of docs/editing.md.

With an included model. Each is a strip of frames of what comes out, for sound its wave form.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from media.attachments import store_attachment
from media.edited_stills import read_frames
from media.ffmpeg import base_command
from media.operations.edit_request import EditRequest, read_edit_request
from media.operations.plan_edit import plan_edit
from media.operations.registry import parse_short_form
from media.operations.run_chain import EditedClip, run_chain
from settings import ROOT

FOLDER = ROOT / "docs" / "images" / "editing"
CLIPS = {
    "dog": ("a dog running to the right in the snow", 3),
    "car": ("a red car driving to the left in a city", 5),
}
SHOWN = 6
HEIGHT = 128
WARM_LUT = "LUT_3D_SIZE 2\n" + "\n".join(
    f"{min(1, 0.1 + r)} {0.8 * g} {0.6 * b}" for b in (0, 1) for g in (0, 1) for r in (0, 1)
)
OPERATIONS = {
    "trim": "trim=0.5:1.25",
    "split": "split=1.0:after",
    "speed": "speed=2",
    "reverse": "reverse",
    "loop": "loop=boomerang",
    "freeze": "freeze=1.0:1.5",
    "crop": "crop=80:80",
    "pad": "pad=shape=16/9:background=blur",
    "rotate": "rotate=90",
    "interpolate": "interpolate=4",
    "upscale": "upscale=2",
    "deflicker": "deflicker",
    "stabilise": "stabilise=0.5",
    "colour": "colour=0.4:1.2:1.6:0.5",
    "lut": "lut=LUT",
    "grain": "grain=0.8",
    "vignette": "vignette=1",
    "join": "join=crossfade:0.75",
    "subtitles": "subtitles=WORDS:size=large",
    "title": "title=Snow:start:1:size=large",
}


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        clips = {name: generate(folder, name) for name in CLIPS}
        (folder / "lut").write_text(WARM_LUT)
        (folder / "words").write_text("1\n00:00:00,000 --> 00:00:09,000\nIt runs.\n")
        tone = ("-f", "lavfi", "-i", "aevalsrc=0.3*sin(440*t)*sin(9*t):duration=3")
        subprocess.run([*base_command(), *tone, str(folder / "tone.wav")], check=True)  # noqa: S603
        files = {
            "TONE": store_attachment(folder / "tone.wav", "sound", folder, 10**7),
            "LUT": store_attachment(folder / "lut", "lut", folder, 10**6),
            "WORDS": store_attachment(folder / "words", "subtitles", folder, 10**6),
        }
        suffixes = {"TONE": ".flac", "LUT": ".cube", "WORDS": ".vtt"}
        paths = {each: folder / f"{each}{suffixes[name]}" for name, each in files.items()}
        save("original", strip(edit([clips["dog"]], "", {}, folder)))
        for name, written in OPERATIONS.items():
            for word, file_id in files.items():
                written = written.replace(word, file_id)
            sources = [clips["dog"], *([clips["car"]] if name == "join" else [])]
            save(name, strip(edit(sources, written, paths, folder)))
        written = f"sound={files['TONE']}:fade_in_s=0.5:fade_out_s=1"
        save("sound", wave_form(edit([clips["dog"]], written, paths, folder).path, folder))


def generate(folder: Path, name: str) -> Path:
    prompt, seed = CLIPS[name]
    path = folder / f"{name}.mp4"
    command = [
        sys.executable,
        "app.py",
        "generate",
        prompt,
        "--seed",
        str(seed),
        "--out",
        str(path),
    ]
    subprocess.run(command, check=True, cwd=ROOT)  # noqa: S603
    return path


def edit(sources: list[Path], written: str, files: dict[str, Path], folder: Path) -> EditedClip:
    operations = [parse_short_form(written)] if written else []
    values = {"clips": [path.stem for path in sources], "operations": operations}
    request: EditRequest = read_edit_request(values | {"quality": "high"})
    chain = plan_edit(request, sources, files)
    return run_chain(chain, folder / "edited.mp4", request.output_file())


def strip(clip: EditedClip) -> Image.Image:
    """Frames that are evenly spread over the clip, side by side."""
    numbers = np.linspace(0, clip.info.num_frames - 1, SHOWN).round().astype(int).tolist()
    frames = read_frames(clip.path, clip.info, numbers)
    shown = Image.fromarray(np.concatenate(list(frames), axis=1))
    height = max(HEIGHT, min(shown.height, 2 * HEIGHT))
    return shown.resize((round(shown.width * height / shown.height), height))


def wave_form(clip: Path, folder: Path) -> Image.Image:
    """Of a clip's sound."""
    picture = folder / "wave.png"
    drawn = f"showwavespic=s={SHOWN * HEIGHT}x{HEIGHT}:colors=0x7b3ff2"
    command = ["-i", str(clip), "-filter_complex", drawn, "-frames:v", "1"]
    subprocess.run([*base_command(), *command, str(picture)], check=True)  # noqa: S603
    wave = Image.open(picture).convert("RGBA")
    shown = Image.new("RGBA", wave.size, "white")
    shown.alpha_composite(wave)
    return shown


def save(name: str, picture: Image.Image) -> None:
    picture.convert("RGB").save(FOLDER / f"{name}.jpg", quality=82)


if __name__ == "__main__":
    main()
