"""All four stages in turn, with networks of thimble size: stopped, resumed, packed, and loaded.

The networks are smaller and time is counted in calls; everything else is what makes the real model.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKLLTXVideo,
    FlowMatchEulerDiscreteScheduler,
    LTXPipeline,
    LTXVideoTransformer3DModel,
)
from tokenizers import Tokenizer
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from training import (
    cache_latents,
    loop,
    models,
    pack,
    train_autoencoder,
    train_denoiser,
    train_student,
)

pytestmark = pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")

STEP_S = 60
"""One training step: the clock is looked at three times in each, and counts no more than this."""


def build_autoencoder(channels: int = models.LATENT_CHANNELS) -> AutoencoderKLLTXVideo:
    return AutoencoderKLLTXVideo(
        latent_channels=channels,
        block_out_channels=(8, 16),
        down_block_types=("LTXVideo095DownBlock3D",),
        downsample_type=("spatiotemporal",),
        spatio_temporal_scaling=(True,),
        layers_per_block=(1, 1),
        decoder_block_out_channels=(16,),
        decoder_spatio_temporal_scaling=(True,),
        decoder_layers_per_block=(1, 1),
        decoder_inject_noise=(False, False),
        upsample_residual=(True,),
        upsample_factor=(2,),
        patch_size=8,
        spatial_compression_ratio=16,
        temporal_compression_ratio=2,
        encoder_causal=True,
        decoder_causal=False,
    )


def build_denoiser() -> LTXVideoTransformer3DModel:
    return LTXVideoTransformer3DModel(
        in_channels=models.LATENT_CHANNELS,
        out_channels=models.LATENT_CHANNELS,
        num_attention_heads=2,
        attention_head_dim=16,
        cross_attention_dim=32,
        num_layers=1,
        caption_channels=24,
    )


def build_text_encoder(vocab_size: int) -> T5EncoderModel:
    config = T5Config(
        vocab_size=vocab_size, d_model=24, d_kv=12, num_heads=2, d_ff=32, num_layers=1
    )
    return T5EncoderModel(config)


Stage = Callable[..., None]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: PreTrainedTokenizerFast) -> Stage:
    """Runs a stage's `main` with these arguments, in a folder of its own."""
    rebuilt: dict[str, Any] = {
        "RUNS": tmp_path / "runs",
        "build_autoencoder": build_autoencoder,
        "build_denoiser": build_denoiser,
        "build_text_encoder": build_text_encoder,
        "build_tokenizer": lambda: words,
        "TOKENS_PER_BATCH": 64 * 9 * 2,
        "SAMPLE_PROMPTS": ("a dog in the snow",),
        "DataLoader": lambda data, batch, **_: DataLoader(data, batch),  # no second process
    }
    for module in (models, cache_latents, train_autoencoder, train_denoiser, train_student, pack):
        for name, value in rebuilt.items():
            if hasattr(module, name):
                monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(train_autoencoder.validation_clips, "__defaults__", (2,))
    looks = count(step=STEP_S // 3)
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: float(next(looks))))

    def run(module: ModuleType, arguments: str) -> None:
        monkeypatch.setattr("sys.argv", [module.__name__, *arguments.split()])
        module.main()

    return run


def state(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "state.pt", weights_only=True)


def logged(folder: Path, key: str) -> list[Any]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line[key] for line in lines if key in line]


def test_the_decoder_meets_clean_first_latents_and_noisy_ones() -> None:
    shares = train_autoencoder.latent_noise_shares(200, 9, 0.4).squeeze()
    assert shares.shape == (200, 9) and shares.min() >= 0 and 0.35 < shares.max() <= 0.4
    assert (shares[::2, 0] == 0).all() and (shares[1::2, 0] > 0).all()
    assert (shares[:, 1:].std(1) > 0).all(), "each latent frame has its own"


