"""Settings that make everything else tiny: autoencoders, what is added to a denoiser, samplers."""

from __future__ import annotations

from typing import Any

from tests.zoo import ltx2
from tests.zoo.any.denoisers import UNET

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
OTHERS: dict[str, dict[str, Any]] = {
    # what is added to them
    "ControlNetModel": {name: value for name, value in UNET.items() if name != "sample_size"}
    | {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "conditioning_embedding_out_channels": (8, 8, 8, 8),
        "attention_head_dim": 4,
    },
    "SparseControlNetModel": {name: value for name, value in UNET.items() if name != "sample_size"}
    | {
        "down_block_types": ("CrossAttnDownBlockMotion", "DownBlockMotion"),
        "conditioning_channels": 3,
        "conditioning_embedding_out_channels": (8, 8, 8, 8),
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

WAN_22_VAE = {
    "decoder_base_dim": 4,
    "is_residual": True,
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
    "scale_factor_spatial": 16,
}
"""What the VAE of TI2V-5B has besides: 16 pixels along a side, two by two of them in channels."""
