"""Cards made from a pipeline's index, and clips made with nothing else known about it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
import yaml

from errors import Cancelled, ErrorCode, KinoraError
from pipelines.engine.decode import decode
from pipelines.engine.denoise import SampledFrames, denoise
from pipelines.engine.families.base import Inputs
from pipelines.engine.loaded import Loaded
from pipelines.engine.manager import PipelineManager
from pipelines.models.call_signatures import REQUIRED, call_signature
from pipelines.models.cards import ModelCard, load_cards
from pipelines.models.fit import Limits, fit
from pipelines.models.generic_card import generic_card
from pipelines.models.repository import Index, read_index
from pipelines.request import FittedRequest, GenerationRequest, Task
from settings import ROOT, Settings
from tests.zoo import Specimen, modelscope, svd, wan


class Pressed:
    def __init__(self, finish: bool = False) -> None:
        self.finish, self.is_discarded = finish, False

    def discard(self) -> None:
        self.is_discarded = True

    def cancelled(self) -> bool:
        return self.is_discarded

    def finish_now(self) -> bool:
        return self.finish


def index(class_name: str, **components: str) -> Index:
    parts = {"scheduler": ("diffusers", "DDIMScheduler")}
    parts |= {name: ("diffusers", of) for name, of in components.items()}
    return Index(class_name, parts)


def card_of(folder: Path) -> ModelCard:
    read = read_index((folder / "model_index.json").read_bytes(), "someone/something")
    configs = {
        name: json.loads(path.read_text())
        for name in read.components
        if (path := folder / name / "config.json").is_file()
    }
    return generic_card("someone/something", read, configs)


# -- reading a call without importing it ---------------------------------------------------------

READ = [
    "WanPipeline",
    "WanImageToVideoPipeline",
    "LTXConditionPipeline",
    "CogVideoXVideoToVideoPipeline",
    "StableVideoDiffusionPipeline",
    "TextToVideoSDPipeline",
    "HunyuanVideo15Pipeline",
    "MotifVideoPipeline",
    "StableDiffusionPipeline",
    "LattePipeline",
]


@pytest.mark.parametrize("name", READ)
def test_the_call_is_read_as_python_itself_sees_it(name: str) -> None:
    import inspect

    call = call_signature(name)
    assert call is not None
    seen = inspect.signature(getattr(diffusers, name).__call__).parameters
    expected = {n: p for n, p in seen.items() if n not in ("self", "args", "kwargs")}
    assert list(call.parameters) == list(expected)
    for parameter, given in call.parameters.items():
        default = expected[parameter].default
        if default is expected[parameter].empty:
            assert given is REQUIRED
        elif isinstance(default, int | float | str | bool):
            assert given == default


def test_images_are_told_from_videos() -> None:
    makes_videos = {name: bool((c := call_signature(name)) and c.returns_frames) for name in READ}
    assert [name for name, does in makes_videos.items() if not does] == ["StableDiffusionPipeline"]


@pytest.mark.parametrize("name", ["NoSuchPipeline", "WanTransformer3DModel", "", "../x", "a b"])
def test_what_diffusers_does_not_have_is_not_found(name: str) -> None:
    assert call_signature(name) is None


def test_reading_a_call_loads_no_torch() -> None:
    code = (
        "import sys; from pipelines.models.generic_card import generic_card;"
        "from pipelines.models.call_signatures import call_signature;"
        "call = call_signature('WanPipeline');"
        "print(call.side, 'torch' in sys.modules, 'diffusers' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.split() == ["16", "False", "False"]


# -- the card ------------------------------------------------------------------------------------


def test_a_card_says_what_the_class_says() -> None:
    card = generic_card("someone/flow", index("AnyFlowPipeline"), {})
    assert card.family == "generic"
    assert Task.TEXT_TO_VIDEO in card.tasks
    assert set(card.classes.values()) == {"AnyFlowPipeline"}
    d = card.defaults
    assert (d.width, d.height, d.num_frames) == (832, 480, 81)
    assert (d.num_inference_steps, d.guidance_scale) == (50, 1.0)
    assert card.rules.guidance
    assert card.rules.size.of == 16


def test_a_model_that_begins_with_a_picture_does_only_that() -> None:
    motif = generic_card("m/i2v", index("MotifVideoImage2VideoPipeline"), {})
    assert motif.tasks == (Task.IMAGE_TO_VIDEO,)
    assert motif.rules.guidance, "by its guider, which has a scale of its own"


def test_a_model_that_works_over_clips_does_only_that() -> None:
    lucy = generic_card("decart/lucy", index("LucyEditPipeline"), {})
    assert lucy.tasks == (Task.VIDEO_TO_VIDEO,)


def test_lengths_follow_the_vae() -> None:
    vae = {"_class_name": "AutoencoderKLWan", "temperal_downsample": [False, True, True]}
    assert generic_card("a/b", index("WanPipeline"), {"vae": vae}).rules.frames.of == 4
    vae = {"temporal_compression_ratio": 8}
    card = generic_card("a/b", index("LTXPipeline"), {"vae": vae})
    assert (card.rules.frames.of, card.rules.size.of, card.defaults.num_frames) == (8, 32, 161)
    still = {"_class_name": "AutoencoderKL"}
    assert generic_card("a/b", index("TextToVideoSDPipeline"), {"vae": still}).rules.frames.of == 1


REFUSED = [
    ("StableDiffusionPipeline", "makes no videos"),
    ("FluxPipeline", "makes no videos"),
    ("LTXLatentUpsamplePipeline", "enlarges clips"),
    ("Kandinsky6SRPipeline", "enlarges clips"),
    ("AudioLDM2Pipeline", "makes no videos"),
    ("LTX2HDRPipeline", "makes HDR frames"),
    ("WanTransformer3DModel", "this one has no WanTransformer3DModel"),
    ("FutureVideoPipeline", "this one has no FutureVideoPipeline"),
    ("WanAnimatePipeline", "needs pose video"),
    ("SanaWMPipeline", "needs a camera path"),
    ("LTX2VideoDiffusionDecodePipeline", "needs the latents of an earlier pass"),
    ("LTX2DFRTemporalRefinePipeline", "needs the latents of an earlier pass"),
    ("AnimateDiffVideoToVideoControlNetPipeline", "needs a control clip"),
    ("EasyAnimateControlPipeline", "does not work with the installed version of diffusers"),
]


@pytest.mark.parametrize(("name", "sentence"), REFUSED)
def test_what_cannot_make_a_clip_is_refused_in_a_sentence(name: str, sentence: str) -> None:
    with pytest.raises(KinoraError) as refused:
        generic_card("someone/something", index(name), {})
    assert refused.value.code is ErrorCode.MODEL_REFUSED
    assert "someone/something" in refused.value.message
    assert sentence in refused.value.message


def test_a_video_pipeline_without_a_scheduler_is_refused() -> None:
    with pytest.raises(KinoraError, match="incomplete: its scheduler is missing"):
        generic_card("a/b", Index("WanPipeline", {}), {})


VIDEO_CLASSES = [
    name
    for name in dir(diffusers)
    if name.endswith("Pipeline") and ("Video" in name or name.startswith(("Wan", "LTX", "Cosmos")))
]


@pytest.mark.parametrize("name", VIDEO_CLASSES)
def test_every_video_class_gives_a_sound_card_or_a_sentence(name: str) -> None:
    try:
        card = generic_card("a/b", index(name), {})
    except KinoraError as refused:
        assert refused.message.endswith(".")
        assert len(refused.message) > 30
    else:
        task = card.tasks[0]
        asked: dict[str, Any] = {"prompt": "a dog"}
        if task is Task.IMAGE_TO_VIDEO:
            asked["image"] = "0" * 64
        if task is Task.VIDEO_TO_VIDEO:
            asked["video"] = "0" * 64
        made = fit(GenerationRequest.model_validate(asked), card, Limits(max_duration_s=60))
        assert card.rules.frames.allows(made.num_frames)


# -- the clip ------------------------------------------------------------------------------------


def loaded_from(
    specimen: Specimen, folder: Path, task: Task, **defaults: Any
) -> tuple[Loaded, FittedRequest]:
    """By the card that was made from the folder alone, as if its class had no family, and with
    sizes that fit a test."""
    specimen.build(folder / "repo")
    made = card_of(folder / "repo")
    small = {"width": 32, "height": 32, "num_frames": 5, "num_inference_steps": 3} | defaults
    limits = {"min_width": 32, "min_height": 32, "min_frames": 1}
    data = made.model_dump(mode="json", exclude_defaults=True)
    data |= {"repo": str(folder / "repo"), "family": "generic", "size": {"of": 8}}
    data["defaults"] |= small
    data["limits"] |= limits
    (folder / "cards").mkdir()
    (folder / "cards" / "generic.yaml").write_text(yaml.safe_dump(data))
    settings = Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=folder / "data",
        models_dir=folder / "cards",
        torch_dtype="float32",
    )
    loaded = PipelineManager(load_cards(folder / "cards"), settings).get("generic", task)
    image = "0" * 64 if task is Task.IMAGE_TO_VIDEO else None
    asked = GenerationRequest(prompt="a dog", seed=3, image=image, fps=8)
    return loaded, fit(asked, loaded.card, Limits())


def clip(
    loaded: Loaded, fitted: FittedRequest, inputs: Inputs, finish: bool = False
) -> SampledFrames:
    sampled = denoise(loaded, fitted, inputs, Pressed(finish), lambda _step: None)
    assert isinstance(sampled, SampledFrames)
    return sampled


def test_a_folder_is_enough_to_make_a_clip(tmp_path: Path) -> None:
    specimen = wan.SPECIMENS[0]
    loaded, fitted = loaded_from(specimen, tmp_path, Task.TEXT_TO_VIDEO)
    sampled = clip(loaded, fitted, Inputs())
    frames = decode(loaded, sampled, fitted)
    assert sampled.frames is frames  # its pipeline decodes: there are no latents to hand on

    pipe: Any = diffusers.WanPipeline.from_pretrained(tmp_path / "repo", dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    plain: np.ndarray = pipe(
        prompt="a dog",
        width=32,
        height=32,
        num_frames=5,
        num_inference_steps=3,
        guidance_scale=5.0,
        generator=torch.Generator().manual_seed(3),
        output_type="np",
    ).frames[0]
    assert np.array_equal(frames, (plain * 255).round().astype(np.uint8))


def test_a_picture_is_handed_on(tmp_path: Path) -> None:
    from PIL import Image

    loaded, fitted = loaded_from(
        svd.SPECIMENS[0], tmp_path, Task.IMAGE_TO_VIDEO, num_inference_steps=2
    )
    made = [
        clip(loaded, fitted, Inputs(image=Image.new("RGB", (32, 32), colour)))
        for colour in ("red", "blue")
    ]
    assert made[0].frames.shape == (5, 32, 32, 3)
    assert not np.array_equal(made[0].frames, made[1].frames)


def test_a_pipeline_that_cannot_be_interrupted_finishes_early_all_the_same(tmp_path: Path) -> None:
    loaded, fitted = loaded_from(modelscope.SPECIMENS[0], tmp_path, Task.TEXT_TO_VIDEO)
    assert not hasattr(type(loaded.pipe), "interrupt")
    unet_class, evaluated = type(loaded.pipe.unet), []
    handle = loaded.pipe.unet.register_forward_hook(lambda *_: evaluated.append(1))
    try:
        hurried, whole = (clip(loaded, fitted, Inputs(), finish) for finish in (True, False))
    finally:
        handle.remove()
    assert len(evaluated) == 1 + 3, "the rest of the loop costs nothing"
    assert (hurried.finished_early, hurried.steps_done) == (True, 1)
    assert (whole.finished_early, whole.steps_done) == (False, 3)
    assert hurried.frames.shape == whole.frames.shape
    assert not np.array_equal(hurried.frames, whole.frames)
    assert type(loaded.pipe.unet) is unet_class


def test_a_discard_ends_the_decoding_inside_a_pipeline(tmp_path: Path) -> None:
    loaded, fitted = loaded_from(modelscope.SPECIMENS[0], tmp_path, Task.TEXT_TO_VIDEO)
    person, seen = Pressed(), list[int]()
    handle = loaded.pipe.vae.decoder.register_forward_pre_hook(lambda *_: person.discard())
    late = loaded.pipe.vae.decoder.conv_out.register_forward_hook(lambda *_: seen.append(-1))
    try:
        with pytest.raises(Cancelled):
            denoise(loaded, fitted, Inputs(), person, lambda step: seen.append(step.index))
    finally:
        handle.remove()
        late.remove()
    assert seen == [1, 2, 3], "all steps, and no frame"


def test_pixels_that_are_no_numbers_are_no_clip(tmp_path: Path) -> None:
    loaded, fitted = loaded_from(modelscope.SPECIMENS[0], tmp_path, Task.TEXT_TO_VIDEO)
    with torch.no_grad():
        loaded.pipe.vae.decoder.conv_out.bias.fill_(float("nan"))
    with pytest.raises(KinoraError) as raised:
        clip(loaded, fitted, Inputs())
    assert raised.value.code is ErrorCode.DECODE