def test_what_flickers_costs_more_than_what_is_off_for_good() -> None:
    torch.manual_seed(0)
    video = torch.rand(2, 3, 9, 16, 16) - 0.5
    weight = torch.ones(2, 1, 9, 16, 16)
    off = 0.05 * torch.randn(2, 3, 1, 16, 16)
    turns = torch.tensor([1.0, -1.0] * 4 + [1.0]).view(1, 1, 9, 1, 1)
    difference = train_autoencoder.reconstruction_loss
    assert difference(video, video, weight) == 0
    assert difference(video + off * turns, video, weight) > 1.05 * difference(
        video + off, video, weight
    )


def test_from_nothing_to_a_pipeline_with_a_stop_in_every_training(
    stage: Stage, tmp_path: Path
) -> None:
    runs, out = tmp_path / "runs", tmp_path / "presets" / "pocket"
    quick = "--device cpu --no-compile"

    # 1. the autoencoder, stopped after a step and continued for another
    command = f"{quick} --batch 2 --frames 3 --side 32"
    stage(train_autoencoder, f"{command} --minutes 2")
    first = state(runs / "autoencoder")
    assert (first["step"], first["spent_s"]) == (1, 2 * STEP_S)
    stage(train_autoencoder, f"{command} --minutes 4")
    second = state(runs / "autoencoder")
    assert (second["step"], second["ema_steps"], second["spent_s"]) == (2, 2, 4 * STEP_S)
    assert set(first["model"]) == set(build_autoencoder().state_dict())
    assert logged(runs / "autoencoder", "psnr")[-1] > 0

    # 2. the decoder alone: the latents stay as they are
    stage(train_autoencoder, f"{command} --minutes 6 --decoder-only")
    third = state(runs / "autoencoder")
    for name, value in third["model"].items():
        if name.startswith("encoder."):
            assert torch.equal(value, second["model"][name]), name
    assert not torch.equal(
        third["model"]["decoder.conv_in.conv.weight"],
        second["model"]["decoder.conv_in.conv.weight"],
    )

    # 3. films as latents
    stage(cache_latents, "--clips 12 --device cpu")
    data = train_denoiser.LatentDataset(runs / "latents")
    assert data.videos.shape == (12, models.LATENT_CHANNELS, 9, 8, 8)
    assert data.stills.shape == (12, models.LATENT_CHANNELS, 1, 8, 8)
    normal = data.normalise(data.videos[:])
    assert normal.mean().abs() < 0.05 and abs(float(normal.std()) - 1) < 0.05
    assert 0.01 < data.masks.mean() < 0.5
    assert len({tuple(row) for row in data.labels.tolist()}) == 12

    stage(cache_latents, "--clips 4 --device cpu --strangers --run strangers")
    strangers = train_denoiser.LatentDataset.load_out_of_domain(runs / "strangers", data)
    rng = np.random.default_rng(0)
    x, masks, captions = train_denoiser.mixed_batch(data, strangers, 0.5, 9, 4, rng)
    assert (len(x), len(masks), len(captions)) == (4, 4, 4)
    own = [strangers.normalise(strangers.videos[i : i + 1])[0] for i in range(4)]
    assert [any(torch.equal(a, b) for b in own) for a in x] == [False, False, True, True]

    # 4. the denoiser: pictures, then films, with a stop between
    stage(train_denoiser, f"{quick} --plan 1:2,3:0")
    first = state(runs / "denoiser")
    assert (first["step"], first["spent_s"]) == (2, 2 * STEP_S)
    given = "--clean-first 1 --strangers strangers --strangers-share 0.5"
    stage(train_denoiser, f"{quick} --plan 1:2,3:2,9:2 {given}")
    second = state(runs / "denoiser")
    assert (second["step"], second["ema_steps"], second["spent_s"]) == (6, 6, 6 * STEP_S)
    assert all(torch.isfinite(value).all() for value in second["ema"].values())
    assert any(not torch.equal(second["ema"][k], v) for k, v in first["ema"].items())

    # 5. a finished training that is started again leaves its weights alone
    stage(train_denoiser, f"{quick} --plan 1:2,3:2,9:2")
    again = state(runs / "denoiser")
    assert again["step"] == second["step"]
    assert all(torch.equal(again["ema"][k], v) for k, v in second["ema"].items())

    # 6. packed, it is anybody's LTXPipeline
    out.mkdir(parents=True)
    (out / "README.md").write_text("the card")
    stage(pack, f"--out {out}")
    assert (out / "README.md").read_text() == "the card"
    pipe: Any = LTXPipeline.from_pretrained(out, use_safetensors=True, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    made = pipe(
        prompt="a dog in the snow", width=128, height=128, num_frames=17, frame_rate=8,
        num_inference_steps=2, guidance_scale=3.0, output_type="np",
    ).frames[0]  # fmt: skip
    assert {pipe.vae.dtype, pipe.text_encoder.dtype, pipe.transformer.dtype} == {torch.float32}
    assert made.shape == (17, 128, 128, 3)
    assert np.isfinite(made).all()

    # 7. and what is packed is enough to go on from, with the numbers its denoiser learned
    stage(cache_latents, f"--clips 12 --device cpu --autoencoder {out} --run more-latents --seed 6")
    more = train_denoiser.LatentDataset(runs / "more-latents")
    assert torch.equal(more.mean, pipe.vae.latents_mean)
    assert torch.equal(more.std, pipe.vae.latents_std)
    stage(train_autoencoder, f"{quick} --batch 2 --frames 3 --side 32 --start-from {out}"
          " --run better --minutes 2")  # fmt: skip
    assert state(runs / "better")["step"] == 1
    command = f"{quick} --run more --latents more-latents --autoencoder {out} --start-from {out}"
    stage(train_denoiser, f"{command} --plan 9:1 --lr 0")
    third = state(runs / "more")
    assert third["step"] > 0
    for name, value in pipe.transformer.state_dict().items():
        assert torch.equal(third["model"][f"transformer.{name}"], value), name
    close = "--close-ups 1 --subject-weight 6 --clean-first 1"
    stage(train_denoiser, f"{command} --run kept-words --plan 9:1 --keep-words {close}")
    kept = state(runs / "kept-words")
    for name, value in pipe.text_encoder.state_dict().items():
        assert torch.equal(kept["model"][f"text_encoder.{name}"], value), name
    assert any(
        not torch.equal(kept["model"][f"transformer.{name}"], value)
        for name, value in pipe.transformer.state_dict().items()
    )

    # 8. its student: stopped, continued, and saved as a transformer that takes the teacher's place
    quick_student = tmp_path / "presets" / "student"
    command = f"{quick} --teacher {out} --out {quick_student} --strangers strangers --batch 4"
    stage(train_student, f"{command} --teacher-steps 4 --clean-first 0.5 --lessons 2 --minutes 2")
    first = state(runs / "student")
    stage(train_student, f"{command} --teacher-steps 4 --clean-first 0.5 --lessons 2 --minutes 5")
    second = state(runs / "student")
    assert 0 < first["step"] < second["step"] and second["spent_s"] >= 5 * STEP_S
    assert all(torch.isfinite(value).all() for value in second["ema"].values())
    taught = LTXVideoTransformer3DModel.from_pretrained(quick_student, use_safetensors=True)
    before = pipe.transformer.state_dict()
    assert any(not torch.equal(before[k].half(), v.half()) for k, v in taught.state_dict().items())
    pipe.transformer = taught
    made = pipe(
        prompt="a dog in the snow", width=128, height=128, num_frames=17, frame_rate=8,
        num_inference_steps=4, guidance_scale=1.0, output_type="np",
    ).frames[0]  # fmt: skip
    assert np.isfinite(made).all()


def test_a_packed_model_that_is_too_large_is_refused_and_the_old_one_stays(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "pocket"
    out.mkdir()
    (out / "model_index.json").write_text("the old one")
    runs = tmp_path / "runs"
    words = pack.build_tokenizer()
    loop.save_checkpoint(
        runs / "autoencoder" / "state.pt", {"ema": build_autoencoder().state_dict()}
    )
    model = train_denoiser.ConditionedDenoiser(words)
    loop.save_checkpoint(
        runs / "denoiser" / "state.pt", {"ema": model.state_dict(), "step": 1, "spent_s": 1.0}
    )
    folder = runs / "latents"
    folder.mkdir()
    ones = np.ones(models.LATENT_CHANNELS, np.float32)
    np.savez(folder / "statistics.npz", mean=0 * ones, std=ones)
    np.savez(folder / "about.npz", masks=np.zeros(1), labels=np.zeros((1, 3), int))
    for name in ("videos", "stills"):
        np.save(folder / f"{name}.npy", np.zeros(1))
    monkeypatch.setattr(pack, "ALL_LIMIT_BYTES", 10_000)
    with pytest.raises(SystemExit, match="too large"):
        stage(pack, f"--out {out}")
    assert (out / "model_index.json").read_text() == "the old one"


def test_what_was_learned_of_a_word_stays_with_it_when_the_words_change(tmp_path: Path) -> None:
    """And a verb's new form starts as the verb."""
    words = pack.build_tokenizer()
    trained = train_denoiser.ConditionedDenoiser(words)
    old = tokenizer_without(words, {"▁runs", "▁dog", "▁puppy"})
    encoder = models.build_text_encoder(len(old))
    LTXPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(), vae=build_autoencoder(), text_encoder=encoder,
        tokenizer=old, transformer=trained.transformer,
    ).save_pretrained(tmp_path)  # fmt: skip
    model = train_denoiser.ConditionedDenoiser(words, tmp_path)
    rows, known = model.text_encoder.shared.weight, encoder.shared.weight
    then, now = old.get_vocab(), words.get_vocab()
    assert then.keys() < now.keys()
    assert any(then[word] != now[word] for word in then), "the same word has another number"
    for word, number in then.items():
        assert torch.equal(rows[now[word]], known[number]), word
    assert torch.equal(rows[now["▁runs"]], known[then["▁running"]])
    assert torch.isfinite(rows).all()
    taught = model.text_encoder.encoder.state_dict()
    assert torch.equal(taught["embed_tokens.weight"], rows)
    for name, value in encoder.encoder.state_dict().items():
        if name != "embed_tokens.weight":
            assert torch.equal(taught[name], value), name


def tokenizer_without(words: PreTrainedTokenizerFast, missing: set[str]) -> PreTrainedTokenizerFast:
    about = json.loads(words.backend_tokenizer.to_str())
    about["model"]["vocab"] = [
        [word, score] for word, score in about["model"]["vocab"] if word not in missing
    ]
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(about)),
        **words.special_tokens_map,
    )


