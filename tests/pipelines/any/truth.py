"""What each class can do with what Kinora can give it, read from diffusers by a person.

Of a class that is not listed here the checks fail by its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.zoo.any.classes import frame_rate_of


@dataclass(frozen=True)
class Truth:
    """`must` be offered, and nothing but what `may` be. Or it is refused, in a sentence that says
    what `unless` matches, where that is given."""

    must: str = ""
    may: str = ""
    unless: str | None = None

    @property
    def words(self) -> str:
        tasks = self.must + (f" ({self.may})" if self.may else "")
        return " or ".join(filter(None, (tasks, self.unless and f"refused: {self.unless}")))


GUARD = r"guardrail|torchvision"
CONTROL = r"control|conditioning|guide"
ENLARGES = r"larger|enlarge|upscal|upsampl|second pass"

TRUTHS: dict[str, Truth] = {
    "AllegroPipeline": Truth("t2v"),
    "AnimateDiffControlNetPipeline": Truth("v2v", unless=CONTROL),
    "AnimateDiffPAGPipeline": Truth("t2v"),
    "AnimateDiffPipeline": Truth("t2v"),
    "AnimateDiffSDXLPipeline": Truth("t2v"),
    "AnimateDiffSparseControlNetPipeline": Truth("i2v", unless=CONTROL),
    "AnimateDiffVideoToVideoControlNetPipeline": Truth("v2v", unless=CONTROL),
    "AnimateDiffVideoToVideoPipeline": Truth("v2v"),
    "AnyFlowFARPipeline": Truth("t2v", "v2v"),
    "AnyFlowPipeline": Truth("t2v"),
    "ChronoEditPipeline": Truth("i2v"),
    "CogVideoXFunControlPipeline": Truth("v2v", unless=CONTROL),
    "CogVideoXImageToVideoPipeline": Truth("i2v"),
    "CogVideoXPipeline": Truth("t2v", "v2v"),
    "CogVideoXVideoToVideoPipeline": Truth("v2v", "t2v"),
    "ConsisIDPipeline": Truth(unless=r"\bid\b|identit|face"),
    "Cosmos2TextToImagePipeline": Truth(unless="makes no videos"),
    "Cosmos2VideoToWorldPipeline": Truth("i2v", "v2v", unless=GUARD),
    "Cosmos2_5_PredictBasePipeline": Truth("t2v i2v", "v2v", unless=GUARD),
    "Cosmos2_5_TransferPipeline": Truth("v2v", unless=f"{CONTROL}|{GUARD}"),
    "Cosmos3OmniPipeline": Truth("t2v i2v", "v2v", unless=GUARD),
    "CosmosTextToWorldPipeline": Truth("t2v", unless=GUARD),
    "CosmosVideoToWorldPipeline": Truth("i2v", "v2v", unless=GUARD),
    # it calls its own encode_prompt with an argument that that has not
    "EasyAnimateControlPipeline": Truth("v2v", unless=f"{CONTROL}|version of diffusers"),
    "EasyAnimateInpaintPipeline": Truth("t2v", "i2v v2v"),
    "EasyAnimatePipeline": Truth("t2v"),
    "HeliosPipeline": Truth("t2v i2v v2v"),
    "HeliosPyramidPipeline": Truth("t2v i2v v2v"),
    "HunyuanSkyreelsImageToVideoPipeline": Truth("i2v"),
    "HunyuanVideo15ImageToVideoPipeline": Truth("i2v"),
    "HunyuanVideo15Pipeline": Truth("t2v"),
    "HunyuanVideoFramepackPipeline": Truth("i2v"),
    "HunyuanVideoImageToVideoPipeline": Truth("i2v"),
    "HunyuanVideoPipeline": Truth("t2v"),
    "I2VGenXLPipeline": Truth("i2v", unless="transformers"),
    "Kandinsky5I2VPipeline": Truth("i2v"),
    "Kandinsky5T2VPipeline": Truth("t2v"),
    "Kandinsky6SRPipeline": Truth("v2v", unless=ENLARGES),
    "Kandinsky6TI2VAPipeline": Truth("t2v i2v"),
    "LTX2ConditionPipeline": Truth("t2v i2v v2v"),
    "LTX2DFRPipeline": Truth("t2v", "i2v v2v"),
    "LTX2DFRTemporalRefinePipeline": Truth(unless=r"latents|earlier|second"),
    "LTX2HDRPipeline": Truth("v2v", "t2v", unless=r"reference|HDR"),
    "LTX2ImageToVideoPipeline": Truth("i2v", "t2v v2v"),
    "LTX2InContextPipeline": Truth("t2v", "i2v v2v"),
    "LTX2LatentUpsamplePipeline": Truth(unless=ENLARGES),
    "LTX2Pipeline": Truth("t2v", "i2v v2v"),
    "LTX2VideoDiffusionDecodePipeline": Truth(unless="latents|decod"),
    "LTXConditionPipeline": Truth("t2v i2v v2v"),
    "LTXI2VLongMultiPromptPipeline": Truth("t2v", "i2v", unless="prompt|segment"),
    "LTXImageToVideoPipeline": Truth("i2v", "t2v"),
    "LTXLatentUpsamplePipeline": Truth(unless=ENLARGES),
    "LTXPipeline": Truth("t2v", "i2v"),
    "LattePipeline": Truth("t2v"),
    "LucyEditPipeline": Truth("v2v"),
    "MochiPipeline": Truth("t2v"),
    "MotifVideoImage2VideoPipeline": Truth("i2v"),
    "MotifVideoPipeline": Truth("t2v"),
    "PIAPipeline": Truth("i2v"),
    "SanaImageToVideoPipeline": Truth("i2v", "t2v"),
    "SanaVideoPipeline": Truth("t2v", "i2v"),
    "SanaWMPipeline": Truth("i2v", unless="camera|action"),
    "SkyReelsV2DiffusionForcingImageToVideoPipeline": Truth("i2v"),
    "SkyReelsV2DiffusionForcingPipeline": Truth("t2v"),
    "SkyReelsV2DiffusionForcingVideoToVideoPipeline": Truth("v2v", unless="overlap|history"),
    "SkyReelsV2ImageToVideoPipeline": Truth("i2v"),
    "SkyReelsV2Pipeline": Truth("t2v"),
    "StableVideoDiffusionPipeline": Truth("i2v"),
    "TextToVideoSDPipeline": Truth("t2v", "v2v"),
    "TextToVideoZeroPipeline": Truth("t2v", unless=r"^(?!.*makes no videos)"),
    "TextToVideoZeroSDXLPipeline": Truth("t2v", unless=r"^(?!.*makes no videos)"),
    "VideoToVideoSDPipeline": Truth("v2v", "t2v"),
    "WanAnimatePipeline": Truth("v2v", unless="pose|face"),
    "WanImageToVideoPipeline": Truth("i2v"),
    "WanPipeline": Truth("t2v", "v2v"),
    "WanVACEPipeline": Truth("t2v i2v v2v"),
    "WanVideoToVideoPipeline": Truth("v2v", "t2v"),
    # made up
    "ZephyrPipeline": Truth("t2v"),
    "ZephyrEditPipeline": Truth("v2v"),
    "ZephyrAnimatePipeline": Truth("i2v", "t2v"),
    "ZephyrSoundPipeline": Truth("t2v"),
    "ZephyrControlPipeline": Truth("v2v", unless=CONTROL),
}

OF_FOLDERS: dict[str, Truth] = {
    # the second expert has no part in WanVideoToVideoPipeline
    "wan22": Truth("t2v"),
    "wan22-5b": Truth("t2v i2v"),
    "wan22-5b-i2v": Truth("i2v", "t2v"),
}
"""Where the configs say more than the class."""

REAL_SIZES: dict[str, tuple[float, ...]] = {
    "WanPipeline": (14.5, 16, 17.5, 29, 32, 35, 40, 46, 47.5, 63, 80, 92, 95, 126),
    "WanImageToVideoPipeline": (14.5, 16, 17.5, 29, 32, 35, 40, 46, 47.5, 63, 80, 92, 95, 126),
    "WanVideoToVideoPipeline": (14.5, 16, 17.5, 29, 32, 35, 40, 46, 47.5, 63, 80, 92, 95, 126),
    "WanVACEPipeline": (14.5, 16, 17.5, 29, 32, 35, 40, 46, 47.5, 63, 80, 92, 95, 126),
    "SkyReelsV2Pipeline": (16, 32, 40, 46, 80, 92),
    "SkyReelsV2ImageToVideoPipeline": (16, 32, 40, 46, 80, 92),
    "HunyuanVideoPipeline": (21, 22, 42, 44),
    "HunyuanVideoImageToVideoPipeline": (21, 22, 42, 44),
    "HunyuanVideo15Pipeline": (17, 17.5, 34, 35),
    "HunyuanVideo15ImageToVideoPipeline": (17, 17.5, 34, 35),
    "Kandinsky5T2VPipeline": (11.5, 23, 28.5, 57),
    "Kandinsky5I2VPipeline": (11.5, 23, 28.5, 57),
    "CogVideoXPipeline": (7, 10.5, 14, 21, 42),
    "CogVideoXImageToVideoPipeline": (7, 10.5, 14, 21, 42),
    "VideoToVideoSDPipeline": (1.85, 3.7),
    "LTX2Pipeline": (45, 49, 90, 98),
}
"""GB of the checkpoints that people run, whole and halved: 108 pairs."""


RATES: dict[str, int] = {
    "AnimateDiffPAGPipeline": 8,
    "AnimateDiffPipeline": 8,
    "AnimateDiffSDXLPipeline": 8,
    "AnimateDiffSparseControlNetPipeline": 8,
    "AnimateDiffVideoToVideoPipeline": 8,
    "HunyuanVideo15ImageToVideoPipeline": 24,
    "HunyuanVideo15Pipeline": 24,
    "HunyuanVideoImageToVideoPipeline": 24,
    "HunyuanVideoPipeline": 24,
    "PIAPipeline": 8,
    "SkyReelsV2Pipeline": 24,
}
"""Frames per second of models whose class does not say them, or another's."""


LEAST_FRAMES = {"AllegroPipeline": 24, "LattePipeline": 16}
"""Of classes that cannot make fewer: Allegro's VAE decodes tiles of 24 frames, Latte has a position
for each of its 16."""

OF_FOLDER_RATES = {"wan22-5b": 24, "wan22-5b-i2v": 24}
"""TI2V-5B is faster than the others of its class."""


def rate_of(folder: str, of: type[Any]) -> int | None:
    return OF_FOLDER_RATES.get(folder) or RATES.get(of.__name__) or frame_rate_of(of)


def truth_of(folder: str, class_name: str) -> Truth:
    found = OF_FOLDERS.get(folder) or TRUTHS.get(class_name)
    if found is None:
        raise LookupError(
            f"{class_name} is new: say in tests/pipelines/any/truth.py what it can do"
        )
    return found
