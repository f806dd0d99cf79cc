#!/bin/sh
# Trains the storybook's pocket model; every stage resumes where it was stopped.
#
#   training/speedrun.sh                    all stages, in order
#   training/speedrun.sh latents denoiser   some of them
#
# By default it continues from the weights in presets/pocket: their autoencoder draws the storybook
# at 256 x 256 as it is, and their denoiser knows the words and motions. FROM_SCRATCH=1 trains both
# from random weights first. Minutes are for two idle CPU cores with bf16 instructions; a GPU needs
# about a tenth of them. Runs (checkpoints, log.jsonl, sample sheets) are in training/runs, which may
# be a symlink; presets/ is not changed.
set -eu
cd "$(dirname "$0")/.."
export KINORA_WORLD=storybook OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}"
python="${PYTHON:-.venv/bin/python}"
runs="$PWD/training/runs"
pocket="$PWD/presets/pocket"

autoencoder() { # 1. Autoencoder, only from scratch: crops, then whole clips at both sizes: 2.5 h.
    [ -n "${FROM_SCRATCH:-}" ] || return 0
    $python -m training.train_autoencoder --run sb-crops --minutes 90 --equivariance 0.1 --seed 1
    [ -e "$runs/sb-autoencoder" ] || cp -r "$runs/sb-crops" "$runs/sb-autoencoder"
    $python -m training.train_autoencoder --run sb-autoencoder --minutes 150 --side 256 \
        --frames 25 --batch 2 --half-size 0.5 --lr 1.2e-3 --latent-noise 0.15 --seed 2
}

if [ -n "${FROM_SCRATCH:-}" ]; then
    vae=sb-autoencoder start=""
else
    vae="$pocket" start="--start-from $pocket"
fi

latents() { # 2. Cached latents: every triple of subject, place and motion once: 12 min.
    $python -m training.cache_latents --autoencoder "$vae" --run sb-latents --clips 6720 --seed 5
    $python -m training.cache_latents --autoencoder "$vae" --run sb-strangers --strangers \
        --clips 900 --seed 5
}

denoiser() { # 3. Denoiser, on single frames, then clips of 4, 7 and all 13 latent frames: 123 min.
    $python -m training.train_denoiser --run sb-denoiser --latents sb-latents \
        --strangers sb-strangers --autoencoder "$vae" $start --plan 1:15,4:10,7:15,13:83 \
        --lr 2e-3 --clean-first 0.3 --more-of spin:3 --partial 0.3 --close-ups 0.6 \
        --subject-weight 6 --seed 3
}

pack() { # 4. LTXPipeline folder in half precision: a minute.
    $python -m training.pack --denoiser sb-denoiser --autoencoder "$vae" \
        --latents sb-latents --out "$runs/sb-pocket"
}

student() { # 5. Student, which needs four steps without guidance: 30 min.
    $python -m training.train_student --run sb-student --teacher "$runs/sb-pocket" \
        --latents sb-latents --strangers sb-strangers --minutes 30 --batch 8 \
        --out "$runs/sb-pocket-distilled"
}

upsampler() { # 6. Upsampler and decoder, also on what the student makes: 45 min.
    $python -m training.student_latents --latents sb-latents --clips 2000 \
        --teacher "$runs/sb-pocket" --student "$runs/sb-pocket-distilled"
    $python -m training.train_upsampler --run sb-upsampler --autoencoder "$vae" \
        --latents sb-latents --minutes 40
    $python -m training.pack --denoiser sb-denoiser --autoencoder "$vae" \
        --upsampler sb-upsampler --latents sb-latents --out "$runs/sb-drawn"
}

measure() { # 7. Judges and evaluation: 500 prompts and 200 pictures not used in training: 1 h.
    $python -m training.judges
    $python -m training.evaluate --workers 2 --weights "$runs/sb-drawn" --steps 4 \
        --guidance 1 --transformer "$runs/sb-pocket-distilled" \
        --only "text,pictures,autoencoder,strange pictures,samples"
}

for stage in "${@:-autoencoder latents denoiser pack student upsampler measure}"; do
    for part in $stage; do
        "$part"
    done
done
