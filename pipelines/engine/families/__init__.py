"""The pipeline families by the name that cards use, each imported when it is first needed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.engine.families.base import Family

FAMILIES = {
    "ltx": ("pipelines.engine.families.ltx", "LTX"),
    "ltx2": ("pipelines.engine.families.ltx2", "LTX2"),
    "skyreels": ("pipelines.engine.families.skyreels", "SkyReels"),
    "skyreels_df": ("pipelines.engine.families.skyreels_df", "SkyReelsDF"),
    "helios": ("pipelines.engine.families.helios", "Helios"),
    "framepack": ("pipelines.engine.families.framepack", "FramePack"),
    "chronoedit": ("pipelines.engine.families.chronoedit", "ChronoEdit"),
    "lucy": ("pipelines.engine.families.lucy", "Lucy"),
    "wan": ("pipelines.engine.families.wan", "Wan"),
    "hunyuan": ("pipelines.engine.families.hunyuan", "HunyuanVideo"),
    "mochi": ("pipelines.engine.families.mochi", "Mochi"),
    "hunyuan15": ("pipelines.engine.families.hunyuan15", "HunyuanVideo15"),
    "latte": ("pipelines.engine.families.latte", "Latte"),
    "allegro": ("pipelines.engine.families.allegro", "Allegro"),
    "sana": ("pipelines.engine.families.sana", "Sana"),
    "kandinsky5": ("pipelines.engine.families.kandinsky5", "Kandinsky5"),
    "cogvideox": ("pipelines.engine.families.cogvideox", "CogVideoX"),
    "svd": ("pipelines.engine.families.svd", "SVD"),
    "modelscope": ("pipelines.engine.families.modelscope", "ModelScope"),
    "animatediff": ("pipelines.engine.families.animatediff", "AnimateDiff"),
    "kandinsky6": ("pipelines.engine.families.kandinsky6", "Kandinsky6"),
    "easyanimate": ("pipelines.engine.families.easyanimate", "EasyAnimate"),
    "animatediff_sdxl": ("pipelines.engine.families.animatediff_sdxl", "AnimateDiffSDXL"),
    "pia": ("pipelines.engine.families.pia", "PIA"),
    "ltx2_in_context": ("pipelines.engine.families.ltx2_in_context", "LTX2InContext"),
    "cosmos": ("pipelines.engine.families.cosmos", "Cosmos"),
    "motif": ("pipelines.engine.families.motif", "Motif"),
    "ltx_long": ("pipelines.engine.families.ltx_long", "LTXLong"),
    "generic": ("pipelines.engine.families.generic", "Generic"),
}


def load_family(name: str) -> Family:
    """Imports a family's module. Raises KeyError for an unknown name, which no card can have."""
    module, class_name = FAMILIES[name]
    return getattr(import_module(module), class_name)()
