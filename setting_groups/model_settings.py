"""Which models there are and how they are loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr

from envfile import Folder
from setting_groups.machine_settings import MachineSettings
from setting_groups.storage_settings import StorageSettings
from setting_values import ROOT, Blank, dtype_name

Dtype = Annotated[Literal["auto", "float32", "bfloat16", "float16"], BeforeValidator(dtype_name)]


class ModelSettings(MachineSettings, StorageSettings):
    models_dir: Folder = Field(
        default=ROOT / "presets" / "models",
        description="Folder with the model cards (`*.yaml`).",
    )
    default_text_to_video_model: str | None = Field(
        default=None,
        validation_alias="DEFAULT_TEXT_TO_VIDEO_MODEL",
        description="Model for text to video when a request names none. "
        "Default: the card with `usual: true`.",
    )
    default_image_to_video_model: str | None = Field(
        default=None,
        validation_alias="DEFAULT_IMAGE_TO_VIDEO_MODEL",
        description="Model for image to video when a request names none. "
        "Default: the one for text to video, if it supports it.",
    )
    model_variant: str | None = Field(
        default=None,
        validation_alias="MODEL_VARIANT",
        description="Weight variant to load, such as `fp16`, if a repository has several.",
    )
    torch_dtype: Dtype = Field(
        default="auto",
        validation_alias="TORCH_DTYPE",
        description="`auto`, `float32`, `bfloat16` or `float16`. "
        "auto: bfloat16 on GPUs and on CPUs with fast bfloat16, otherwise float32.",
    )
    hf_token: SecretStr | None = Field(
        default=None,
        validation_alias="HF_TOKEN",
        description="Hugging Face token; only needed for gated models.",
    )
    loras_dir: Folder | None = Field(
        default=None,
        description="Folder with LoRA files (`*.safetensors`), which are offered by name. "
        "Default: `loras` in the data folder.",
    )
    lora_hub: bool | None = Field(
        default=None, description="Allow LoRAs from the Hub by id. Default: not on a Space."
    )
    max_loaded_models: int = Field(
        default=2,
        ge=1,
        description="How many models stay loaded; the least recently used goes first.",
    )
    profile: Literal["fast", "balanced", "small"] = Field(
        default="balanced",
        description="`fast` (compile, cache similar steps), `balanced`, or `small` (least memory).",
    )
    offload: Literal["auto", "none", "model", "group"] = Field(
        default="auto",
        description="What is kept off the GPU until needed: `none`, components (`model`), blocks "
        "(`group`), or `auto`: as little as necessary.",
    )
    attention_backend: Literal["auto", "native", "xformers", "flash", "sage"] = Field(
        default="auto",
        description="Attention backend; used if it is installed and supports the model's masks. "
        "auto: PyTorch's own, or `flash` with the profile `fast`.",
    )
    step_cache: Literal["auto", "off", "on"] = Field(
        default="auto",
        description="Reuse results that hardly change between steps. "
        "auto: with the profile `fast`.",
    )
    compile: Literal["auto", "off", "on"] = Field(
        default="auto",
        description="Compile the model's blocks before the first step. "
        "auto: on a GPU with the profile `fast`.",
    )
    allow_any_model: bool | None = Field(
        default=None,
        description="Accept the Hugging Face id of any diffusers video pipeline as a model. "
        "Default: yes; on a Space, the value of KINORA_ALLOW_HEAVY_MODELS.",
    )
    allow_heavy_models: bool | None = Field(
        default=None,
        description="On a Space, also allow models that must be downloaded first, that run slowly "
        "there, or, on ZeroGPU, that are not loaded before launch. Default: no on a Space, "
        "otherwise yes.",
    )
    clip_model: Annotated[str | None, Blank] = Field(
        default=None,
        description="Hub id or folder of a CLIP model, to score clips by their prompts.",
    )
    local_models_dir: Folder | None = Field(
        default=None,
        description="Folder with your own diffusers pipelines; `local/NAME` is the one in the "
        "folder NAME.",
    )

    @property
    def loras_folder(self) -> Path:
        return self.loras_dir or self.data_dir / "loras"

    @property
    def loras_from_hub(self) -> bool:
        return not self.on_space if self.lora_hub is None else self.lora_hub

    @property
    def any_model(self) -> bool:
        """`allow_any_model`, with its default resolved."""
        return self.heavy_models if self.allow_any_model is None else self.allow_any_model

    @property
    def heavy_models(self) -> bool:
        """`allow_heavy_models`, with its default resolved."""
        on_space = self.on_space or self.zero_gpu
        return not on_space if self.allow_heavy_models is None else self.allow_heavy_models
