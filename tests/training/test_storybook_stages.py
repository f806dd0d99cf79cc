"""Every training of the storybook once, with networks of thimble size, in a process of its own:

which world a training is about is decided when its modules are loaded.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from diffusers import LTXPipeline, LTXVideoTransformer3DModel
from torch.utils.data import DataLoader
from transformers import T5Config, T5EncoderModel

torch.set_num_threads(1)
from training import loop, models

runs = Path(sys.argv[1])
models.ARCHITECTURE = replace(
    models.ARCHITECTURE, encoder=(8, 16), encoder_layers=(1, 1), decoder=(16,),
    decoder_layers=(1, 1),
)
models.build_denoiser = lambda: LTXVideoTransformer3DModel(
    in_channels=models.LATENT_CHANNELS, out_channels=models.LATENT_CHANNELS,
    num_attention_heads=2, attention_head_dim=16, cross_attention_dim=32, num_layers=1,
    caption_channels=24,
)
models.build_text_encoder = lambda vocab_size: T5EncoderModel(
    T5Config(vocab_size=vocab_size, d_model=24, d_kv=12, num_heads=2, d_ff=32, num_layers=1)
)
models.build_upsampler = lambda: models.LTXLatentUpsamplerModel(
    in_channels=models.LATENT_CHANNELS, mid_channels=32, num_blocks_per_stage=1
)
loop.RUNS = runs
from training import (
    cache_latents, judges, pack, student_latents, tokenizer as tokens, train_autoencoder,
    train_denoiser, train_student, train_upsampler,
)

tokenizer = tokens.build_tokenizer(captions=6000)
train_autoencoder.validation_clips.__defaults__ = (2,)
train_denoiser.TOKENS_PER_BATCH = 64 * 13 * 2
train_denoiser.SAMPLE_PROMPTS = ("a green balloon in the snow",)
for module in (train_autoencoder, cache_latents, train_upsampler):
    module.DataLoader = lambda data, batch, **_: DataLoader(data, batch)
for module in (train_denoiser, pack):
    module.build_tokenizer = lambda: tokenizer


def stage(module, arguments):
    sys.argv = [module.__name__, *arguments.split()]
    module.main()


quick = "--device cpu --no-compile"
train = f"{quick} --batch 2 --frames 5 --side 64 --equivariance 1 --half-size 0.5 --steps"
stage(train_autoencoder, f"{train} 2")
stage(train_autoencoder, f"{train} 4")
state = torch.load(runs / "autoencoder" / "state.pt", weights_only=True)
assert (state["step"], state["spent_s"]) == (2, 4), "a step for the last tick of each start"
stage(cache_latents, "--clips 6 --device cpu")
stage(cache_latents, "--clips 2 --device cpu --strangers --run strangers")
data = train_denoiser.LatentDataset(runs / "latents")
assert data.videos.shape == (6, 64, 13, 8, 8), data.videos.shape
assert data.masks.shape == (6, 13, 8, 8) and 0.01 < data.masks.mean() < 0.5
plan = "--by-steps --plan 1:2,3:2,13:2 --clean-first 1 --strangers strangers --close-ups 0.5"
stage(train_denoiser, f"{quick} {plan}")
stage(pack, f"--out {runs / 'pocket'}")
stage(train_student, f"{quick} --teacher {runs / 'pocket'} --out {runs / 'student'} --batch 2"
      " --teacher-steps 4 --lessons 1 --minutes 0.001")

# upsampler and decoder: on the student's latents too, stopped once
judges.WEIGHTS_FILE, judges.CLIPS_PER_STEP = runs / "scorers.pt", 2
judges.train.__defaults__ = (1, *judges.train.__defaults__[1:])
train_upsampler.perceptual_loss.__defaults__ = (1,)
stage(student_latents, f"--device cpu --no-compile --clips 6 --batch 3 --teacher {runs / 'pocket'}"
      f" --student {runs / 'student'}")
redrawn = np.load(runs / "latents" / student_latents.FILE)
assert redrawn.shape == data.videos.shape and np.isfinite(redrawn).all()
assert not np.array_equal(redrawn, data.videos)
draw = f"{quick} --batch 1 --adversarial-from 0 --steps"
stage(train_upsampler, f"{draw} 3 --decoder-from 1")
first = torch.load(runs / "upsampler" / "state.pt", weights_only=True)
stage(train_upsampler, f"{draw} 6 --decoder-from 0")
drawn = torch.load(runs / "upsampler" / "state.pt", weights_only=True)
assert (first["step"], drawn["step"]) == (2, 4)
before = torch.load(runs / "autoencoder" / "state.pt", weights_only=True)["ema"]
for name, value in before.items():
    if name.startswith("decoder."):
        assert torch.equal(value, first["model"][name]), f"{name} was trained too early"
assert not torch.equal(first["model"]["decoder.conv_out.conv.weight"],
                       drawn["model"]["decoder.conv_out.conv.weight"])
assert not torch.equal(first["model"]["upsampler.final_conv.weight"],
                       drawn["model"]["upsampler.final_conv.weight"])
a, b = (saved["discriminator"]["layers.0.bias"] for saved in (first, drawn))
assert not torch.equal(a, b)
stage(pack, f"--out {runs / 'pocket'} --upsampler upsampler")
pipe = LTXPipeline.from_pretrained(
    runs / "pocket", use_safetensors=True, local_files_only=True,
    transformer=LTXVideoTransformer3DModel.from_pretrained(runs / "student"),
)
made = pipe(prompt="a green balloon in the snow", width=128, height=128, num_frames=25,
            frame_rate=12, num_inference_steps=2, guidance_scale=1.0, output_type="np").frames[0]
assert made.shape == (25, 128, 128, 3), made.shape
from training.evaluation.clip_generator import ClipGenerator
from training.evaluation.clip_request import ClipRequest
generator = ClipGenerator(runs / "pocket", runs / "student")
made = generator.clip(ClipRequest("a green balloon", 1, 2, 1.0))
assert made.shape == (25, 256, 256, 3), made.shape
picture = generator.clip(ClipRequest("a green balloon", 1, 2, 1.0, picture="rendering:1:0:0:0:0"))
assert picture.shape == (25, 256, 256, 3)

# the judges and the evaluation's plan are of this world, too
from training.current_world import SUBJECT_NAMES
from training.evaluation import clip_generator, evaluation_plan, likeness

judges.train()
assert judges.matches_world(torch.load(judges.WEIGHTS_FILE, weights_only=True))
rows = evaluation_plan.plan(evaluation_plan.PlanSize(), evaluation_plan.SamplingOptions())
assert {row.request.words for row in rows if row.section == "text"}
coloured = [row for row in rows if row.section == "text" and row.expected.colour]
assert len(coloured) > 50
assert all(f"{row.expected.colour[0]} " in row.request.words for row in coloured)
shown = {name for row in rows for name in row.expected.subject}
assert shown >= set(SUBJECT_NAMES)
row = next(row for row in rows if row.section == "autoencoder")
clip = clip_generator.load_source(row.request.picture)
assert clip.shape == (25, 256, 256, 3), clip.shape
verdict = judges.ClipJudge().judge(clip)
assert verdict.subject in SUBJECT_NAMES
subject = next(s for s in likeness.SUBJECTS if s.name == row.expected.subject[0])
assert likeness.clip_likeness(clip, subject) > 0.6
print("made")
"""


@pytest.mark.slow
def test_from_nothing_to_a_student_that_draws_25_frames_of_256_pixels(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "KINORA_WORLD": "storybook", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip().endswith("made")


def test_a_world_that_does_not_exist_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import training.current_world"],
        cwd=ROOT,
        env={**os.environ, "KINORA_WORLD": "moon"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode != 0
    assert "KINORA_WORLD=moon" in done.stderr
