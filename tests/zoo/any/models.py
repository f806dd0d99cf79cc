"""Settings that make each diffusers model tiny, and the encoders that go with them.

A model is made from its class alone; what differs in one pipeline is in `folders.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tests.zoo import hunyuan, hunyuan15, kandinsky5, ltx2, parts, sana
from tests.zoo.words import word_tokenizer

WAN_LIKE: dict[str, Any] = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": 32,
    "freq_dim": 32,
    "ffn_dim": 32,
    "num_layers": 1,
    "cross_attn_norm": True,
    "rope_max_seq_len": 128,
}
QK = {"qk_norm": "rms_norm_across_heads"}
HUNYUAN: dict[str, Any] = {
    "in_channels": 4,
    "out_channels": 4,
    "num_attention_heads": 2,
    "attention_head_dim": 10,
    "num_layers": 1,
    "num_single_layers": 1,
    "num_refiner_layers": 1,
    "guidance_embeds": True,
    "text_embed_dim": 16,
    "pooled_projection_dim": 8,
    "rope_axes_dim": (2, 4, 4),
}
COG: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "in_channels": 4,
    "out_channels": 4,
    "time_embed_dim": 2,
    "text_embed_dim": 32,
    "num_layers": 1,
    "sample_width": 8,
    "sample_height": 8,
    "sample_frames": 9,
    "use_rotary_positional_embeddings": True,
}
UNET: dict[str, Any] = {
    "block_out_channels": (8, 8),
    "layers_per_block": 1,
    "sample_size": 8,
    "cross_attention_dim": 8,
    "norm_num_groups": 2,
}
UNET_2D = UNET | {
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": 4,
}
UNET_3D = UNET | {
    "down_block_types": ("CrossAttnDownBlock3D", "DownBlock3D"),
    "up_block_types": ("UpBlock3D", "CrossAttnUpBlock3D"),
    "attention_head_dim": 4,
}
LTX2_VAE: dict[str, Any] = {
    "latent_channels": 4,
    "block_out_channels": (8, 8),
    "down_block_types": ("LTX2VideoDownBlock3D", "LTX2VideoDownBlock3D"),
    "decoder_block_out_channels": (8, 8),
    "layers_per_block": (1, 1, 1),
    "decoder_layers_per_block": (1, 1, 1),
    "spatio_temporal_scaling": (True, True),
    "decoder_spatio_temporal_scaling": (True, True),
    "decoder_inject_noise": (False, False, False),
    "downsample_type": ("spatiotemporal", "spatiotemporal"),
    "upsample_type": ("spatiotemporal", "spatiotemporal"),
    "upsample_residual": (False, False),
    "upsample_factor": (1, 1),
    "patch_size": 4,
    "decoder_causal": False,
    "spatial_compression_ratio": 16,
    "temporal_compression_ratio": 4,
}
CONNECTOR = {
    f"{kind}_connector_{name}": value
    for kind in ("video", "audio")
    for name, value in (
        ("num_attention_heads", 4),
        ("attention_head_dim", 8),
        ("num_layers", 1),
        ("num_learnable_registers", None),
    )
}
COSMOS: dict[str, Any] = {
    "in_channels": 17,
    "out_channels": 16,
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "num_layers": 1,
    "mlp_ratio": 2,
    "text_embed_dim": 32,
    "adaln_lora_dim": 4,
    "max_size": (4, 32, 32),
    "patch_size": (1, 2, 2),
    "rope_scale": (2.0, 1.0, 1.0),
}

TINY: dict[str, dict[str, Any]] = {
    # denoisers
    "AllegroTransformer3DModel": {
        "num_attention_heads": 2,
        "attention_head_dim": 12,
        "num_layers": 1,
        "cross_attention_dim": 24,
        "sample_width": 8,
        "sample_height": 8,
        "sample_frames": 6,
        "caption_channels": 32,
    },
    "AnyFlowTransformer3DModel": WAN_LIKE | {"gate_value": 0.25, "deltatime_type": "r"},
    "AnyFlowFARTransformer3DModel": WAN_LIKE
    | {
        "compressed_patch_size": (1, 4, 4),
        "full_chunk_limit": 3,
        "gate_value": 0.25,
        "deltatime_type": "r",
        "chunk_partition": (1, 1, 1),
    },
    "ChronoEditTransformer3DModel": WAN_LIKE | QK | {"in_channels": 36, "image_dim": 4},
    "CogVideoXTransformer3DModel": COG,
    "ConsisIDTransformer3DModel": COG
    | {
        "in_channels": 8,
        "cross_attn_interval": 1,
        "is_train_face": True,
        "cross_attn_dim_head": 1,
        "cross_attn_num_heads": 1,
        "LFE_id_dim": 2,
        "LFE_vit_dim": 2,
        "LFE_depth": 5,
        "LFE_dim_head": 8,
        "LFE_num_heads": 2,
        "LFE_num_id_token": 1,
        "LFE_num_querie": 1,
        "LFE_output_dim": 21,
        "LFE_ff_mult": 1,
        "LFE_num_scale": 1,
    },
    "CosmosTransformer3DModel": COSMOS,
    "CosmosControlNetModel": {
        "n_controlnet_blocks": 1,
        "in_channels": 18,
        "latent_channels": 18,
        "model_channels": 32,
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "mlp_ratio": 2,
        "text_embed_dim": 32,
        "adaln_lora_dim": 4,
        "patch_size": (1, 2, 2),
        "max_size": (4, 32, 32),
        "rope_scale": (2.0, 1.0, 1.0),
        "img_context_dim_in": 32,
        "img_context_dim_out": 32,
    },
    "Cosmos3OmniTransformer": {
        "head_dim": 6,
        "hidden_act": "relu2",
        "hidden_size": 6,
        "intermediate_size": 12,
        "latent_channel": 16,
        "latent_patch_size": 1,
        "num_attention_heads": 1,
        "num_hidden_layers": 1,
        "num_key_value_heads": 1,
        "patch_latent_dim": 16,
        "qk_norm_for_text": False,
        "rms_norm_eps": 1e-5,
        "rope_axes_dim": [1, 1, 1],
        "vocab_size": 400,
    },
    "EasyAnimateTransformer3DModel": {
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "in_channels": 4,
        "out_channels": 4,
        "time_embed_dim": 2,
        "text_embed_dim": 16,
        "num_layers": 1,
        "sample_width": 16,
        "sample_height": 16,
        "patch_size": 2,
    },
    "HeliosTransformer3DModel": {
        name: value for name, value in WAN_LIKE.items() if name != "rope_max_seq_len"
    }
    | QK
    | {
        "rope_dim": (4, 4, 4),
        "has_multi_term_memory_patch": True,
        "guidance_cross_attn": True,
        "zero_history_timestep": True,
        "is_amplify_history": False,
    },
    "HunyuanVideoTransformer3DModel": HUNYUAN,
    "HunyuanVideoFramepackTransformer3DModel": HUNYUAN
    | {"has_image_proj": True, "image_proj_dim": 12, "has_clean_x_embedder": True},
    "HunyuanVideo15Transformer3DModel": {
        "in_channels": 9,
        "out_channels": 4,
        "num_attention_heads": 2,
        "attention_head_dim": 8,
        "num_layers": 1,
        "num_refiner_layers": 1,
        "mlp_ratio": 2.0,
        "text_embed_dim": 16,
        "text_embed_2_dim": 32,
        "image_embed_dim": 12,
        "rope_axes_dim": (2, 2, 4),
        "target_size": 16,
        "task_type": "t2v",
    },
    "I2VGenXLUNet": UNET_3D,
    "Kandinsky5Transformer3DModel": {
        "in_visual_dim": 4,
        "in_text_dim": 16,
        "in_text_dim2": 8,
        "time_dim": 16,
        "out_visual_dim": 4,
        "model_dim": 16,
        "ff_dim": 32,
        "num_text_blocks": 1,
        "num_visual_blocks": 1,
        "axes_dims": (2, 2, 4),
        "visual_cond": True,
    },
    "Kandinsky6Transformer3DModel": {
        "in_visual_dim": 4,
        "out_visual_dim": 4,
        "in_text_dim": 16,
        "in_text_dim2": 8,
        "time_dim": 16,
        "model_dim": 16,
        "ff_dim": 32,
        "num_text_blocks": 1,
        "num_visual_blocks": 1,
        "axes_dims": (2, 2, 4),
        "in_audio_dim": 4,
        "out_audio_dim": 4,
    },
    "Kandinsky6SRTransformer3DModel": {
        "in_visual_dim": 4,
        "out_visual_dim": 4,
        "time_dim": 16,
        "model_dim": 16,
        "ff_dim": 32,
        "num_visual_blocks": 1,
        "axes_dims": (4, 6, 6),
        "nabla_window": (3, 3, 3),
        "tile_sizes": ((16, 16), (16, 32), (32, 16)),
    },
    "LTXVideoTransformer3DModel": {
        "in_channels": 16,
        "out_channels": 16,
        "num_attention_heads": 4,
        "attention_head_dim": 8,
        "cross_attention_dim": 32,
        "caption_channels": 32,
        "num_layers": 1,
    },
    "LTX2VideoTransformer3DModel": {
        "in_channels": 4,
        "out_channels": 4,
        "num_attention_heads": 2,
        "attention_head_dim": 8,
        "cross_attention_dim": 16,
        "audio_in_channels": 4,
        "audio_out_channels": 4,
        "audio_num_attention_heads": 2,
        "audio_attention_head_dim": 4,
        "audio_cross_attention_dim": 8,
        "num_layers": 1,
        "caption_channels": ltx2.WIDTH,
        "rope_double_precision": False,
        "rope_type": "split",
    },
    "LatteTransformer3DModel": {
        "sample_size": 8,
        "num_layers": 1,
        "patch_size": 2,
        "attention_head_dim": 8,
        "num_attention_heads": 3,
        "caption_channels": 32,
        "in_channels": 4,
        "cross_attention_dim": 24,
        "out_channels": 8,
        "activation_fn": "gelu-approximate",
        "num_embeds_ada_norm": 1000,
        "norm_type": "ada_norm_single",
        "norm_elementwise_affine": False,
        "video_length": 16,
    },
    "MochiTransformer3DModel": {
        "num_attention_heads": 2,
        "attention_head_dim": 8,
        "num_layers": 2,
        "pooled_projection_dim": 16,
        "in_channels": 12,
        "text_embed_dim": 32,
        "time_embed_dim": 4,
    },
    "MotifVideoTransformer3DModel": {
        "in_channels": 33,
        "out_channels": 16,
        "num_attention_heads": 2,
        "attention_head_dim": 12,
        "num_layers": 1,
        "num_single_layers": 1,
        "patch_size": 1,
        "patch_size_t": 1,
        "text_embed_dim": 32,
        "image_embed_dim": 4,
        "rope_axes_dim": (4, 4, 4),
    },
    "SanaVideoTransformer3DModel": {
        "in_channels": 16,
        "out_channels": 16,
        "num_attention_heads": 2,
        "attention_head_dim": 12,
        "num_layers": 1,
        "num_cross_attention_heads": 2,
        "cross_attention_head_dim": 12,
        "cross_attention_dim": 24,
        "caption_channels": 8,
        "sample_size": 30,
        "rope_max_seq_len": 64,
    },
    "SanaWMTransformer3DModel": {
        "in_channels": 4,
        "num_layers": 1,
        "hidden_size": 32,
        "num_attention_heads": 2,
        "linear_head_dim": 16,
        "caption_channels": 8,
        "mlp_ratio": 1.0,
        "chunk_plucker_post_attn_blocks": 1,
        "image_size": 64,
    },
    "SkyReelsV2Transformer3DModel": WAN_LIKE | QK,
    "UNet2DConditionModel": UNET_2D,
    "UNet3DConditionModel": UNET_3D,
    "UNetSpatioTemporalConditionModel": {
        "block_out_channels": (32, 32),
        "down_block_types": ("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        "up_block_types": ("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        "layers_per_block": 1,
        "sample_size": 8,
        "cross_attention_dim": 32,
        "num_attention_heads": 2,
        "projection_class_embeddings_input_dim": 96,
        "addition_time_embed_dim": 32,
    },
    "WanTransformer3DModel": WAN_LIKE | QK,
    "WanVACETransformer3DModel": WAN_LIKE | QK | {"vace_layers": [0]},
    "WanAnimateTransformer3DModel": WAN_LIKE
    | QK
    | {
        "in_channels": 36,
        "latent_channels": 16,
        "image_dim": 4,
        "motion_encoder_channel_sizes": {"4": 16, "8": 16, "16": 16},
        "motion_encoder_size": 16,
        "motion_style_dim": 8,
        "motion_dim": 4,
        "motion_encoder_dim": 16,
        "face_encoder_hidden_dim": 16,
        "face_encoder_num_heads": 2,
        "inject_face_latents_blocks": 2,
    },
    # what is added to them
    "ControlNetModel": {name: value for name, value in UNET.items() if name != "sample_size"}
    | {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "conditioning_embedding_out_channels": (8, 8),
        "attention_head_dim": 4,
    },
    "SparseControlNetModel": {
        name: value for name, value in UNET.items() if name != "sample_size"
    }
    | {
        "down_block_types": ("CrossAttnDownBlockMotion", "DownBlockMotion"),
        "conditioning_channels": 3,
        "conditioning_embedding_out_channels": (8, 8),
        "attention_head_dim": 4,
        "use_simplified_condition_embedding": False,
    },
    "MotionAdapter": {
        "block_out_channels": (8, 8),
        "motion_layers_per_block": 1,
        "motion_norm_num_groups": 2,
        "motion_num_attention_heads": 4,
    },
    "LTXLatentUpsamplerModel": {
        "in_channels": 16,
        "mid_channels": 32,
        "num_blocks_per_stage": 1,
    },
    "LTX2LatentUpsamplerModel": {
        "in_channels": 4,
        "mid_channels": 32,
        "num_blocks_per_stage": 1,
    },
    "LTX2TextConnectors": CONNECTOR
    | {
        "caption_channels": ltx2.WIDTH,
        "text_proj_in_factor": ltx2.LAYERS + 1,
        "connector_rope_base_seq_len": 32,
        "rope_double_precision": False,
        "rope_type": "split",
    },
    "LTX2Vocoder": {
        "in_channels": 16,
        "hidden_channels": 16,
        "upsample_kernel_sizes": [20, 8, 8],
        "upsample_factors": [10, 4, 6],
        "resnet_kernel_sizes": [3],
        "resnet_dilations": [[1, 3]],
    },
    "MMAudioVocoder": {
        "num_mels": 8,
        "upsample_initial_channel": 32,
        "upsample_rates": (8, 4),
        "upsample_kernel_sizes": (16, 8),
        "resblock_kernel_sizes": (3,),
        "resblock_dilation_sizes": ((1, 3),),
    },
    # autoencoders
    "AutoencoderKL": {
        "block_out_channels": (8, 8, 8, 8),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "norm_num_groups": 2,
    },
    "AutoencoderKLAllegro": {
        "block_out_channels": (4, 4, 4, 4),
        "latent_channels": 4,
        "layers_per_block": 1,
        "norm_num_groups": 2,
        "sample_size": 64,
    },
    "AutoencoderKLCogVideoX": {
        "block_out_channels": (8, 8, 8, 8),
        "latent_channels": 4,
        "layers_per_block": 1,
        "norm_num_groups": 2,
        "scaling_factor": 0.7,
    },
    "AutoencoderKLCosmos": {
        "latent_channels": 4,
        "encoder_block_out_channels": (8, 8, 8, 8),
        "decode_block_out_channels": (8, 8, 8, 8),
        "attention_resolutions": (8,),
        "resolution": 64,
        "num_layers": 1,
        "spatial_compression_ratio": 4,
        "temporal_compression_ratio": 4,
    },
    "AutoencoderKLHunyuanVideo": {
        "block_out_channels": (8, 8, 8, 8),
        "latent_channels": 4,
        "layers_per_block": 1,
        "norm_num_groups": 4,
    },
    "AutoencoderKLHunyuanVideo15": {
        "latent_channels": 4,
        "block_out_channels": (16, 16, 16, 16, 16),
        "layers_per_block": 1,
        "spatial_compression_ratio": 16,
        "temporal_compression_ratio": 4,
        "downsample_match_channel": False,
        "upsample_match_channel": False,
    },
    "AutoencoderKLLTXVideo": {
        "latent_channels": 16,
        "block_out_channels": (16, 32),
        "down_block_types": ("LTXVideo095DownBlock3D",),
        "downsample_type": ("spatiotemporal",),
        "spatio_temporal_scaling": (True,),
        "layers_per_block": (1, 1),
        "decoder_block_out_channels": (32,),
        "decoder_spatio_temporal_scaling": (True,),
        "decoder_layers_per_block": (1, 1),
        "decoder_inject_noise": (False, False),
        "upsample_residual": (True,),
        "upsample_factor": (2,),
        "patch_size": 8,
        "spatial_compression_ratio": 16,
        "temporal_compression_ratio": 2,
    },
    "AutoencoderKLLTX2Video": LTX2_VAE,
    "AutoencoderKLLTX2Audio": {
        "base_channels": 4,
        "ch_mult": (1,),
        "num_res_blocks": 1,
        "resolution": 32,
        "latent_channels": 2,
        "mel_bins": 8,
    },
    "AutoencoderKLMagvit": {
        "down_block_types": ("SpatialDownBlock3D", *["SpatialTemporalDownBlock3D"] * 3),
        "up_block_types": ("SpatialUpBlock3D", *["SpatialTemporalUpBlock3D"] * 3),
        "block_out_channels": (8, 8, 8, 8),
        "latent_channels": 4,
        "layers_per_block": 1,
        "norm_num_groups": 2,
        "spatial_group_norm": False,
    },
    "AutoencoderKLMochi": {
        "latent_channels": 12,
        "encoder_block_out_channels": (32, 32, 32, 32),
        "decoder_block_out_channels": (32, 32, 32, 32),
        "layers_per_block": (1, 1, 1, 1, 1),
    },
    "AutoencoderKLTemporalDecoder": {
        "block_out_channels": (32, 32, 32, 32),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "latent_channels": 4,
    },
    "AutoencoderKLWan": {
        "base_dim": 3,
        "z_dim": 16,
        "dim_mult": [1] * 4,
        "num_res_blocks": 1,
        "temperal_downsample": [False, True, True],
    },
    "Kandinsky6SRVAE": {
        "latent_channels": 4,
        "encoder_block_out_channels": (32, 32),
        "decoder_block_out_channels": (32, 32),
        "layers_per_block": 1,
    },
    "LTX2VideoDiffusionDecoderModel": {
        "latent_channels": 4,
        "patch_size": 2,
        "decoder_head_dim": 16,
        "decoder_stage_channels": (64, 32, 16, 16, 16),
        "decoder_stage_depths": (1, 1, 1, 1, 2),
        "decoder_stage_kernels": ((3, 3, 3),) * 4,
        "decoder_upsample_channel_reductions": (2, 2, 1, 1),
        "decoder_stage5_kernel": (3, 3, 3),
        "decoder_t_emb_dim": 32,
        "spatial_compression_ratio": 16,
    },
    "MMAudioVAE": {
        "mel_bins": 8,
        "latent_channels": 4,
        "hidden_channels": 32,
        "layers_per_block": 1,
        "n_fft": 64,
        "hop_length": 32,
    },
    # samplers
    "DDIMScheduler": {"beta_schedule": "linear", "clip_sample": False},
    "CogVideoXDDIMScheduler": {
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": True,
        "timestep_spacing": "trailing",
        "clip_sample": False,
    },
    "FlowMatchEulerDiscreteScheduler": {"shift": 7.0},
    "UniPCMultistepScheduler": {
        "prediction_type": "flow_prediction",
        "use_flow_sigmas": True,
        "flow_shift": 6.0,
    },
    "DPMSolverMultistepScheduler": {
        "prediction_type": "flow_prediction",
        "use_flow_sigmas": True,
        "flow_shift": 6.0,
    },
    "FlowMapEulerDiscreteScheduler": {"shift": 5.0},
    "HeliosScheduler": {"stage_range": [0, 1], "stages": 1, "use_dynamic_shifting": True},
}


def qwen2_vl() -> Any:
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    text = {
        "vocab_size": 400,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "rope_parameters": {"mrope_section": [1, 1, 2], "rope_type": "default", "rope_theta": 1e6},
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_id": 2,
    }
    vision = {"depth": 1, "embed_dim": 16, "hidden_size": 16, "num_heads": 2, "mlp_ratio": 1}
    config = Qwen2VLConfig(text_config=text, vision_config=vision)
    return Qwen2VLForConditionalGeneration(config).eval()


def t5gemma() -> Any:
    from transformers import SiglipVisionConfig, T5Gemma2Config, T5Gemma2EncoderConfig
    from transformers.models.t5gemma2.modeling_t5gemma2 import T5Gemma2Encoder

    del T5Gemma2Config
    text = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "vocab_size": 1104,
        "max_position_embeddings": 128,
        "head_dim": 16,
        "num_key_value_heads": 2,
        "dropout_rate": 0.0,
    }
    vision = SiglipVisionConfig(
        hidden_size=4,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=8,
    )
    config = T5Gemma2EncoderConfig(text_config=text, vision_config=vision.to_dict())
    return T5Gemma2Encoder(config).eval()


def llama() -> Any:
    from transformers import LlamaModel

    return LlamaModel(hunyuan.llama_config()).eval()


def hunyuan_words(kind: str = "pipeline_hunyuan_video") -> Any:
    """One that knows the words of the pipeline's template, which it cuts off by their number."""
    from importlib import import_module

    module = import_module(f"diffusers.pipelines.hunyuan_video.{kind}")
    return word_tokenizer(module.DEFAULT_PROMPT_TEMPLATE["template"], begin=True)


