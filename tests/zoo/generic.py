"""Families that have one of their own, made by the generic one from nothing but their index."""

from __future__ import annotations

from typing import Any

from tests.zoo import Specimen, card, cogvideox, wan

WAN, COG = wan.SPECIMENS[0], cogvideox.SPECIMENS[0]


def through_generic(specimen: Specimen, class_name: str, **changes: Any) -> Specimen:
    about = specimen.card
    kept = {key: about[key] for key in ("defaults", "limits", "call") if key in about}
    made = card("generic", ["t2v"], classes={"t2v": class_name}, **kept, **changes)
    name = f"generic-{specimen.name}"
    return Specimen(name, made, specimen.build, specimen.plain, specimen.load)


SPECIMENS = (
    through_generic(WAN, "WanPipeline", frames={"of": 4, "plus": 1}, size={"of": 16}),
    through_generic(COG, "CogVideoXPipeline", frames={"of": 8, "plus": 1}, size={"of": 8}),
)
