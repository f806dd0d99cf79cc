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
    models.ARCHITECTURE, encoder=(8, 16, 16), decoder=(8, 16), decoder_layers=(1, 1, 1)
)
models.build_denoiser = lambda: LTXVideoTransformer3DModel(
    in_channels=models.LATENT_CHANNELS, out_channels=models.LATENT_CHANNELS,
    num_attention_heads=2, attention_head_dim=16, cross_attention_dim=32, num_layers=1,
    caption_channels=24,
)
models.build_text_encoder = lambda vocab_size: T5EncoderModel(
    T5Config(vocab_size=vocab_size, d_model=24, d_kv=12, num_heads=2, d_ff=32, num_layers=1)
)
loop.RUNS = runs
from training import (
    cache_latents, judges, pack, student_latents, tokenizer as tokens, train_autoencoder,
    train_decoder, train_denoiser, train_student,
)

tokenizer = tokens.build_tokenizer(captions=6000)
train_autoencoder.validation_clips.__defaults__ = (2,)
train_denoiser.TOKENS_PER_BATCH = 64 * 7 * 2
train_denoiser.SAMPLE_PROMPTS = ("a green balloon in the snow",)
for module in (train_autoencoder, cache_latents, train_decoder):
    module.DataLoader = lambda data, batch, **_: DataLoader(data, batch)
for module in (train_denoiser, pack):
    module.build_tokenizer = lambda: tokenizer


def stage(module, arguments):
    sys.argv = [module.__name__, *arguments.split()]
    module.main()


quick = "--device cpu --no-compile"
train = f"{quick} --batch 2 --frames 5 --side 64 --equivariance 1 --steps"
stage(train_autoencoder, f"{train} 2")
stage(train_autoencoder, f"{train} 4")
state = torch.load(runs / "autoencoder" / "state.pt", weights_only=True)
assert (state["step"], state["spent_s"]) == (2, 4), "a step for the last tick of each start"
stage(cache_latents, "--clips 6 --device cpu")
stage(cache_latents, "--clips 2 --device cpu --strangers --run strangers")
data = train_denoiser.LatentDataset(runs / "latents")
assert data.videos.shape == (6, 128, 7, 8, 8), data.videos.shape
assert data.masks.shape == (6, 7, 8, 8) and 0.01 < data.masks.mean() < 0.5
plan = "--by-steps --plan 1:2,3:2,7:2 --clean-first 1 --strangers strangers --close-ups 0.5"
stage(train_denoiser, f"{quick} {plan}")
stage(pack, f"--out {runs / 'pocket'}")
stage(train_student, f"{quick} --teacher {runs / 'pocket'} --out {runs / 'student'} --batch 2"
      " --teacher-steps 4 --lessons 1 --minutes 0.001")

# the decoder that draws: on the student's latents too, stopped once
judges.WEIGHTS_FILE, judges.CLIPS_PER_STEP = runs / "scorers.pt", 2
judges.train.__defaults__ = (1, *judges.train.__defaults__[1:])
train_decoder.perceptual_loss.__defaults__ = (1,)
stage(student_latents, f"--device cpu --no-compile --clips 6 --batch 3 --teacher {runs / 'pocket'}"
      f" --student {runs / 'student'}")
redrawn = np.load(runs / "latents" / student_latents.FILE)
assert redrawn.shape == data.videos.shape and np.isfinite(redrawn).all()
assert not np.array_equal(redrawn, data.videos)
draw = f"{quick} --batch 1 --timestep-conditioning --adversarial-from 0 --steps"
stage(train_decoder, f"{draw} 2")
first = torch.load(runs / "decoder" / "state.pt", weights_only=True)
stage(train_decoder, f"{draw} 4")
drawn = torch.load(runs / "decoder" / "state.pt", weights_only=True)
assert (first["step"], drawn["step"], drawn["spent_s"]) == (1, 2, 4)
for name, value in drawn["model"].items():
    kept = torch.equal(value, first["model"][name])
    assert kept == (name.startswith(("encoder.", "latents_"))
                    or name.endswith("scale_multiplier")), name
before, after = (saved["discriminator"]["layers.0.bias"] for saved in (first, drawn))
assert not torch.equal(before, after)
stage(pack, f"--out {runs / 'pocket'} --autoencoder decoder")
pipe = LTXPipeline.from_pretrained(
    runs / "pocket", use_safetensors=True, local_files_only=True,
    transformer=LTXVideoTransformer3DModel.from_pretrained(runs / "student"),
)
made = pipe(prompt="a green balloon in the snow", width=256, height=256, num_frames=25,
            frame_rate=12, num_inference_steps=2, guidance_scale=1.0, decode_timestep=0.05,
            output_type="np").frames[0]
assert pipe.vae.config.timestep_conditioning
assert made.shape == (25, 256, 256, 3), made.shape

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