def test_the_plan_goes_from_pictures_to_films() -> None:
    plan = [(1, 60.0), (3, 120.0), (9, 60.0)]
    at = [train_denoiser.frames_for(plan, spent) for spent in (0, 59, 60, 179, 180, 239, 999)]
    assert at == [1, 1, 3, 3, 9, 9, 9]


@pytest.mark.parametrize(("frames", "stride"), [(1, 1), (3, 4), (5, 2), (9, 1)])
def test_fewer_latent_frames_span_the_same_two_seconds(frames: int, stride: int) -> None:
    assert train_denoiser.frame_stride(frames) == stride
    if frames > 1:
        assert (frames - 1) * stride == train_denoiser.LATENT_FRAMES - 1


def test_noise_levels_lean_to_noise_and_stay_in_range() -> None:
    torch.manual_seed(0)
    drawn = train_denoiser.sample_sigmas(4000, 0.8)
    assert drawn.min() >= 0.002 and drawn.max() <= 1
    assert 0.6 < drawn.mean() < 0.75
    assert (drawn < 0.2).float().mean() > 0.03, "fine detail is trained too"


def test_every_combination_of_the_world_is_filmed_once_before_any_comes_again() -> None:
    films = cache_latents.ClipDataset(seed=5, count=9600)
    video, still, mask, labels = films[3]
    assert video.shape == (3, 17, 128, 128)
    assert mask.shape == (9, 8, 8)
    assert float(mask.min()) >= 0 and float(mask.max()) <= 1
    assert any(torch.equal(still[:, 0], video[:, t]) for t in range(17))
    assert torch.equal(films[3][3], labels)
    assert not torch.equal(films[4][3], labels)
