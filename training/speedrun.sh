#!/bin/sh
# The pocket model of the storybook, from nothing: every stage resumes where it was stopped.
#
#   training/speedrun.sh                    all stages in turn
#   training/speedrun.sh latents denoiser   some of them
#
# Hours are estimates for two idle CPU cores with bf16 instructions; one GPU needs about a tenth of
# them. Trainings count steps, not minutes, so that a machine that is busy with other work makes the
# same weights, later. Runs (checkpoints, log.jsonl, sample sheets) are kept in training/runs, which
# may be a symlink; nothing is written to presets/ until it is copied there by hand.
set -eu
cd "$(dirname "$0")/.."
export KINORA_WORLD=storybook OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}"
python="${PYTHON:-.venv/bin/python}"
runs="$PWD/training/runs"

autoencoder() { # 1a. Pixels to latents and back, by crops near the subject: 5 h.
    $python -m training.train_autoencoder --run storybook-autoencoder --steps 12000 --side 128 \
        --frames 13 --batch 8 --lr 2e-3 --equivariance 0.3 --latent-noise 0.2 --seed 1
}

clips() { # 1b. The same on whole clips, which are what is decoded in the end: 1.5 h.
    [ -e "$runs/storybook-clips" ] || cp -r "$runs/storybook-autoencoder" "$runs/storybook-clips"
    $python -m training.train_autoencoder --run storybook-clips --steps 13500 --side 256 \
        --frames 25 --batch 2 --lr 1.5e-3 --equivariance 0.15 --latent-noise 0.12 --seed 2
}

latents() { # 2. Films as latents: every subject, place and motion together twice. 0.5 h.
    $python -m training.cache_latents --autoencoder storybook-clips --run storybook-latents \
        --clips 13440 --seed 5
    $python -m training.cache_latents --autoencoder storybook-clips --run storybook-strangers \
        --strangers --clips 1200 --seed 5
}

denoiser() { # 3. Words and noise to latents: pictures, then films of 3, 4 and all 7 latents. 5 h.
    $python -m training.train_denoiser --run storybook-denoiser --latents storybook-latents \
        --strangers storybook-strangers --autoencoder storybook-clips --by-steps \
        --plan 1:2000,3:2000,4:2000,7:6000 --lr 2e-3 --clean-first 0.3 --more-of spin:3 \
        --partial 0.3 --close-ups 0.3 --subject-weight 4 --seed 3
}

pack() { # 4. An ordinary LTXPipeline in half precision: a minute.
    $python -m training.pack --denoiser storybook-denoiser --autoencoder storybook-clips \
        --latents storybook-latents --out "$runs/storybook-pocket"
}

student() { # 5. Four steps without guidance: 0.7 h.
    $python -m training.train_student --run storybook-student --teacher "$runs/storybook-pocket" \
        --latents storybook-latents --strangers storybook-strangers --minutes 40 \
        --out "$runs/storybook-pocket-distilled"
}

measure() { # 6. The judges, and 500 sentences and 200 pictures nobody has seen: 2 h.
    $python -m training.judges
    $python -m training.evaluate --workers 2 --weights "$runs/storybook-pocket"
}

for stage in "${@:-autoencoder clips latents denoiser pack student measure}"; do
    for part in $stage; do
        "$part"
    done
done
