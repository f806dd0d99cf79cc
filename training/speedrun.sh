#!/bin/sh
# Trains the storybook's pocket model from scratch; every stage resumes where it was stopped.
#
#   training/speedrun.sh                    all stages, in order
#   training/speedrun.sh latents denoiser   some of them
#
# Hours are estimates for two idle CPU cores with bf16 instructions, 7.5 in all; a GPU needs about a
# tenth of them. Most stages count steps instead of minutes, so that a busy machine trains the same
# weights. Runs (checkpoints, log.jsonl, sample sheets) are in training/runs, which may be a symlink;
# presets/ is not changed.
set -eu
cd "$(dirname "$0")/.."
export KINORA_WORLD=storybook OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}"
python="${PYTHON:-.venv/bin/python}"
runs="$PWD/training/runs"

autoencoder() { # 1a. Autoencoder, on crops around the subject: 2 h.
    $python -m training.train_autoencoder --run storybook-autoencoder --steps 6000 --side 128 \
        --frames 13 --batch 8 --lr 2e-3 --equivariance 0.3 --latent-noise 0.2 --seed 1
}

clips() { # 1b. Autoencoder, on whole clips, as at inference: 0.5 h.
    [ -e "$runs/storybook-clips" ] || cp -r "$runs/storybook-autoencoder" "$runs/storybook-clips"
    $python -m training.train_autoencoder --run storybook-clips --steps 6700 --side 256 \
        --frames 25 --batch 2 --lr 1.5e-3 --equivariance 0.15 --latent-noise 0.12 --seed 2
}

latents() { # 2. Cached latents: every triple of subject, place and motion once: 0.4 h.
    $python -m training.cache_latents --autoencoder storybook-clips --run storybook-latents \
        --clips 6720 --seed 5
    $python -m training.cache_latents --autoencoder storybook-clips --run storybook-strangers \
        --strangers --clips 900 --seed 5
}

denoiser() { # 3. Denoiser, on single frames, then clips of 3, 4 and all 7 latent frames: 2.2 h.
    $python -m training.train_denoiser --run storybook-denoiser --latents storybook-latents \
        --strangers storybook-strangers --autoencoder storybook-clips --by-steps \
        --plan 1:1200,3:1200,4:800,7:2800 --lr 2e-3 --clean-first 0.3 --more-of spin:3 \
        --partial 0.3 --close-ups 0.3 --subject-weight 4 --seed 3
}

pack() { # 4. LTXPipeline folder in half precision: a minute.
    $python -m training.pack --denoiser storybook-denoiser --autoencoder storybook-clips \
        --latents storybook-latents --out "$runs/storybook-pocket"
}

student() { # 5. Student, which needs four steps without guidance: 0.6 h.
    $python -m training.train_student --run storybook-student --teacher "$runs/storybook-pocket" \
        --latents storybook-latents --strangers storybook-strangers --minutes 35 \
        --out "$runs/storybook-pocket-distilled"
}

decoder() { # 6. Decoder again, against smears: on the student's latents, with a discriminator: 0.8 h.
    $python -m training.student_latents --latents storybook-latents --clips 2000 \
        --teacher "$runs/storybook-pocket" --student "$runs/storybook-pocket-distilled"
    $python -m training.train_decoder --run storybook-decoder --autoencoder storybook-clips \
        --latents storybook-latents --steps 1000 --batch 2
    $python -m training.pack --denoiser storybook-denoiser --autoencoder storybook-decoder \
        --latents storybook-latents --out "$runs/storybook-drawn"
}

measure() { # 7. Judges and evaluation: 500 prompts and 200 pictures not used in training: 1 h.
    $python -m training.judges
    $python -m training.evaluate --workers 2 --weights "$runs/storybook-drawn" --steps 4 \
        --guidance 1 --transformer "$runs/storybook-pocket-distilled" \
        --only "text,pictures,autoencoder,strange pictures,samples"
}

for stage in "${@:-autoencoder clips latents denoiser pack student decoder measure}"; do
    for part in $stage; do
        "$part"
    done
done
