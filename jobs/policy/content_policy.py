"""ContentPolicy: refuses prompts before they are queued, and reports every refusal."""

from __future__ import annotations

import logging
import time
from typing import cast

from errors import ErrorCode, KinoraError
from jobs.artifacts import Artifacts
from jobs.job import Job
from jobs.policy.own_filter import load_filter, run_filter
from jobs.policy.policy_event import PolicyEvent, PolicyListener, Stage
from jobs.policy.prompt_rules import Category, Finding, load_rules
from jobs.uploads import remove
from settings import Settings

log = logging.getLogger(__name__)

QUOTED_LETTERS = 40
OWN, FRAMES = "own", "frames"
"""Categories of what the operator's filter and the classifier refuse."""


class ContentPolicy:
    """Thread-safe."""

    def __init__(self, settings: Settings, artifacts: Artifacts) -> None:
        """Raises KinoraError(INVALID_INPUT) if the rules or the filter cannot be loaded."""
        self._settings, self._artifacts = settings, artifacts
        self._listeners: list[PolicyListener] = []
        self._rules = load_rules(settings.policy_file) if settings.filters_prompts else None
        self._categories = settings.prompt_filter_categories or None
        if self._rules and (
            unknown := sorted(set(self._categories or ()) - self._rules.categories.keys())
        ):
            raise KinoraError(
                ErrorCode.INVALID_INPUT,
                f"KINORA_PROMPT_FILTER_CATEGORIES names an unknown category: {unknown[0]}. "
                f"There are: {', '.join(self._rules.categories)}.",
            )
        self._own = load_filter(settings.content_filter) if settings.content_filter else None

    def subscribe(self, listener: PolicyListener) -> None:
        """Calls it for every refusal in this process, in the thread that refuses. An exception of
        a listener is logged and changes nothing."""
        self._listeners.append(listener)

    def check_prompt(self, prompt: str, owner: str) -> None:
        """`prompt`: after wildcards and style. Raises KinoraError(CONTENT_POLICY). The
        negative prompt is not checked: it names what the clip should be without."""
        if self._rules and (finding := self._rules.find(prompt, self._categories)):
            category = self._rules.categories[finding.category]
            self._refuse_prompt(
                _sentence(finding, category), finding.category, finding.rule, owner, prompt
            )
        own = self._own
        if own and (sentence := run_filter(lambda: own.check_prompt(prompt))):
            self._refuse_prompt(sentence, OWN, OWN, owner, prompt)

    def note_refusal(self, job: Job, error: KinoraError) -> KinoraError:
        """A worker has refused what a job was given or what it made. An upload that was refused is
        removed. Returns the error, with the terms and the contact."""
        stage = error.details.get("stage", "result")
        name = job.request.model_dump().get(str(error.details.get("field")))
        if stage == "input" and isinstance(name, str):
            self._remove_upload(name)
        category = str(error.details.get("category", FRAMES))
        rule = str(error.details.get("rule", category))
        self._publish(
            PolicyEvent(
                cast(Stage, stage),
                category,
                rule,
                time.time(),
                job.owner,
                job.id,
                job.fitted.prompt,
            )
        )
        return self._with_contact(error)

    def _remove_upload(self, name: str) -> None:
        """For everyone who uploaded the same file."""
        remove(self._artifacts.uploads_folder, name)
        if self._artifacts.is_remote:
            self._artifacts.remove_upload(name)

    def _refuse_prompt(
        self, sentence: str, category: str, rule: str, owner: str, prompt: str
    ) -> None:
        self._publish(PolicyEvent("prompt", category, rule, time.time(), owner, prompt=prompt))
        details = {"stage": "prompt", "field": "prompt", "category": category}
        raise self._with_contact(KinoraError(ErrorCode.CONTENT_POLICY, sentence, details=details))

    def _with_contact(self, error: KinoraError) -> KinoraError:
        terms, contact = self._settings.terms_url, self._settings.contact
        more = {"Terms": terms, "Questions": contact}
        sentences = [f"{name}: {value}" for name, value in more.items() if value]
        details = error.details | {
            name: value for name, value in {"terms_url": terms, "contact": contact}.items() if value
        }
        return KinoraError(error.code, " ".join([error.message, *sentences]), details=details)

    def _publish(self, event: PolicyEvent) -> None:
        log.info("Refused by the content policy: %s, %s (%s).", event.stage, event.category,
                 event.rule)  # fmt: skip
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:  # a failing listener must not fail the request
                log.exception("A listener of the content policy failed.")


def _sentence(finding: Finding, category: Category) -> str:
    """What is refused, which words led to it, and what to change."""
    sentence = f"This server does not make {category.title}."
    words = [" ".join(word.split())[:QUOTED_LETTERS] for word in finding.words]
    if category.quotes and words:
        quoted = " and ".join(f"“{word}”" for word in dict.fromkeys(words))
        sentence += f" The prompt says {quoted}."
    return f"{sentence} {category.change}"
