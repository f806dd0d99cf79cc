"""Stage 4: the shipped weights.  python -m training.pack

Half precision, safetensors, no file over 9 MB and all of them under 46 MB, so that the repository
can be pushed to a Space as it is. The folder is an ordinary LTXPipeline.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch

from training.evaluate import POCKET
from training.loop import RUNS
from training.tokenizer import tokenizer
from training.train_denoiser import Latents, Model, export

FILE_LIMIT_BYTES = 9_000_000
ALL_LIMIT_BYTES = 46_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--denoiser", default="denoiser")
    parser.add_argument(
        "--autoencoder", default="autoencoder", help="a run, or a pipeline's folder"
    )
    parser.add_argument("--latents", default="latents")
    parser.add_argument("--out", type=Path, default=POCKET)
    args = parser.parse_args()

    words = tokenizer()
    state = torch.load(RUNS / args.denoiser / "state.pt", map_location="cpu", weights_only=True)
    pipe = export(
        Model(words), words, state["ema"], RUNS / args.autoencoder, Latents(RUNS / args.latents)
    )
    pipe.to(dtype=torch.float16)
    part = args.out.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    pipe.save_pretrained(part, safe_serialization=True, max_shard_size="8MB")
    # transformers loads in the precision that a config names, diffusers in single: agree on single
    config = part / "text_encoder" / "config.json"
    about = json.loads(config.read_text()) | {"dtype": "float32"}
    config.write_text(json.dumps(about, indent=2, sort_keys=True) + "\n")
    for config in part.rglob("*.json"):  # where a part was loaded from is nobody's business
        about = json.loads(config.read_text())
        if about.pop("_name_or_path", None) is not None:
            config.write_text(json.dumps(about, indent=2, sort_keys=True) + "\n")
    card = args.out / "README.md"
    if card.exists():
        shutil.copy(card, part / "README.md")
    sizes = {path: path.stat().st_size for path in part.rglob("*") if path.is_file()}
    for path, size in sorted(sizes.items()):
        print(f"{size / 1e6:7.2f} MB  {path.relative_to(part)}")
    if max(sizes.values()) > FILE_LIMIT_BYTES or sum(sizes.values()) > ALL_LIMIT_BYTES:
        raise SystemExit(f"too large for the repository: {sum(sizes.values()) / 1e6:.1f} MB in all")
    shutil.rmtree(args.out, ignore_errors=True)
    part.rename(args.out)
    print(
        f"{sum(sizes.values()) / 1e6:.1f} MB in all; step {state['step']}, "
        f"{state['spent_s'] / 60:.0f} minutes of training"
    )


if __name__ == "__main__":
    main()
