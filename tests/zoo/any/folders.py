"""One folder for each video class of diffusers, and for each of its kinds that differs in configs.

A class that is not listed gets the plainest folder there is, named after itself.
"""

from __future__ import annotations

import re
from typing import Any

from tests.zoo.any.build import Folder
from tests.zoo.any.classes import video_classes
from tests.zoo.any.others import WAN_22_VAE

SEES = {"in_channels": 36, "image_dim": 4, "added_kv_proj_dim": 24}
CLIP = {"image_encoder": {}, "image_processor": {}}
UNIPC = ("UniPCMultistepScheduler", {"flow_shift": 6.0})
KEYFRAMES: dict[str, Any] = {"transformer": {"use_keyframes_abs_pos_embedding": True}}
SOUNDING: dict[str, Any] = {
    "tokenizer": ("KandinskyWords", {"of": "Kandinsky6TI2VAPipeline"}),
    "audio_vae": {},
    "vocoder": {},
}
PYRAMID = {"stages": 3, "stage_range": [0, 1 / 3, 2 / 3, 1], "gamma": 0.3}
"""With a noise whose covariance can be factored: a third, as by default, is at the very edge."""
TWO_PICTURES: dict[str, Any] = {
    "transformer": SEES | {"pos_embed_seq_len": 10},
    "image_encoder": ("CLIPVisionModel", {"image": 64}),
    "image_processor": ("CLIPImageProcessor", {"image": 64}),
}
EXPERTS: dict[str, Any] = {"transformer": {}, "transformer_2": {}}
SEEING_EXPERTS: dict[str, Any] = {name: {"in_channels": 36} for name in EXPERTS}
MOTION: dict[str, Any] = {"motion_adapter": {}}
LTX2: dict[str, Any] = {"vocoder": ("LTX2Vocoder", {}), "tokenizer": ("LeftWords", {})}
SDXL: dict[str, Any] = {
    "unet": {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 56,
        "cross_attention_dim": 16,
        "use_linear_projection": True,
    }
}
HUNYUAN_15: dict[str, Any] = {
    "text_encoder_2": ("ByT5Encoder", {}),
    "tokenizer_2": ("ByT5Tokenizer", {}),
    "tokenizer": ("Hunyuan15Words", {}),
}


def wan(
    name: str,
    of: str,
    parts: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
    shift: float = 6.0,
) -> Folder:
    """With the sampler that Wan's repositories have, which is not the one of the annotation."""
    own = {"transformer": {}, "scheduler": ("UniPCMultistepScheduler", {"flow_shift": shift})}
    return Folder(name, of, own | (parts or {}), config or {})


