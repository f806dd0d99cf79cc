"""Writes the script that libass draws: texts in any script, with a font for each part, that stay
within the picture."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from PIL import ImageFont

from media.operations.filter_graph import FilterGraph
from media.operations.operation import StreamInfo
from media.operations.title_fonts import FontFile, Run, split_by_font, title_fonts, unknown_letters

FONTS_FOLDER = "fonts"
MARGIN = 0.05
"""Of the width and height, at each side."""
WORD_JOINER = "\u2060"
MIN_SIZE = 6
MEASURED_AT = 100
"""The size, in pixels, at which widths are measured."""
STAYS_WITH_NEXT = "เแโใไເແໂໃໄ"
"""Vowels of Thai and Lao that are written before their consonant."""
LANGUAGES = (("ja", "\u3040", "\u30ff"), ("ko", "\uac00", "\ud7a3"))
"""Han characters have other forms in Japanese and Korean; which, is seen from the other letters."""


@dataclass(frozen=True)
class TextStyle:
    size: float
    """Of the em, in pixels of the clip."""
    colour: str = "#ffffff"
    alignment: int = 2
    """As on the keys of a number pad: 2 is at the bottom, in the middle."""
    box: bool = False
    """A dark box behind the text, instead of an outline."""
    outline: bool = True
    first_line: float = 1.0
    """How much larger the first line is."""

    def size_of(self, line: int) -> float:
        return self.size * (self.first_line if line == 0 else 1)


@dataclass(frozen=True)
class TextEvent:
    start_s: Fraction
    end_s: Fraction
    text: str
    style: TextStyle
    fade_s: float = 0.0


def draw_texts(
    graph: FilterGraph, file_name: str, clip: StreamInfo, events: Sequence[TextEvent]
) -> str:
    """Writes the script and its fonts into the folder of the graph; returns the filter that draws
    it."""
    file = graph.add_file(file_name, write_script(clip, events).encode())
    folder = graph.folder / FONTS_FOLDER
    folder.mkdir(exist_ok=True)
    for font in {run.font for event in events for run in split_by_font(event.text)}:
        link = folder / font.path.name
        if not link.exists():
            link.symlink_to(font.path.absolute())
    return f"subtitles=f={file}:fontsdir={FONTS_FOLDER}:shaping=complex:wrap_unicode=1"


def write_script(clip: StreamInfo, events: Sequence[TextEvent]) -> str:
    """The text of an ASS file for pictures of this size and rate."""
    width, height = clip.width, clip.height
    styles = list(dict.fromkeys(event.style for event in events))
    names = {style: f"s{number}" for number, style in enumerate(styles)}
    lines = [
        "[Script Info]",
        "ScriptType: v4.00+",
        *(f"PlayResX: {width}", f"PlayResY: {height}"),
        *(f"LayoutResX: {width}", f"LayoutResY: {height}"),
        *("WrapStyle: 0", "ScaledBorderAndShadow: yes", "YCbCr Matrix: None"),
        f"Language: {_language(events)}",
        "",
        "[V4+ Styles]",
        "Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, "
        "BackColour, Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, "
        "BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding",
        *(_style_line(names[style], style, clip) for style in styles),
        "",
        "[Events]",
        "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text",
    ]
    for event in events:
        fade_ms = round(event.fade_s * 1000)
        fade = f"{{\\fad({fade_ms},{fade_ms})}}" if fade_ms else ""
        times = f"{_time(event.start_s, clip.fps)},{_time(event.end_s, clip.fps)}"
        text = _marked_up(event.text, event.style, width * (1 - 2 * MARGIN))
        lines.append(f"Dialogue: 0,{times},{names[event.style]},,0,0,0,,{fade}{text}")
    return "\n".join(lines) + "\n"


def describe_unknown(text: str) -> tuple[str, ...]:
    """A sentence about letters that no font has, if there are any."""
    unknown = unknown_letters(text)
    if not unknown:
        return ()
    shown = " ".join(unknown[:5])
    return (f"No font here has these characters, so they are left out: {shown}",)


def shrink_to_fit(text: str, style: TextStyle, width: float, height: float) -> TextStyle:
    """The style, with a smaller size if the text needs it to stay within a box, roughly."""
    while style.size > MIN_SIZE and _text_height(text, style, width) > height:
        style = replace(style, size=style.size * 0.92)
    return style


def _text_height(text: str, style: TextStyle, width: float) -> float:
    height = 0.0
    for number, line in enumerate(text.split("\n")):
        size = style.size_of(number)
        wide = _measure(line, size)
        # lines that are wrapped are filled to four fifths, on average
        count = 1 if wide <= width else int(wide / (0.8 * width)) + 1
        tallest = max((run.font.line_height for run in split_by_font(line)), default=1.4)
        height += count * size * tallest
    return height


def _style_line(name: str, style: TextStyle, clip: StreamInfo) -> str:
    width, height = clip.width, clip.height
    font = title_fonts()[0]
    outline = max(1.0, style.size / 14) * (style.outline and not style.box)
    padding = style.size * 0.3 * style.box
    margins = round(width * MARGIN), round(width * MARGIN), round(height * MARGIN)
    return (
        f"Style: {name},{font.family},{style.size * font.line_height:.2f},{_colour(style.colour)},"
        f"{_colour(style.colour)},&H00000000,&H60000000,0,0,0,0,100,100,0,0,"
        # style 4 is libass's own: one box behind all lines, as much larger as the shadow is deep
        f"{4 if style.box else 1},{outline:.2f},{padding:.2f},{style.alignment},"
        f"{','.join(map(str, margins))},-1"
    )


def _marked_up(text: str, style: TextStyle, width: float) -> str:
    """With the font and the size of every part, escaped."""
    lines: list[str] = []
    current: tuple[FontFile, float] | None = None
    for number, line in enumerate(text.split("\n")):
        size = style.size_of(number)
        parts: list[str] = []
        for run in split_by_font(_with_breaks(line, size, width)):
            if current != (run.font, size):
                current = run.font, size
                height = size * run.font.line_height
                parts.append(f"{{\\fn{run.font.family}\\fs{height:.2f}}}")
            parts.append(_escape(run.text))
        lines.append("".join(parts))
    return "\\N".join(lines)


def _escape(text: str) -> str:
    """What libass would take for markup. A joiner after a backslash has no width."""
    text = text.replace("\\", "\\" + WORD_JOINER).replace("{", "\\{").replace("}", "\\}")
    return text.replace("\n", "\\N")


def _with_breaks(line: str, size: float, width: float) -> str:
    """Breaks words that are wider than a line: libass breaks between words only, and finds none in
    scripts without spaces such as Thai."""
    return " ".join(_break_word(word, size, width) for word in line.split(" "))


def _break_word(word: str, size: float, width: float) -> str:
    if _measure(word, size) <= width or _breaks_anywhere(word):
        return word
    lines, line = [], ""
    for cluster in _clusters(word):
        if line and _measure(line + cluster, size) > width:
            lines.append(line)
            line = ""
        line += cluster
    return "\n".join([*lines, line])


def _breaks_anywhere(word: str) -> bool:
    """Chinese, Japanese and Korean: libass breaks them itself, by the rules of Unicode."""
    return all(unicodedata.east_asian_width(each) in "WF" for each in word)


def _clusters(word: str) -> list[str]:
    """Letters with their marks, which a line break must not part."""
    clusters: list[str] = []
    for letter in word:
        is_mark = unicodedata.category(letter) in ("Mn", "Mc", "Me", "Cf")
        after = clusters[-1][-1] if clusters else ""
        joins = after and (unicodedata.combining(after) == 9 or after in STAYS_WITH_NEXT)  # virama
        if clusters and (is_mark or joins or unicodedata.category(after) == "Cf"):
            clusters[-1] += letter
        else:
            clusters.append(letter)
    return clusters


def _measure(text: str, size: float) -> float:
    """The width in pixels, roughly: ligatures and joined letters are narrower."""
    return sum(_measure_run(run) for run in split_by_font(text)) * size / MEASURED_AT


def _measure_run(run: Run) -> float:
    return _loaded(run.font).getlength(run.text.replace("\n", " "))


@functools.lru_cache(maxsize=64)
def _loaded(font: FontFile) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font.path, MEASURED_AT, layout_engine=ImageFont.Layout.BASIC)


def _language(events: Sequence[TextEvent]) -> str:
    text = "".join(event.text for event in events)
    for language, first, last in LANGUAGES:
        if any(first <= letter <= last for letter in text):
            return language
    return "zh"


def _colour(colour: str) -> str:
    """ "#rrggbb" as libass writes it."""
    return f"&H00{colour[5:7]}{colour[3:5]}{colour[1:3]}".upper()


def _time(time_s: Fraction, fps: Fraction) -> str:
    """In hundredths of a second, as ASS has them: between the frame before and the frame that is
    nearest to the time, so that rounding moves nothing to another frame."""
    frame = int(time_s * fps + Fraction(1, 2))
    hundredths = round(max(Fraction(0), (frame - Fraction(1, 2)) / fps) * 100)
    minutes, rest = divmod(hundredths, 6000)
    return f"{minutes // 60}:{minutes % 60:02}:{rest // 100:02}.{rest % 100:02}"
