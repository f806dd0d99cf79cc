"""What may not be made here, and whom a refused caller can turn to."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from envfile import Folder
from setting_groups.machine_settings import MachineSettings
from setting_values import ROOT, Blank, contact_address, import_path, split, web_address

LABELS = ("nsfw", "porn", "hentai", "sexy", "explicit", "unsafe", "gore")


class PolicySettings(MachineSettings):
    prompt_filter: Annotated[bool | None, Blank] = Field(
        default=None,
        description="Refuse prompts by the rules of KINORA_POLICY_FILE, docs/policy.md. "
        "Default: only on a Space.",
    )
    prompt_filter_categories: Annotated[tuple[str, ...], NoDecode, BeforeValidator(split)] = Field(
        default=(),
        description="Categories of the rules that are refused, separated by commas. Default: all: "
        "`minors`, `sexual`, `gore`, `self_harm`, `hate` and `deepfake`.",
    )
    policy_file: Folder = Field(
        default=ROOT / "presets" / "policy.yaml",
        description="YAML file with the rules for prompts.",
    )
    frame_filter_model: Annotated[str | None, Blank] = Field(
        default=None,
        description="Hub id (`owner/name@revision`) or folder of an image classifier that checks "
        "uploads and finished frames. Unset: they are not checked.",
    )
    frame_filter_labels: Annotated[tuple[str, ...], NoDecode, BeforeValidator(split)] = Field(
        default=LABELS,
        description="Labels of KINORA_FRAME_FILTER_MODEL that are refused, separated by commas. "
        f"Default: {', '.join(f'`{label}`' for label in LABELS)}, as far as it has them.",
    )
    frame_filter_threshold: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="All is refused from this probability of such a label in a checked frame on.",
    )
    content_filter: Annotated[str | None, Blank, BeforeValidator(import_path)] = Field(
        default=None,
        description="Import path of an own filter, `module:Class`, docs/policy.md.",
    )
    terms_url: Annotated[str | None, Blank, BeforeValidator(web_address)] = Field(
        default=None,
        validation_alias="TERMS_URL",
        description="Address of the terms of use, shown at the end of the page and in refusals.",
    )
    contact: Annotated[str | None, Blank, BeforeValidator(contact_address)] = Field(
        default=None,
        validation_alias="CONTACT",
        description="E-mail address or web page for questions, shown as TERMS_URL is.",
    )

    @property
    def filters_prompts(self) -> bool:
        """`prompt_filter`, with its default resolved."""
        return self.on_space if self.prompt_filter is None else self.prompt_filter
