"""What a file's Content Credentials say, in words for people and fields for programs.

Everything in here that comes from the file was written by its signer, or by anyone if the
signature is not valid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel

from media.provenance.claims import ASSERTION, SELF_MADE_ISSUER

FileState = Literal["valid", "changed", "invalid", "none", "unreadable", "unavailable"]
SignerKind = Literal["trusted", "this_installation", "self_made", "unknown"]

MAX_TEXT = 500
MAX_INGREDIENTS = 50
GENERATED = ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "algorithmicMedia")


class SignedBy(BaseModel):
    """Whose certificate signed it. `kind` says whether that means anything."""

    organization: str | None = None
    name: str | None = None
    kind: SignerKind
    signed_at: str | None = None
    """By a time-stamp authority; None without one."""


class MadeBy(BaseModel):
    """What the signer says of the making; None is not said."""

    program: str | None = None
    version: str | None = None
    model: str | None = None
    model_revision: str | None = None
    made_at: str | None = None
    source_type: str | None = None
    """The last part of IPTC's digital source type."""
    is_generated: bool | None = None
    prompt: str | None = None


class MadeFrom(BaseModel):
    """A file that it was made from."""

    title: str | None = None
    relationship: str | None = None
    state: FileState
    """Of that file's own credentials, when it was used."""
    made_by: MadeBy | None = None


class Report(BaseModel):
    state: FileState
    """valid: unchanged since it was signed. changed: the file or what is said about it was changed
    afterwards. invalid: the signature or its certificate does not hold. none: there are no Content
    Credentials. unreadable: they or the file are damaged. unavailable: they cannot be read here."""
    signed_by: SignedBy | None = None
    made_by: MadeBy | None = None
    made_from: list[MadeFrom] = []
    problems: list[str] = []
    sentences: list[str] = []
    """All of it for people."""


SENTENCES: dict[str, tuple[FileState, str]] = {
    "none": (
        "none",
        "There are no Content Credentials in this file. That says nothing about how it was made: "
        "many programs remove them.",
    ),
    "unsupported": (
        "none",
        "Files of this type have no place for Content Credentials, and there is no sidecar file.",
    ),
    "unreadable": (
        "unreadable",
        "This file or its Content Credentials are damaged. Whether it was changed is unknown.",
    ),
    "unavailable": (
        "unavailable",
        "Content Credentials cannot be read here: the package c2pa-python is not installed.",
    ),
}


def no_report(outcome: str) -> Report:
    state, sentence = SENTENCES[outcome]
    return Report(state=state, sentences=[sentence])


def report_of(found: Mapping[str, Any], *, is_own: bool) -> Report:
    """From the JSON of the library's reader."""
    manifests = found.get("manifests") or {}
    active = manifests.get(found.get("active_manifest"))
    if not active:
        if found.get("remote_url"):
            return Report(state="none", sentences=[REMOTE])
        return no_report("none")
    results = found.get("validation_results") or {}
    codes = _failures(results.get("activeManifest"))
    is_valid = found.get("validation_state") in ("Valid", "Trusted")
    problems = [] if is_valid else list(dict.fromkeys(_problems(codes)))
    if not is_valid and not problems:  # what it was made from does not hold
        deltas = results.get("ingredientDeltas") or []
        problems = [INGREDIENT] if deltas else [UNKNOWN_PROBLEM]
    state: FileState = "valid" if is_valid else _state(codes)
    report = Report(
        state=state,
        signed_by=_signed_by(active, found.get("validation_state") == "Trusted", is_own),
        made_by=_made_by(active),
        made_from=list(_made_from(active, manifests)),
        problems=problems,
    )
    return report.model_copy(update={"sentences": list(_sentences(report))})


REMOTE = (
    "The Content Credentials of this file are at an address on the internet. They are not fetched "
    "from here, so what they say is unknown."
)
INGREDIENT = "What it was made from has Content Credentials that do not hold."
UNKNOWN_PROBLEM = "The Content Credentials do not hold."
CONTENT_CHANGED = "The file was changed after it was signed."
WORDS: dict[str, str] = {
    "assertion.bmffHash.mismatch": CONTENT_CHANGED,
    "assertion.dataHash.mismatch": CONTENT_CHANGED,
    "assertion.boxesHash.mismatch": CONTENT_CHANGED,
    "assertion.collectionHash.mismatch": CONTENT_CHANGED,
    "assertion.hashedURI.mismatch": "What is said about its making was changed: {part}.",
    "assertion.missing": "A statement about its making was removed: {part}.",
    "claimSignature.mismatch": "The signature does not belong to these Content Credentials.",
    "claimSignature.missing": "The signature is missing.",
    "claim.missing": "The signed statement is missing.",
    "signingCredential.invalid": "The certificate may not be used to sign Content Credentials.",
    "signingCredential.expired": "The certificate had expired.",
    "claimSignature.outsideValidity": "It was signed when the certificate was not valid.",
    "signingCredential.ocsp.revoked": "The certificate was revoked.",
    "algorithm.unsupported": "It is signed in a way that is not allowed or not known.",
}


