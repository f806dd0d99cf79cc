"""The form that reports a shared clip, and what is shown once it was sent: HTML without script."""

from __future__ import annotations

from jobs.moderation import MOST_NOTE, REASONS
from jobs.shares import SharedClip
from web.addresses import address
from web.share_page import as_attribute, as_text, document, title_of
from web.share_tools import PATH

TEXTS = {
    "title": "Report a clip",
    "about": "The people who run this site will look at your report. You need no account.",
    "reason": "What is wrong with it?",
    "note": "What should they know? (optional)",
    "send": "Send report",
    "back": "Back to the clip",
    "thanks": "Thank you for the report",
    "received": "The people who run this site will look at the clip.",
}
NO_INDEX = '<meta name="robots" content="noindex">\n'


def render_form(shared: SharedClip, reason: str = "", note: str = "", error: str = "") -> str:
    """`error` says why a report was not accepted; what was entered stays in the form."""
    reasons = "\n".join(
        f'<label><input type="radio" name="reason" value="{as_attribute(name)}" required'
        f"{' checked' if name == reason else ''}> {as_text(label)}</label>"
        for name, label in REASONS.items()
    )
    problem = f'<p class="error" role="alert">{as_text(error)}</p>\n' if error else ""
    body = f"""<main>
<h1>{as_text(TEXTS["title"])}</h1>
<p class="soft" dir="auto">{as_text(title_of(shared))}</p>
<p class="soft">{as_text(TEXTS["about"])}</p>
{problem}<form method="post" action="{as_attribute(address(f"{PATH}/{shared.share.id}/report"))}">
<fieldset><legend>{as_text(TEXTS["reason"])}</legend>
{reasons}</fieldset>
<label for="note">{as_text(TEXTS["note"])}</label>
<textarea id="note" name="note" rows="4" maxlength="{MOST_NOTE}">
{as_text(note)}</textarea>
<div class="row"><button class="press">{as_text(TEXTS["send"])}</button>
{_back(shared)}</div>
</form>
</main>"""
    return document(TEXTS["title"], NO_INDEX, body)


def render_thanks(shared: SharedClip) -> str:
    body = f"""<main>
<h1>{as_text(TEXTS["thanks"])}</h1>
<p class="soft">{as_text(TEXTS["received"])}</p>
<div class="row">{_back(shared)}</div>
</main>"""
    return document(TEXTS["thanks"], NO_INDEX, body)


def _back(shared: SharedClip) -> str:
    where = as_attribute(address(f"{PATH}/{shared.share.id}"))
    return f'<a class="press quiet" href="{where}">{as_text(TEXTS["back"])}</a>'
