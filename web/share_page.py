"""The pages that the holder of a share link sees: plain HTML, without script and cookie.

All text of users passes through `as_text` or `as_attribute`, which escape it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from jobs.shares import SharedClip
from web.addresses import address
from web.languages import Language, languages
from web.setting_labels import labelled_settings
from web.share_tools import PATH

TEXTS = {
    "untitled": "A clip made with Kinora",
    "made": "Made by AI with Kinora",
    "edited": "Edited with Kinora",
    "seconds": "{seconds:.1f} s, {width} × {height}",
    "prompt": "Prompt",
    "settings": "Settings",
    "again": "Make one like it",
    "download": "Download",
    "gallery": "Public gallery",
    "empty": "Nothing is published here yet.",
    "older": "Older clips",
    "not_found": "There is no clip here",
    "why": "The link may have been revoked, or it has expired.",
    "home": "Open Kinora",
    "report": "Report this clip",
}
"""What these pages say, besides the texts of users."""

ENGLISH = languages()["en"]

TITLE_LETTERS = 70
DESCRIPTION_LETTERS = 200

STYLE = """
:root { color-scheme: light dark; --bg: #fbfaff; --ink: #1d1930; --soft: #5f5a76; --line: #e3dff0;
  --surface: #fff; --violet: #5030cc; --press: #6d4aff; }
@media (prefers-color-scheme: dark) { :root { --bg: #0d0b14; --ink: #f0eefa; --soft: #a7a2bd;
  --line: #2a2640; --surface: #171426; --violet: #b7a4ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--ink);
  font: 16px/1.5 "IBM Plex Sans", ui-sans-serif, system-ui, sans-serif; }
main { max-width: 880px; margin: 0 auto; padding: 24px; }
h1 { font-size: 20px; line-height: 1.3; margin: 16px 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 14px; margin: 24px 0 4px; color: var(--soft); font-weight: 400; }
p { margin: 0; overflow-wrap: anywhere; white-space: pre-wrap; }
.soft, footer { color: var(--soft); font-size: 14px; white-space: normal; }
.clip { display: block; width: 100%; height: auto; max-height: 76vh; object-fit: contain;
  background: #000; border-radius: 14px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 24px; margin: 0;
  font-size: 14px; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
.row { display: flex; flex-wrap: wrap; gap: 12px; margin: 20px 0; }
a { color: var(--violet); }
.press { display: inline-block; padding: 9px 18px; border-radius: 999px; text-decoration: none;
  background: var(--press); color: #fff; }
.press.quiet { background: none; color: var(--ink); box-shadow: inset 0 0 0 1px var(--line); }
a:focus-visible, video:focus-visible { outline: 2px solid var(--press); outline-offset: 2px; }
ul { list-style: none; margin: 16px 0; padding: 0; display: grid; gap: 16px;
  grid-template-columns: repeat(auto-fill, minmax(220px, 1fr)); }
li a { display: block; color: inherit; text-decoration: none; }
li img { display: block; width: 100%; aspect-ratio: 16 / 10; object-fit: cover; border-radius: 14px;
  background: var(--surface); }
form { margin: 16px 0; }
fieldset { border: 1px solid var(--line); border-radius: 14px; margin: 16px 0; padding: 12px 16px; }
label { display: block; padding: 4px 0; }
textarea, input[type="password"], input[type="text"], input[type="number"] { width: 100%;
  padding: 8px 12px; border: 1px solid var(--line); border-radius: 8px; font: inherit;
  background: var(--surface); color: var(--ink); }
button { font: inherit; border: 0; cursor: pointer; }
.error { color: #c02840; } @media (prefers-color-scheme: dark) { .error { color: #ff8d9c; } }
button:focus-visible, input:focus-visible, textarea:focus-visible { outline: 2px solid var(--press);
  outline-offset: 2px; }
footer { margin-top: 32px; border-top: 1px solid var(--line); padding-top: 12px; }
@media (max-width: 480px) { main { padding: 12px; } dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: 8px; } }
body.bare, body.bare main { padding: 0; max-width: none; height: 100vh; background: #000; }
body.bare .clip { width: 100vw; height: 100vh; max-height: none; border-radius: 0; }
"""
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Crect width='16' height='16' rx='5' fill='%236d4aff'/%3E"
    "%3Ccircle cx='11' cy='12' r='5' fill='%23ff8a3d' fill-opacity='.8'/%3E%3C/svg%3E"
)
"""Without one, a browser requests /favicon.ico, and the page's answer would set a cookie."""
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_POLICY = (
    "default-src 'none'; media-src 'self'; img-src 'self' data:; "
    f"style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors "
)
PAGE_POLICY = f"{_POLICY}'self'"
FORM_POLICY = PAGE_POLICY.replace("form-action 'none'", "form-action 'self'")
"""For the page with the report's form."""
EMBED_POLICY = f"{_POLICY}*"
"""The clip alone may stand in any site's frame: it has no button that does anything here."""


def title_of(shared: SharedClip, language: Language = ENGLISH) -> str:
    """One line, without what the maker hides."""
    first_line = " ".join(shared.prompt.split())
    return shared.share.title or _cut(first_line, TITLE_LETTERS) or _say("untitled", language)


def facts_of(shared: SharedClip, language: Language = ENGLISH) -> str:
    result = shared.result
    seconds = result.duration_s
    facts = TEXTS["seconds"].format(seconds=seconds, width=result.width, height=result.height)
    return language.translate(facts)


def clip_file(shared: SharedClip) -> str:
    """The name of the clip below its page."""
    return f"clip.{shared.job.fitted.format}"


def render_clip(
    shared: SharedClip, root: str, language: Language = ENGLISH, links: str = ""
) -> str:
    """`root` is the server's public address, for what readers of other sites fetch."""
    here = f"{root}{PATH}/{shared.share.id}"
    title = title_of(shared, language)
    words = shared.prompt if shared.prompt != title else ""  # not twice
    prompt = _section(_say("prompt", language), f"<p {_DIR}>{as_text(words)}</p>", words)
    body = f"""<main>
{_player(shared, language)}
<h1 {_DIR}>{as_text(title)}</h1>
<p class="soft">{as_text(facts_of(shared, language))}</p>
<div class="row">{_buttons(shared, language)}</div>
{prompt}{_settings(shared, language)}
{_footer(language, f"{_say(_made(shared), language)}.", f"{report_link(shared, language)} {links}")}
</main>"""
    return document(language, title, _meta(shared, here, language), body)


def _made(shared: SharedClip) -> str:
    return "made" if shared.result.generated else "edited"


def render_embed(shared: SharedClip, language: Language = ENGLISH) -> str:
    body = f"<main>{_player(shared, language)}</main>"
    return document(language, title_of(shared, language), "", body, bare=True)


def render_gallery(
    clips: Sequence[SharedClip],
    before: float | None,
    language: Language = ENGLISH,
    links: str = "",
) -> str:
    """`before` leads to the next page; None on the last one."""
    tiles = "\n".join(_tile(shared, language) for shared in clips)
    listed = (
        f"<ul>{tiles}</ul>" if clips else f'<p class="soft">{as_text(_say("empty", language))}</p>'
    )
    older = ""
    if before is not None:
        where = as_attribute(address(f"{PATH}?before={before!r}"))
        older = f'<a class="press quiet" href="{where}">{as_text(_say("older", language))}</a>'
    title = _say("gallery", language)
    footer = _footer(language, links=links)
    body = f"<main><h1>{as_text(title)}</h1>\n{listed}\n{older}\n{footer}</main>"
    return document(language, title, "", body)


def render_not_found(language: Language = ENGLISH) -> str:
    """The same for a revoked, an expired and a made-up link."""
    title = _say("not_found", language)
    body = (
        f"<main><h1>{as_text(title)}</h1>"
        f'<p class="soft">{as_text(_say("why", language))}</p>\n{_footer(language)}</main>'
    )
    return document(language, title, _NO_INDEX, body)


# ---- parts

_DIR = 'dir="auto"'
_NO_INDEX = '<meta name="robots" content="noindex">\n'


def _say(name: str, language: Language) -> str:
    return language.translate(TEXTS[name])


def as_text(text: str) -> str:
    return escape(text, quote=False)


def as_attribute(text: str) -> str:
    """Between double quotes."""
    return escape(text, quote=True)


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: letters - 1].rstrip()}…"


def document(language: Language, title: str, head: str, body: str, *, bare: bool = False) -> str:
    name = ' class="bare"' if bare else ""
    return f"""<!DOCTYPE html>
<html lang="{language.tag}" dir="{language.dir}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{as_text(title)}</title>
<link rel="icon" href="{ICON}">
{head}<style>{STYLE}</style>
</head>
<body{name}>
{body}
</body>
</html>
"""


def _player(shared: SharedClip, language: Language) -> str:
    clip, poster = (
        as_attribute(address(f"{PATH}/{shared.share.id}/{name}"))
        for name in (clip_file(shared), "poster.jpg")
    )
    size = f'width="{shared.result.width}" height="{shared.result.height}"'
    name = as_attribute(title_of(shared, language))
    if shared.job.fitted.format == "gif":
        return f'<img class="clip" src="{clip}" alt="{name}" {size}>'
    return (
        f'<video class="clip" src="{clip}" poster="{poster}" aria-label="{name}" {size} '
        "controls loop playsinline></video>"
    )


def _buttons(shared: SharedClip, language: Language) -> str:
    found = ""
    if shared.settings():
        where = as_attribute(address(f"/?like={quote(shared.share.id)}"))
        found = f'<a class="press" href="{where}">{as_text(_say("again", language))}</a>\n'
    file = as_attribute(address(f"{PATH}/{shared.share.id}/{clip_file(shared)}?download"))
    return f'{found}<a class="press quiet" href="{file}">{as_text(_say("download", language))}</a>'


def _settings(shared: SharedClip, language: Language) -> str:
    if shared.fitted is None:
        return ""
    hidden = {"prompt"} | ({"negative_prompt"} if shared.share.hide_prompt else set())
    rows = "".join(
        f"<dt>{as_text(language.translate(label))}</dt><dd {_DIR}>{as_text(value)}</dd>"
        for label, value in (
            labelled_settings(shared.fitted, hidden)
            if shared.fitted.model  # else it is an edit of an uploaded clip
            else ()
        )
    )
    return _section(_say("settings", language), f"<dl>{rows}</dl>", rows)


def _section(heading: str, content: str, unless_empty: str) -> str:
    return f"<h2>{as_text(heading)}</h2>\n{content}\n" if unless_empty else ""


def _tile(shared: SharedClip, language: Language) -> str:
    page, poster = (
        as_attribute(address(f"{PATH}/{shared.share.id}{name}")) for name in ("", "/poster.jpg")
    )
    title = as_text(title_of(shared, language))
    return (
        f'<li><a href="{page}"><img src="{poster}" alt="" loading="lazy">'
        f"<span {_DIR}>{title}</span></a></li>"
    )


def report_link(shared: SharedClip, language: Language) -> str:
    where = as_attribute(address(f"{PATH}/{shared.share.id}/report"))
    return f' · <a href="{where}" rel="nofollow">{as_text(_say("report", language))}</a>'


def _footer(language: Language, made: str = "", links: str = "") -> str:
    """`links`: HTML, the links to the terms and to the operator."""
    home = as_attribute(address("/"))
    back = f'<a href="{home}">{as_text(_say("home", language))}</a>'
    return f"<footer>{as_text(made)} {back} {links}</footer>"


def _meta(shared: SharedClip, here: str, language: Language) -> str:
    """For link unfurlers: no more than is on the page."""
    result, form = shared.result, shared.job.fitted.format
    prompt = _cut(" ".join(shared.prompt.split()), DESCRIPTION_LETTERS)
    description = prompt or _say(_made(shared), language)
    file, poster = f"{here}/{clip_file(shared)}", f"{here}/poster.jpg"
    found = [
        ("name", "description", description),
        ("property", "og:site_name", "Kinora"),
        ("property", "og:type", "website" if form == "gif" else "video.other"),
        ("property", "og:title", title_of(shared, language)),
        ("property", "og:description", description),
        ("property", "og:url", here),
        ("property", "og:image", poster),
        ("property", "og:image:type", "image/jpeg"),
        ("property", "og:image:width", str(result.width)),
        ("property", "og:image:height", str(result.height)),
        ("name", "twitter:title", title_of(shared, language)),
        ("name", "twitter:description", description),
        ("name", "twitter:image", poster),
    ]
    if form == "gif":
        found.append(("name", "twitter:card", "summary_large_image"))
    else:
        kind = f"video/{form}"
        found += [
            ("property", "og:video", file),
            ("property", "og:video:type", kind),
            ("property", "og:video:width", str(result.width)),
            ("property", "og:video:height", str(result.height)),
            ("name", "twitter:card", "player"),
            ("name", "twitter:player", f"{here}/embed"),
            ("name", "twitter:player:width", str(result.width)),
            ("name", "twitter:player:height", str(result.height)),
            ("name", "twitter:player:stream", file),
            ("name", "twitter:player:stream:content_type", kind),
        ]
        if here.startswith("https://"):
            found.append(("property", "og:video:secure_url", file))
    lines = [
        f'<meta {kind}="{name}" content="{as_attribute(value)}">' for kind, name, value in found
    ]
    root = here.rpartition(f"{PATH}/")[0]
    discovery = as_attribute(f"{root}/oembed?url={quote(here, safe='')}&format=json")
    lines.append(
        f'<link rel="alternate" type="application/json+oembed" href="{discovery}" '
        f'title="{as_attribute(title_of(shared, language))}">'
    )
    return "\n".join(lines) + "\n" + ("" if shared.share.is_public else _NO_INDEX)