def chat_words(text: str = "") -> Any:
    tokenizer = word_tokenizer(text)
    tokenizer.chat_template = hunyuan15.CHAT
    return tokenizer


def left_words() -> Any:
    tokenizer = word_tokenizer("a dog in the snow", length=32)
    tokenizer.padding_side = tokenizer.init_kwargs["padding_side"] = "left"
    return tokenizer


def small_siglip(number: int, side: int = 32) -> Any:
    return hunyuan15.siglip()[number]


def kandinsky_words(of: str) -> Any:
    """The words of the template of that class, which it cuts off by their number."""
    import inspect

    import diffusers

    source = inspect.getsource(inspect.getmodule(getattr(diffusers, of)))  # type: ignore[arg-type]
    return chat_words(source[source.find("prompt_template") :][:4000])


def hunyuan15_words() -> Any:
    """Those of the system message, which the pipeline cuts off by their number."""
    import inspect

    from diffusers import HunyuanVideo15Pipeline as of

    source = inspect.getsource(of.__init__)
    return chat_words(source[source.find("system_message") :])


def byt5() -> Any:
    return hunyuan15.byt5()[0]


ENCODERS: dict[str, Callable[..., Any]] = {
    "ByT5Encoder": byt5,
    "ByT5Tokenizer": lambda: hunyuan15.byt5()[1],
    "Hunyuan15Words": hunyuan15_words,
    "KandinskyWords": kandinsky_words,
    "LeftWords": left_words,
    "T5EncoderModel": parts.t5_encoder,
    "UMT5EncoderModel": parts.umt5_encoder,
    "CLIPTextModel": parts.clip_text,
    "CLIPTextModelWithProjection": partial(parts.clip_text, cls="CLIPTextModelWithProjection"),
    "CLIPVisionModel": partial(parts.clip_vision, width=4, image=32),
    "CLIPVisionModelWithProjection": partial(
        parts.clip_vision, width=4, image=32, cls="CLIPVisionModelWithProjection"
    ),
    "LlamaModel": llama,
    "LlavaForConditionalGeneration": hunyuan.llava,
    "Qwen2_5_VLTextModel": hunyuan15.qwen_text,
    "Qwen2_5_VLForConditionalGeneration": kandinsky5.qwen,
    "Qwen2VLForConditionalGeneration": qwen2_vl,
    "Gemma2PreTrainedModel": sana.gemma,
    "Gemma3ForConditionalGeneration": ltx2.text_encoder,
    "T5Gemma2Encoder": t5gemma,
    "SiglipVisionModel": partial(small_siglip, 0),
    "SiglipImageProcessor": partial(small_siglip, 1),
    "CLIPImageProcessor": partial(parts.clip_image_processor, image=32),
    "CLIPProcessor": partial(parts.clip_image_processor, image=32),
    "T5Tokenizer": parts.t5_tokenizer,
    "T5TokenizerFast": parts.t5_tokenizer,
    "AutoTokenizer": parts.t5_tokenizer,
    "PreTrainedTokenizerBase": parts.t5_tokenizer,
    "CLIPTokenizer": parts.clip_tokenizer,
    "GemmaTokenizer": partial(word_tokenizer, "", length=1000),
    "LlamaTokenizer": hunyuan_words,
    "Qwen2Tokenizer": chat_words,
    "Qwen2VLProcessor": chat_words,
    "Qwen2_5_VLProcessor": chat_words,
}
STANDS_FOR = {"KarrasDiffusionSchedulers": "DDIMScheduler", "SchedulerMixin": "FlowMatchEulerDiscreteScheduler", "BaseGuidance": "AdaptiveProjectedGuidance"}
"""Annotations that name no class one could make, and what real repositories have there."""