def _failures(results: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """(code, part) of what does not hold; a signer that is not trusted is no failure."""
    failures = _dicts((results or {}).get("failure"))
    return [
        (str(each.get("code")), str(each.get("url", "")).rsplit("/", 1)[-1][:MAX_TEXT])
        for each in failures
        if each.get("code") != "signingCredential.untrusted"
    ]


def _problems(codes: list[tuple[str, str]]) -> Iterator[str]:
    for code, part in codes:
        yield WORDS.get(code, f"{UNKNOWN_PROBLEM} ({code})").format(part=part or "unknown part")


def _state(codes: list[tuple[str, str]]) -> FileState:
    """Where the signature itself holds, the file or a statement was changed."""
    names = [code for code, _ in codes]
    is_changed = any(
        name.endswith("Hash.mismatch") or name.startswith("assertion.") for name in names
    )
    breaks = ("claimSignature", "signingCredential", "claim.", "algorithm")
    return "invalid" if not is_changed or any(n.startswith(breaks) for n in names) else "changed"


def _signed_by(active: Mapping[str, Any], is_trusted: bool, is_own: bool) -> SignedBy:
    info = active.get("signature_info") or {}
    organization = _text(info.get("issuer"))
    kind: SignerKind = "unknown"
    if is_trusted:
        kind = "trusted"
    elif is_own:
        kind = "this_installation"
    elif organization == SELF_MADE_ISSUER:
        kind = "self_made"
    return SignedBy(
        organization=organization,
        name=_text(info.get("common_name")),
        kind=kind,
        signed_at=_text(info.get("time")),
    )


def _made_by(manifest: Mapping[str, Any]) -> MadeBy:
    assertions = {
        str(each.get("label")): each.get("data") for each in _dicts(manifest.get("assertions"))
    }
    actions: list[dict[str, Any]] = []
    for label, data in assertions.items():
        if label.startswith("c2pa.actions") and isinstance(data, dict):
            actions += _dicts(data.get("actions"))
    first = next(iter(actions), {})
    agent = first.get("softwareAgent")
    agent = agent if isinstance(agent, dict) else {"name": agent}
    generator = next(iter(_dicts(manifest.get("claim_generator_info"))), {})
    own = assertions.get(ASSERTION)
    own = own if isinstance(own, dict) else {}
    source = next((a["digitalSourceType"] for a in actions if "digitalSourceType" in a), None)
    source = _text(str(source).rstrip("/").rsplit("/", 1)[-1]) if source else None
    return MadeBy(
        program=_text(generator.get("name") or manifest.get("claim_generator")),
        version=_text(generator.get("version")),
        model=_text(own.get("model") or agent.get("name")),
        model_revision=_text(own.get("model_revision") or agent.get("version")),
        made_at=_text(first.get("when")),
        source_type=source,
        is_generated=source in GENERATED if source else None,
        prompt=_text(own.get("prompt"), 10_000),
    )


def _made_from(active: Mapping[str, Any], manifests: Mapping[str, Any]) -> Iterator[MadeFrom]:
    for each in _dicts(active.get("ingredients"))[:MAX_INGREDIENTS]:
        own = manifests.get(str(each.get("active_manifest")))
        codes = _failures((each.get("validation_results") or {}).get("activeManifest"))
        state: FileState = "none" if own is None else _state(codes) if codes else "valid"
        yield MadeFrom(
            title=_text(each.get("title")),
            relationship=_text(each.get("relationship")),
            state=state,
            made_by=_made_by(own) if own else None,
        )


def _dicts(value: object) -> list[dict[str, Any]]:
    """The objects of a list: the file may have anything there."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _text(value: object, limit: int = MAX_TEXT) -> str | None:
    return value[:limit] if isinstance(value, str) and value else None


# -- sentences -------------------------------------------------------------------------------------


def _sentences(report: Report) -> Iterator[str]:
    if report.state == "valid":
        yield "The Content Credentials are valid: the file is unchanged since it was signed."
    else:
        yield "The Content Credentials are not valid. Do not rely on what they say."
        yield from report.problems
    if report.signed_by:
        yield _who(report.signed_by)
    if report.made_by:
        yield from _how(report.made_by)
    for each in report.made_from:
        yield _from(each)


def _who(signed_by: SignedBy) -> str:
    who = signed_by.organization or signed_by.name or "an unnamed certificate"
    match signed_by.kind:
        case "trusted":
            sentence = f"Signed by {who}, whose certificate is trusted here."
        case "this_installation":
            how = "its own self-made certificate"
            if signed_by.organization != SELF_MADE_ISSUER:
                how = f"the certificate of {who}"
            sentence = f"Signed by this Kinora, with {how}."
        case "self_made":
            sentence = (
                "Signed by a Kinora with a self-made certificate: whose it is, is not proven."
            )
        case "unknown":
            sentence = (
                f"Signed by {who}. Whether that name is right is unknown: "
                "the certificate is not on the list of trusted ones here."
            )
    stamp = (
        f" A time-stamp authority confirms {signed_by.signed_at}." if signed_by.signed_at else ""
    )
    return sentence + stamp


def _how(made_by: MadeBy) -> Iterator[str]:
    if made_by.is_generated is None:
        yield "Whether it was generated is not said."
    elif made_by.is_generated:
        yield "It was generated by AI, entirely or in part."
    else:
        yield f"Its source is given as {made_by.source_type}."
    if made_by.is_generated and made_by.model != made_by.program:
        if not made_by.model:
            yield "Made by a model that is not named."
        elif made_by.model_revision:
            yield f"Made by the model {made_by.model}, revision {made_by.model_revision}."
        else:
            yield f"Made by the model {made_by.model}."
    program = " ".join(part for part in (made_by.program, made_by.version) if part)
    yield f"Program: {program or 'not said'}. Time: {made_by.made_at or 'not said'}."


def _from(made_from: MadeFrom) -> str:
    title = made_from.title or "a file without a name"
    own = {
        "none": "it had no Content Credentials",
        "valid": "its own Content Credentials were valid",
    }.get(made_from.state, "its own Content Credentials did not hold")
    generated = made_from.made_by and made_from.made_by.is_generated
    said = f"{own}, and it was generated by AI" if generated else own
    return f"Made from: {title}; {said}."
