"""Subtitles and titles: in any script, within the picture, at the right frames."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import ErrorCode, KinoraError
from media.operations.ass_script import TextEvent, TextStyle, write_script
from media.operations.chain import Chain, plan_chain
from media.operations.edit_sources import open_source
from media.operations.operation import Operation, StreamInfo
from media.operations.outputs import OutputFormat
from media.operations.preview_chain import plan_preview
from media.operations.run_chain import EditedClip, OutputFile, run_chain
from media.operations.subtitle_files import Cue, parse_subtitles, write_webvtt
from media.operations.subtitles import Subtitles
from media.operations.title_card import Title
from media.operations.title_fonts import split_by_font, title_fonts, unknown_letters
from media.operations.trim import Trim
from tests.media.operations.measure import (
    offsets,
    plain_colour,
    read_sound,
    write_flashes,
    write_plain,
)
from tests.media.reading import read

GREY = (90, 90, 90)
SAMPLES = {
    "Latin": "Größe, naïve Ærø, Żółć, Ğüneş, Tiếng Việt",
    "Greek": "Καλημέρα κόσμε",
    "Cyrillic": "Привіт, Ђорђе, Ҡазаҡ",
    "Hebrew": "שלום עולם",
    "Arabic": "مرحبا بالعالم، پیام ٹھیک",
    "Devanagari": "नमस्ते क्षत्रिय",
    "Bengali": "ওহে বিশ্ব",
    "Gujarati": "કેમ છો",
    "Gurmukhi": "ਸਤ ਸ੍ਰੀ ਅਕਾਲ",
    "Tamil": "வணக்கம்",
    "Telugu": "హలో ప్రపంచం",
    "Kannada": "ನಮಸ್ಕಾರ",
    "Malayalam": "നമസ്കാരം",
    "Oriya": "ନମସ୍କାର",
    "Sinhala": "ආයුබෝවන්",
    "Thai": "สวัสดีชาวโลก",
    "Lao": "ສະບາຍດີ",
    "Khmer": "សួស្តី",
    "Myanmar": "မင်္ဂလာပါ",
    "Georgian": "გამარჯობა",
    "Armenian": "Բարեւ",
    "Ethiopic": "ሰላም ልዑል",
    "Chinese": "你好，世界。繁體字",
    "Japanese": "こんにちは世界、カタカナ",
    "Korean": "안녕하세요 세계",
    "emoji": "👍🏽 👩‍🚀 🎬",
    "symbols": "→ ♥ © ½ € №",
}


def chain_of(clip: Path, *operations: Operation) -> Chain:
    return plan_chain([open_source(clip)], operations, files={})


def make(clip: Path, *operations: Operation, format: OutputFormat = "mp4") -> EditedClip:
    target = clip.with_name(f"out.{format}")
    return run_chain(chain_of(clip, *operations), target, OutputFile(format, "high"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    return write_plain(folder / "clip.mp4", GREY, size=(320, 180), num_frames=24, tone_hz=440)


def ink(frame: np.ndarray, paper: tuple[int, int, int] = GREY) -> np.ndarray:
    """Where something is drawn: [H, W] of bool."""
    return np.abs(frame.astype(int) - paper).max(axis=-1) > 30


def drawn(text: str, size: tuple[int, int] = (640, 360)) -> np.ndarray:
    """Where the letters of a title over a grey clip are white."""
    with TemporaryDirectory() as place:
        clip = write_plain(Path(place) / "clip.mp4", GREY, size=size, num_frames=2)
        title = Title(text=text, place="over", fade_s=0, duration_s=1, size="large")
        frame = read(make(clip, title).path).frames[0]
    return frame.min(axis=-1) > 180


def columns(letters: np.ndarray) -> list[int]:
    """The widths of the parts that are separated by empty columns, from left to right."""
    filled = np.concatenate([[False], letters.any(axis=0), [False]])
    edges = np.flatnonzero(np.diff(filled.astype(int)))
    return [int(end - begin) for begin, end in edges.reshape(-1, 2)]


# fonts and shaping


@pytest.mark.parametrize("script", SAMPLES)
def test_every_script_has_a_font(script: str) -> None:
    assert unknown_letters(SAMPLES[script]) == ""
    runs = split_by_font(SAMPLES[script])
    assert "".join(run.text for run in runs) == SAMPLES[script]


def test_all_scripts_are_drawn_without_boxes_for_missing_letters() -> None:
    """libass draws the same box for every letter that a font lacks: two letters of one script that
    look alike would both be boxes."""
    for pair in ("שו", "कम", "你世"):
        shapes = [drawn(each) for each in pair]
        assert shapes[0].sum() > 20 and shapes[1].sum() > 20
        assert (shapes[0] ^ shapes[1]).sum() > 20


def test_hebrew_runs_from_right_to_left() -> None:
    widths = columns(drawn("שיייי"))
    assert widths[-1] == max(widths) > 1.5 * max(widths[:-1])  # the first letter is on the right


def test_right_to_left_lines_with_latin_words_keep_the_order_of_the_sentence() -> None:
    """The full stop of a Hebrew sentence with a Latin word in it is at the left end."""
    letters = drawn("של abc.")
    left = columns(letters)[0]
    assert left <= 8


def test_arabic_letters_are_joined_and_indic_ones_form_conjuncts() -> None:
    joined, apart = drawn("ببب"), drawn("ب ب ب")
    assert len(columns(joined)) == 1 and len(columns(apart)) == 3
    conjunct, pair = drawn("क्ष"), drawn("कष")
    assert sum(columns(conjunct)) < sum(columns(pair))


def test_letters_without_a_font_are_left_out_with_a_sentence(clip: Path) -> None:
    chain = chain_of(clip, Title(text="abc \U00013000\U00012000"))
    assert chain.notes == (
        "No font here has these characters, so they are left out: \U00013000 \U00012000",
    )


def test_the_fonts_have_a_licence_beside_them() -> None:
    folder = title_fonts()[0].path.parent
    assert "SIL OPEN FONT LICENSE" in (folder / "LICENSE-noto.txt").read_text("utf-8")
    assert all(font.path.parent == folder for font in title_fonts())


words = st.sampled_from(
    ["a", "und", "WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW", "字" * 40, "ก" * 60, "ב" * 50,
     "\\N", "{\\fs900}", "{", "}", "👍", "क्षत्रिय" * 8, "x\ny"]
)  # fmt: skip


@settings(max_examples=4)
@given(st.lists(words, min_size=1, max_size=6), st.sampled_from(["small", "large"]))
def test_texts_stay_within_the_picture(parts: list[str], size: Any) -> None:
    with TemporaryDirectory() as place:
        clip = write_plain(Path(place) / "clip.mp4", GREY, size=(192, 128), num_frames=2)
        title = Title(text=" ".join(parts), place="over", fade_s=0, duration_s=1, size=size)
        frame = read(make(clip, title).path).frames[0]
    rows, across = np.nonzero(ink(frame))
    assert rows.size, "something is drawn"
    assert rows.min() > 0 and rows.max() < 127 and across.min() > 0 and across.max() < 191


@given(st.text(max_size=60))
def test_no_text_becomes_markup(text: str) -> None:
    clip = StreamInfo(640, 360, Fraction(24), 48)
    events = [TextEvent(Fraction(0), Fraction(1), Title(text=text or "a")._lines, TextStyle(20))]
    lines = write_script(clip, events).split("\n")
    dialogues = [line for line in lines if line.startswith("Dialogue")]
    assert len(dialogues) == 1 and lines[-2] == dialogues[0]
    written = dialogues[0].split(",", 9)[9]
    for block in written.replace("\\{", "").split("{")[1:]:  # only fonts and sizes are set
        assert block.startswith("\\fnNoto ") or block.startswith("\\fnDejaVu ")
    assert "\\n" not in written and "\\h" not in written


# files


times = st.integers(0, 4 * 3600 * 1000)


@given(
    st.lists(st.tuples(times, st.integers(1, 90_000), st.sampled_from(sorted(SAMPLES.values()))),
             min_size=1, max_size=8),
    st.booleans(), st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from(["", "\ufeff"]),
)  # fmt: skip
def test_both_formats_are_read_as_they_were_written(
    parts: list[tuple[int, int, str]], is_webvtt: bool, newline: str, mark: str
) -> None:
    cues = sorted(
        (Cue(Fraction(start, 1000), Fraction(start + length, 1000), text)
         for start, length, text in parts), key=lambda cue: (cue.start_s, cue.end_s),
    )  # fmt: skip
    text = write_webvtt(cues)
    if not is_webvtt:
        blocks = text.split("\n\n")[1:]
        text = "\n\n".join(f"{n}\n{block}" for n, block in enumerate(blocks, 1)).replace(
            ".", ",", 0
        )
    assert parse_subtitles(mark + text.replace("\n", newline)) == tuple(cues)


def test_markup_and_comments_are_left_out() -> None:
    text = """WEBVTT - a file