def make(name: str, **changes: Any) -> Any:
    """A tiny one of that class of diffusers or transformers."""
    name = STANDS_FOR.get(name, name)
    if name in ENCODERS:
        return ENCODERS[name](**changes)
    of = find(name)
    made = of(**TINY.get(name, {}) | changes)
    if name == "MotionAdapter":
        _move(made)
    elif name.startswith("AutoencoderKLLTX"):
        if len(made.latents_mean):
            parts.spread_latent_statistics(made)
    return made.eval() if hasattr(made, "eval") else made


def find(name: str) -> Any:
    """Also of those that only one pipeline module has."""
    import diffusers
    from diffusers import guiders
    from diffusers.pipelines import ltx, ltx2

    for holder in (diffusers, ltx2, ltx, guiders):
        if (found := getattr(holder, name, None)) is not None:
            return found
    raise KeyError(f"nothing makes a {name} here: add it to tests/zoo/any/models.py")


def is_known(name: str) -> bool:
    name = STANDS_FOR.get(name, name)
    return name in ENCODERS or name in TINY or "Scheduler" in name or "Guidance" in name


def _move(adapter: Any) -> None:
    """Its output layers begin at zero: no motion at all."""
    import torch

    generator = torch.Generator().manual_seed(1)
    for parameter in adapter.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)


WAN_22_VAE = {
    "decoder_base_dim": 4,
    "is_residual": True,
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
    "scale_factor_spatial": 16,
}
