"""The families of pipelines, by the name a card uses.

Importing this package is light; a family's own module (and torch) is imported when asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.families.base import Family

CLASSES = {
    "ltx": ("pipelines.families.ltx", "LTX"),
    "ltx2": ("pipelines.families.ltx2", "LTX2"),
    "skyreels": ("pipelines.families.skyreels", "SkyReels"),
    "wan": ("pipelines.families.wan", "Wan"),
    "hunyuan": ("pipelines.families.hunyuan", "HunyuanVideo"),
    "mochi": ("pipelines.families.mochi", "Mochi"),
    "hunyuan15": ("pipelines.families.hunyuan15", "HunyuanVideo15"),
    "latte": ("pipelines.families.latte", "Latte"),
    "allegro": ("pipelines.families.allegro", "Allegro"),
    "sana": ("pipelines.families.sana", "Sana"),
    "kandinsky5": ("pipelines.families.kandinsky5", "Kandinsky5"),
    "cogvideox": ("pipelines.families.cogvideox", "CogVideoX"),
    "svd": ("pipelines.families.svd", "SVD"),
    "modelscope": ("pipelines.families.modelscope", "ModelScope"),
    "animatediff": ("pipelines.families.animatediff", "AnimateDiff"),
    "generic": ("pipelines.families.generic", "Generic"),
}


def family_of(name: str) -> Family:
    module, class_name = CLASSES[name]
    return getattr(import_module(module), class_name)()