NOTE
no text

STYLE
::cue { color: red }

intro
00:01.500 --> 00:00:02.000 align:start line:0
<v Anna>Tom &amp; <i>Jerry</i> <00:01.700>&lt;3
second line

00:03.000 --> 00:04.000
{\\an8}{not markup} <b>bold</b>
"""
    assert [cue.text for cue in parse_subtitles(text)] == [
        "Tom & Jerry <3\nsecond line",
        "{not markup} bold",
    ]
    assert parse_subtitles(text)[0].start_s == Fraction(3, 2)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("hello", "There are no subtitles in this text."),
        ("WEBVTT\n\n", "There are no subtitles in this text."),
        ("1\n00:00:01 --> 00:00:02\nx", "Line 2 has no readable times: “00:00:01 --> 00:00:02”."),
        ("1\n00:00:02,0 --> 00:00:01,0\nx", "The subtitle in line 2 ends before it begins."),
        ("00:01.000 --> 00:02.000\n" + "x" * 1001, "The subtitle in line 1 has 1001 letters"),
        ("00:01.000 --> 00:02.000\nx\n\n" * 5001, "There are more than 5000 subtitles."),
    ],
)
def test_other_texts_are_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(KinoraError) as refused:
        parse_subtitles(text)
    assert refused.value.code is ErrorCode.INVALID_INPUT
    assert refused.value.message.startswith(sentence)


@given(st.text(max_size=300) | st.lists(st.sampled_from(
    ["1", "00:00:01,000 --> 00:00:02,000", "-->", "WEBVTT", "\n", "x", "99:99:99.999 --> ", "NOTE"]
)).map("\n".join))  # fmt: skip
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert parse_subtitles(text)
    except KinoraError as error:
        assert error.code is ErrorCode.INVALID_INPUT


# subtitles


@settings(max_examples=4)
@given(
    st.sampled_from([Fraction(8), Fraction(24), Fraction(30_000, 1001), Fraction(60)]),
    st.integers(0, 1500), st.integers(50, 1500), st.sampled_from(["bottom", "top"]),
)  # fmt: skip
def test_subtitles_are_drawn_on_exactly_their_frames(
    fps: Fraction, start_ms: int, length_ms: int, place: Any
) -> None:
    start, end = Fraction(start_ms, 1000), Fraction(start_ms + length_ms, 1000)
    text = write_webvtt([Cue(start, end, "Xx XX")])
    with TemporaryDirectory() as folder:
        count = round(2 * fps)
        clip = write_plain(
            Path(folder) / "clip.mp4", GREY, fps=fps, size=(160, 96), num_frames=count
        )
        frames = read(make(clip, Subtitles(text=text, place=place)).path).frames
    first, after = (int(time * fps + Fraction(1, 2)) for time in (start, end))
    assert [bool(ink(frame).any()) for frame in frames] == [
        first <= n < after for n in range(count)
    ]
    for frame in frames[first:after]:
        half = frame[:48] if place == "bottom" else frame[48:]
        assert plain_colour(half) == pytest.approx(GREY, abs=2)


def test_the_sound_stays_as_it_was(clip: Path) -> None:
    made = make(clip, Subtitles(text="00:00.000 --> 00:01.000\nHello"))
    assert read_sound(made.path).level_of(440, 0.1, 0.9) == pytest.approx(0.25, rel=0.03)
    assert made.notes == ()


def test_subtitles_after_the_end_are_left_out_with_a_sentence(clip: Path) -> None:
    cue = "00:00:00,000 --> 00:00:00,500\nHello\n\n"
    late = "00:00:05,000 --> 00:00:06,000\nHello\n\n"
    assert chain_of(clip, Subtitles(text=cue + late)).notes == (
        "One subtitle begins after the end of the clip and is left out.",
    )
    notes = chain_of(clip, Subtitles(text=cue + late * 3)).notes
    assert notes == ("3 subtitles begin after the end of the clip and are left out.",)
    assert not ink(read(make(clip, Subtitles(text=late)).path).frames[12]).any()


@pytest.mark.parametrize("format", ["mp4", "webm"])
def test_a_track_has_every_subtitle_at_its_time(clip: Path, format: OutputFormat) -> None:
    cues = [
        Cue(Fraction(1, 10), Fraction(4, 10), "Tom & <Jerry>"),
        Cue(Fraction(5, 10), Fraction(9, 10), "مرحبا\n你好"),
    ]
    made = make(clip, Subtitles(text=write_webvtt(cues), show="track"), format=format)
    with av.open(str(made.path)) as file:
        (stream,) = file.streams.subtitles
        read_cues: list[tuple[float, float, str]] = []
        for packet in file.demux(stream):
            if packet.size and packet.pts is not None and packet.time_base:
                data = bytes(packet)
                text = (data[2:] if format == "mp4" else data).decode().strip("\0").strip()
                start = float(packet.pts * packet.time_base)
                if text:
                    end = start + float((packet.duration or 0) * packet.time_base)
                    read_cues.append((start, end, text.replace("&amp;", "&")))
    assert [cue[:2] for cue in read_cues] == [pytest.approx((0.1, 0.4)), pytest.approx((0.5, 0.9))]
    assert "مرحبا\n你好" in read_cues[1][2] and "Tom & " in read_cues[0][2]
    assert not ink(read(made.path).frames[6]).any()


def test_a_gif_has_no_track(clip: Path) -> None:
    with pytest.raises(KinoraError, match="GIF has no track for subtitles"):
        make(clip, Subtitles(text="00:00.000 --> 00:01.000\nx", show="track"), format="gif")


def test_a_track_comes_last(clip: Path) -> None:
    track = Subtitles(text="00:00.000 --> 00:00.300\nx", show="track")
    with pytest.raises(KinoraError, match="Subtitles as a track come last"):
        make(clip, track, Trim(start_s=0.5))
    made = make(clip, Trim(start_s=0.5), track, track)
    assert made.info.num_frames == 12


def test_a_preview_has_the_part_of_the_track_that_it_shows(tmp_path: Path) -> None:
    clip = write_plain(tmp_path / "clip.mp4", GREY, fps=8, num_frames=40)
    text = "00:00.000 --> 00:01.000\none\n\n00:02.500 --> 00:05.000\ntwo"
    preview = plan_preview(chain_of(clip, Subtitles(text=text, show="track")), seconds=3)
    made = run_chain(preview, tmp_path / "out.mp4", OutputFile(quality="low"))
    with av.open(str(made.path)) as file:
        assert len(file.streams.subtitles) == 1
        assert file.duration == pytest.approx(3e6, abs=1000)


def test_text_and_file_exclude_each_other(clip: Path) -> None:
    for operation in (Subtitles(), Subtitles(text="x", file="a" * 64)):
        with pytest.raises(KinoraError, match="Give the subtitles either as text or as a file"):
            plan_chain([open_source(clip)], [operation])


# titles


@pytest.mark.parametrize("place", ["start", "end"])
def test_a_card_has_its_colours_its_length_and_silence(tmp_path: Path, place: Any) -> None:
    clip = write_plain(tmp_path / "clip.mp4", GREY, size=(320, 180), num_frames=24, tone_hz=440)
    title = Title(text="Title\nand more", place=place, duration_s=1.5, background="#c83c28",
                  colour="#28c8f0", fade_s=0, size="large")  # fmt: skip
    made = make(clip, title)
    result, sound = read(made.path), read_sound(made.path)
    assert len(result.frames) == made.info.num_frames == 24 + 36
    card = slice(0, 36) if place == "start" else slice(24, 60)
    rest = slice(36, 60) if place == "start" else slice(0, 24)
    for frame in result.frames[card]:
        assert [float(each) for each in frame[2:10].mean((0, 1))] == pytest.approx(
            (200, 60, 40), abs=2
        )
        assert (np.abs(frame.astype(int) - (40, 200, 240)).max(-1) < 40).sum() > 20
    for frame in result.frames[rest]:
        assert plain_colour(frame) == pytest.approx(GREY, abs=2)
    assert abs(sound.seconds - 2.5) < 0.022
    silent, loud = ((0.05, 1.4), (1.6, 2.4)) if place == "start" else ((1.1, 2.4), (0.1, 0.9))
    assert sound.rms(*silent) < 1e-3
    assert sound.level_of(440, *loud) == pytest.approx(0.25, rel=0.03)


def test_sound_and_frames_stay_together_after_a_card(tmp_path: Path) -> None:
    frames = [n / Fraction(30_000, 1001) for n in range(60)]
    path = tmp_path / "clip.mp4"
    clip = write_flashes(path, [frames[10], frames[40]], 60 * 1001 / Fraction(30_000), times=frames)
    made = make(clip, Title(text="One", duration_s=0.77), Title(text="Two", place="end"))
    assert max(abs(each) for each in offsets(made.path)) < 0.02


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"text": "\u0007 \n "}, "The title has no letters. Write a text."),
        ({"text": "x\n" * 13}, "The title has more than 12 lines. Shorten it."),
    ],
)
def test_titles_without_letters_are_refused(
    clip: Path, values: dict[str, str], sentence: str
) -> None:
    with pytest.raises(KinoraError) as refused:
        chain_of(clip, Title(**values))  # pyright: ignore[reportArgumentType]
    assert refused.value.message == sentence
