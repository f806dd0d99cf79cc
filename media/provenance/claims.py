"""What a signed file says about its making, as the definition of a C2PA manifest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from media.provenance.plain_tags import COMPOSITE, GENERATED

ASSERTION = "app.kinora.generation"
"""The label of our own assertion: model, revision, and the prompt where the operator wants it."""
GENERATOR = "Kinora"
SELF_MADE_ISSUER = "Kinora (self-made)"
"""The organization in self-made certificates, by which a verifier recognizes them. It proves
nothing: everybody can write it into a certificate."""

UNKNOWN = "http://cv.iptc.org/newscodes/digitalsourcetype/composite"
"""Of elements that may or may not be generated."""

Relationship = Literal["inputTo", "componentOf"]
"""C2PA's words: something was made from it, or it is in the file."""


@dataclass(frozen=True)
class Ingredient:
    """What a file was made from. `archive` is what `describe_ingredient` returned, if the file had
    Content Credentials of its own."""

    id: str
    title: str
    format: str
    relationship: Relationship
    archive: Path | None = None

    @property
    def instance_id(self) -> str:
        return instance_id(self.id)

    def definition(self) -> dict[str, str]:
        return {
            "title": self.title,
            "format": self.format,
            "relationship": self.relationship,
            "instance_id": self.instance_id,
        }


def instance_id(file_id: str) -> str:
    return f"urn:kinora:sha256:{file_id}"


def archive_name(file_id: str, relationship: Relationship) -> str:
    return f"{file_id}.{relationship}.c2pa"


@dataclass(frozen=True)
class Making:
    """How a clip was made. `revision` is that of the model's weights."""

    title: str
    version: str
    made_at: datetime
    model: str | None = None
    revision: str | None = None
    prompt: str | None = None
    ingredients: tuple[Ingredient, ...] = ()
    is_generated: bool = True
    """Whether a model made it, or a part of it."""
    edits: tuple[str, ...] | None = None
    """What was done to the ingredients of an edit, as sentences; None for what was generated."""

    def manifest(self, ingredients: tuple[Ingredient, ...]) -> dict[str, Any]:
        """The definition, with those of the ingredients that have no archive."""
        parts = [each for each in self.ingredients if each.relationship == "componentOf"]
        about = {
            "model": self.model,
            "model_revision": self.revision,
            "prompt": self.prompt,
        }
        agent = {"name": self.model or GENERATOR}
        if self.revision or not self.model:
            agent["version"] = self.revision or self.version
        is_edit = self.edits is not None
        created: dict[str, Any] = {
            "action": "c2pa.created",
            "when": self.made_at.isoformat(timespec="seconds"),
            "softwareAgent": self._program if is_edit else agent,
            "digitalSourceType": self._source_type(has_parts=bool(parts)),
        }
        placed: list[dict[str, Any]] = [
            {"action": "c2pa.placed", "parameters": {"ingredientIds": [each.instance_id]}}
            for each in parts
        ]
        edited: list[dict[str, Any]] = [
            {"action": "c2pa.edited", "softwareAgent": self._program, "description": what}
            for what in self.edits or ()
        ]
        return {
            "title": self.title,
            "claim_generator_info": [{"name": GENERATOR, "version": self.version}],
            "assertions": [
                {
                    "label": "c2pa.actions.v2",
                    "data": {"actions": [created, *placed, *edited], "allActionsIncluded": True},
                    "created": True,
                },
                {
                    "label": ASSERTION,
                    "data": {name: value for name, value in about.items() if value},
                    "created": True,
                },
            ],
            "ingredients": [each.definition() for each in ingredients],
        }

    @property
    def _program(self) -> dict[str, str]:
        return {"name": GENERATOR, "version": self.version}

    def _source_type(self, *, has_parts: bool) -> str:
        if not self.is_generated:  # an edit of files from elsewhere
            return UNKNOWN
        return COMPOSITE if has_parts else GENERATED
