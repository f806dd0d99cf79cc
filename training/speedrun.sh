#!/bin/sh
# The pocket model of the storybook, from nothing: every stage resumes where it was stopped.
# Hours on two idle CPU cores are beside each stage; one GPU needs about a tenth of them.
# Runs (checkpoints, logs, sample sheets) are kept in training/runs, which may be a symlink.
#   training/speedrun.sh [autoencoder|clips|latents|denoiser|pack|student ...]
set -eu
cd "$(dirname "$0")/.."
export KINORA_WORLD=storybook OMP_NUM_THREADS="${OMP_NUM_THREADS:-2}"
python="${PYTHON:-.venv/bin/python}"

autoencoder() { # 1. Pixels to latents and back, by crops near the subject: about 5 h.
    $python -m training.train_autoencoder --run storybook-autoencoder --steps 12000 --side 128 \
        --frames 13 --batch 8 --lr 2e-3 --equivariance 0.3 --latent-noise 0.2 --seed 1
}

for stage in "${@:-autoencoder}"; do
    "$stage"
done