FOLDERS: tuple[Folder, ...] = (
    Folder(
        "allegro",
        "AllegroPipeline",
        {
            "scheduler": (
                "EulerAncestralDiscreteScheduler",
                {"beta_schedule": "scaled_linear", "beta_start": 0.0001, "beta_end": 0.004},
            )
        },
    ),
    Folder("animatediff", "AnimateDiffPipeline", MOTION),
    Folder("animatediff-controlnet", "AnimateDiffControlNetPipeline", MOTION),
    Folder("animatediff-pag", "AnimateDiffPAGPipeline", MOTION),
    Folder("animatediff-sdxl", "AnimateDiffSDXLPipeline", MOTION | SDXL),
    Folder("animatediff-sparsectrl", "AnimateDiffSparseControlNetPipeline", MOTION),
    Folder("animatediff-v2v", "AnimateDiffVideoToVideoPipeline", MOTION),
    Folder("animatediff-v2v-controlnet", "AnimateDiffVideoToVideoControlNetPipeline", MOTION),
    Folder("anyflow", "AnyFlowPipeline"),
    Folder("anyflow-far", "AnyFlowFARPipeline"),
    Folder("chronoedit", "ChronoEditPipeline"),
    Folder("cogvideox", "CogVideoXPipeline"),
    Folder(
        "cogvideox-fun",
        "CogVideoXFunControlPipeline",
        {"transformer": {"in_channels": 8}, "scheduler": ("CogVideoXDDIMScheduler", {})},
    ),
    Folder("cogvideox-i2v", "CogVideoXImageToVideoPipeline", {"transformer": {"in_channels": 8}}),
    Folder("cogvideox-v2v", "CogVideoXVideoToVideoPipeline"),
    Folder("consisid", "ConsisIDPipeline"),
    Folder(
        "cosmos-t2w",
        "CosmosTextToWorldPipeline",
        {"transformer": {"in_channels": 4, "out_channels": 4}},
    ),
    Folder(
        "cosmos-v2w",
        "CosmosVideoToWorldPipeline",
        {"transformer": {"in_channels": 5, "out_channels": 4}},
    ),
    Folder("cosmos2-t2i", "Cosmos2TextToImagePipeline", {"transformer": {"in_channels": 16}}),
    Folder("cosmos2-v2w", "Cosmos2VideoToWorldPipeline"),
    Folder("cosmos25-predict", "Cosmos2_5_PredictBasePipeline"),
    Folder(
        "cosmos25-transfer",
        "Cosmos2_5_TransferPipeline",
        {
            "transformer": {
                "controlnet_block_every_n": 1,
                "img_context_dim_in": 32,
                "img_context_num_tokens": 4,
                "img_context_dim_out": 32,
            }
        },
    ),
    Folder(
        "cosmos3",
        "Cosmos3OmniPipeline",
        {"text_tokenizer": ("Qwen2Tokenizer", {})},
        {"enable_safety_checker": False},
    ),
    Folder("easyanimate", "EasyAnimatePipeline"),
    Folder(
        "easyanimate-control", "EasyAnimateControlPipeline", {"transformer": {"in_channels": 8}}
    ),
    Folder(
        "easyanimate-inpaint", "EasyAnimateInpaintPipeline", {"transformer": {"in_channels": 9}}
    ),
    Folder("helios", "HeliosPipeline"),
    Folder(
        "helios-distilled",
        "HeliosPyramidPipeline",
        {"scheduler": ("HeliosDMDScheduler", {"gamma": 0.3})},
        {"is_distilled": True},
    ),
    Folder("helios-pyramid", "HeliosPyramidPipeline", {"scheduler": ("HeliosScheduler", PYRAMID)}),
    Folder("hunyuan", "HunyuanVideoPipeline"),
    Folder("hunyuan-framepack", "HunyuanVideoFramepackPipeline"),
    Folder(
        "hunyuan-i2v",
        "HunyuanVideoImageToVideoPipeline",
        {
            "tokenizer": ("LlamaTokenizer", {"kind": "pipeline_hunyuan_video_image2video"}),
            "transformer": {"image_condition_type": "token_replace"},
            "image_processor": ("CLIPImageProcessor", {"image": 48}),
        },
    ),
    Folder(
        "hunyuan-skyreels",
        "HunyuanSkyreelsImageToVideoPipeline",
        {"transformer": {"in_channels": 8}},
    ),
    Folder("hunyuan15", "HunyuanVideo15Pipeline", HUNYUAN_15),
    Folder(
        "hunyuan15-i2v",
        "HunyuanVideo15ImageToVideoPipeline",
        HUNYUAN_15 | {"transformer": {"task_type": "i2v"}},
    ),
    Folder(
        "i2vgenxl",
        "I2VGenXLPipeline",
        {"image_encoder": ("CLIPVisionModelWithProjection", {"width": 8})},
    ),
    Folder(
        "kandinsky5",
        "Kandinsky5T2VPipeline",
        {"tokenizer": ("KandinskyWords", {"of": "Kandinsky5T2VPipeline"})},
    ),
    Folder(
        "kandinsky5-i2v",
        "Kandinsky5I2VPipeline",
        {"tokenizer": ("KandinskyWords", {"of": "Kandinsky5I2VPipeline"})},
    ),
    Folder(
        "kandinsky6",
        "Kandinsky6TI2VAPipeline",
        SOUNDING,
    ),
    Folder("kandinsky6-tokenizer", "Kandinsky6TI2VAPipeline", SOUNDING, names_processor=False),
    Folder("kandinsky6-sr", "Kandinsky6SRPipeline"),
    Folder("latte", "LattePipeline"),
    Folder("ltx", "LTXPipeline"),
    Folder("ltx-condition", "LTXConditionPipeline", {"vae": {"timestep_conditioning": True}}),
    Folder("ltx-i2v", "LTXImageToVideoPipeline"),
    Folder("ltx-long", "LTXI2VLongMultiPromptPipeline"),
    Folder("ltx-upsample", "LTXLatentUpsamplePipeline"),
    Folder("ltx2", "LTX2Pipeline", LTX2),
    Folder("ltx2-condition", "LTX2ConditionPipeline", LTX2),
    Folder("ltx2-dfr", "LTX2DFRPipeline", LTX2 | KEYFRAMES),
    Folder(
        "ltx2-dfr-temporal",
        "LTX2DFRTemporalRefinePipeline",
        LTX2
        | KEYFRAMES
        | {"temporal_latent_upsampler": {"spatial_upsample": False, "temporal_upsample": True}},
    ),
    Folder("ltx2-diffusion-decode", "LTX2VideoDiffusionDecodePipeline"),
    Folder("ltx2-hdr", "LTX2HDRPipeline", LTX2),
    Folder("ltx2-i2v", "LTX2ImageToVideoPipeline", LTX2),
    Folder("ltx2-ic", "LTX2InContextPipeline", LTX2),
    Folder("ltx2-upsample", "LTX2LatentUpsamplePipeline"),
    Folder("lucy", "LucyEditPipeline", {"transformer": {"in_channels": 32}, "scheduler": UNIPC}),
    Folder("mochi", "MochiPipeline", {"scheduler": {"invert_sigmas": True, "shift": 1.0}}),
    Folder("modelscope", "TextToVideoSDPipeline"),
    Folder("modelscope-v2v", "VideoToVideoSDPipeline"),
    Folder("motif", "MotifVideoPipeline"),
    Folder("motif-i2v", "MotifVideoImage2VideoPipeline"),
    Folder("pia", "PIAPipeline", {"motion_adapter": {"conv_in_channels": 9}}),
    Folder("sana", "SanaVideoPipeline", {"vae": ("AutoencoderKLWan", {})}),
    Folder("sana-i2v", "SanaImageToVideoPipeline", {"vae": ("AutoencoderKLWan", {})}),
    Folder("sana-wm", "SanaWMPipeline"),
    Folder("skyreels", "SkyReelsV2Pipeline"),
    Folder("skyreels-df", "SkyReelsV2DiffusionForcingPipeline"),
    Folder("skyreels-df-i2v", "SkyReelsV2DiffusionForcingImageToVideoPipeline"),
    Folder("skyreels-df-v2v", "SkyReelsV2DiffusionForcingVideoToVideoPipeline"),
    Folder("skyreels-i2v", "SkyReelsV2ImageToVideoPipeline", {"transformer": SEES}),
    Folder(
        "svd",
        "StableVideoDiffusionPipeline",
        {
            "unet": {"in_channels": 8, "out_channels": 4},
            "image_encoder": ("CLIPVisionModelWithProjection", {"width": 32, "image": 224}),
            "feature_extractor": ("CLIPImageProcessor", {"image": 224}),
            "scheduler": {
                "beta_schedule": "scaled_linear",
                "prediction_type": "v_prediction",
                "sigma_min": 0.002,
                "sigma_max": 700.0,
                "timestep_spacing": "leading",
                "timestep_type": "continuous",
                "use_karras_sigmas": True,
                "steps_offset": 1,
            },
        },
    ),
    Folder(
        "t2v-zero",
        "TextToVideoZeroPipeline",
        {"safety_checker": None, "feature_extractor": None},
        {"requires_safety_checker": False},
    ),
    Folder("t2v-zero-sdxl", "TextToVideoZeroSDXLPipeline", SDXL),
    wan("wan", "WanPipeline"),
    wan("wan-animate", "WanAnimatePipeline"),
    wan("wan-flf", "WanImageToVideoPipeline", TWO_PICTURES),
    wan("wan-i2v", "WanImageToVideoPipeline", {"transformer": SEES} | CLIP),
    wan("wan-v2v", "WanVideoToVideoPipeline"),
    wan("wan-vace", "WanVACEPipeline"),
    wan("wan22", "WanPipeline", EXPERTS, {"boundary_ratio": 0.875}),
    wan("wan22-5b", "WanPipeline", {"vae": WAN_22_VAE}, {"expand_timesteps": True}, 7.0),
    wan(
        "wan22-5b-i2v",
        "WanImageToVideoPipeline",
        {"vae": WAN_22_VAE},
        {"expand_timesteps": True},
        7.0,
    ),
    wan("wan22-i2v", "WanImageToVideoPipeline", SEEING_EXPERTS, {"boundary_ratio": 0.9}),
)


def folders() -> dict[str, Folder]:
    """Those above, and the plainest of every other class that diffusers exports."""
    found = {each.name: each for each in FOLDERS}
    listed = {each.of for each in FOLDERS}
    for name in video_classes():
        if name not in listed:
            plain = re.sub(r"(?<!^)(?=[A-Z])", "-", name.removesuffix("Pipeline")).lower()
            found[plain] = Folder(plain, name)
    return found
