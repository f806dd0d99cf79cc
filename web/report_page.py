"""The form that reports a shared clip, and what is shown once it was sent: HTML without script."""

from __future__ import annotations

from jobs.moderation import MOST_NOTE, REASONS
from jobs.shares import SharedClip
from web.addresses import address
from web.languages import Language
from web.share_page import ENGLISH, as_attribute, as_text, document, title_of
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


def render_form(
    shared: SharedClip,
    language: Language = ENGLISH,
    reason: str = "",
    note: str = "",
    error: str = "",
) -> str:
    """`error` says why a report was not accepted; what was entered stays in the form."""
    reasons = "\n".join(
        f'<label><input type="radio" name="reason" value="{as_attribute(name)}" required'
        f"{' checked' if name == reason else ''}> {as_text(language.translate(label))}</label>"
        for name, label in REASONS.items()
    )
    problem = (
        f'<p class="error" role="alert">{as_text(language.translate(error))}</p>\n' if error else ""
    )
    body = f"""<main>
<h1>{_say("title", language)}</h1>
<p class="soft" dir="auto">{as_text(title_of(shared, language))}</p>
<p class="soft">{_say("about", language)}</p>
{problem}<form method="post" action="{as_attribute(address(f"{PATH}/{shared.share.id}/report"))}">
<fieldset><legend>{_say("reason", language)}</legend>
{reasons}</fieldset>
<label for="note">{_say("note", language)}</label>
<textarea id="note" name="note" rows="4" maxlength="{MOST_NOTE}">
{as_text(note)}</textarea>
<div class="row"><button class="press">{_say("send", language)}</button>
{_back(shared, language)}</div>
</form>
</main>"""
    return document(language, language.translate(TEXTS["title"]), NO_INDEX, body)


def render_thanks(shared: SharedClip, language: Language = ENGLISH) -> str:
    body = f"""<main>
<h1>{_say("thanks", language)}</h1>
<p class="soft">{_say("received", language)}</p>
<div class="row">{_back(shared, language)}</div>
</main>"""
    return document(language, language.translate(TEXTS["thanks"]), NO_INDEX, body)


def _back(shared: SharedClip, language: Language) -> str:
    where = as_attribute(address(f"{PATH}/{shared.share.id}"))
    return f'<a class="press quiet" href="{where}">{_say("back", language)}</a>'


def _say(name: str, language: Language) -> str:
    return as_text(language.translate(TEXTS[name]))
