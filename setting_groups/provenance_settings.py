"""How clips say what they are, and who signs that."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

from envfile import Folder
from setting_values import Blank, api_address


class ProvenanceSettings(BaseModel):
    sign: bool = Field(
        default=True,
        description="Sign finished clips and their pictures with Content Credentials (C2PA), "
        "docs/provenance.md.",
    )
    sign_certificate: Annotated[Folder | None, Blank] = Field(
        default=None,
        description="PEM file with the certificate chain to sign with, the signing certificate "
        "first. Unset: a self-made one in the data folder.",
    )
    sign_key: Annotated[Folder | None, Blank] = Field(
        default=None, description="PEM file with the key of KINORA_SIGN_CERTIFICATE."
    )
    sign_prompt: bool = Field(
        default=False, description="Also sign the prompt, which everybody can read then."
    )
    timestamp_url: Annotated[str | None, Blank, BeforeValidator(api_address)] = Field(
        default=None,
        description="Address of a time-stamp authority (RFC 3161), which confirms when a clip was "
        "signed. Unset: none is requested.",
    )
    trust_list: Annotated[Folder | None, Blank] = Field(
        default=None,
        description="PEM file with the root certificates that `verify` trusts. Unset: no signer is "
        "trusted, valid or not.",
    )
