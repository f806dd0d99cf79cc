"""What is not as it should be, one thing at a time.

A the class decides, B its own parts stay, C what it needs is known beforehand, D the hook holds,
E what is asked is what is made, F defaults of the class, G the plan is for this clip, H errors from
below get a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass, field

KINDS = "ABCDEFGH"


@dataclass(frozen=True, order=True)
class Finding:
    task: str
    check: str
    kind: str
    words: str


@dataclass
class Report:
    """One folder."""

    folder: str
    class_name: str
    family: str = "-"
    offers: str = "refused"
    sentence: str = ""
    findings: list[Finding] = field(default_factory=list)
    examined: set[str] = field(default_factory=set)
    """The checks that were made, whatever they found."""
    plain_failures: list[str] = field(default_factory=list)
    """Why diffusers alone cannot make a clip of the folder either."""
    clips: dict[str, str] = field(default_factory=dict)
    """Task -> what came of it, in a few words."""
    seconds: float = 0.0

    def say(self, kind: str, check: str, words: str, task: str = "") -> None:
        line = " ".join(words.split())
        self.findings.append(Finding(task, check, kind, line[:160]))

    def has(self, task: str, *checks: str) -> bool:
        return any(each.task == task and each.check in checks for each in self.findings)
