"""Stage 4: writes the weights as an LTXPipeline folder.  python -m training.pack

Half precision, safetensors, files under 9 MB and 46 MB in total, so that the repository can be
pushed to a Space as it is.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch

from training.evaluation.clip_generator import POCKET, UPSAMPLER
from training.loop import RUNS
from training.models import UpsamplingDecoder
from training.tokenizer import build_tokenizer
from training.train_denoiser import ConditionedDenoiser, LatentDataset, build_pipeline

FILE_LIMIT_BYTES = 9_000_000
ALL_LIMIT_BYTES = 46_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--denoiser", default="denoiser")
    parser.add_argument(
        "--autoencoder", default="autoencoder", help="a run, or a pipeline's folder"
    )
    parser.add_argument("--upsampler", help="a run of train_upsampler, for its decoder too")
    parser.add_argument("--latents", default="latents")
    parser.add_argument("--out", type=Path, default=POCKET)
    args = parser.parse_args()

    # 1. The pipeline from the checkpoint's averaged weights.
    tokenizer = build_tokenizer()
    state = torch.load(RUNS / args.denoiser / "state.pt", map_location="cpu", weights_only=True)
    pipe = build_pipeline(
        ConditionedDenoiser(tokenizer),
        tokenizer,
        state["ema"],
        RUNS / args.autoencoder,
        LatentDataset(RUNS / args.latents),
    )
    drawn = None
    if args.upsampler:
        drawn = UpsamplingDecoder.load(RUNS / args.upsampler, RUNS / args.autoencoder)
        pipe.vae.decoder.load_state_dict(drawn.decoder.state_dict())
    pipe.to(dtype=torch.float16)

    # 2. Write to a temporary folder, in half precision and small shards.
    part = args.out.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    pipe.save_pretrained(part, safe_serialization=True, max_shard_size="8MB")
    if drawn:
        drawn.upsampler.half().save_pretrained(part / UPSAMPLER, safe_serialization=True)
    # transformers loads in the config's precision, diffusers in float32: use float32 for both
    config = part / "text_encoder" / "config.json"
    about = json.loads(config.read_text()) | {"dtype": "float32"}
    config.write_text(json.dumps(about, indent=2, sort_keys=True) + "\n")
    for config in part.rglob("*.json"):  # do not publish local paths
        about = json.loads(config.read_text())
        if about.pop("_name_or_path", None) is not None:
            config.write_text(json.dumps(about, indent=2, sort_keys=True) + "\n")
    # 3. Keep the model card, check the sizes, replace the old folder.
    card = args.out / "README.md"
    if card.exists():
        shutil.copy(card, part / "README.md")
    sizes = {path: path.stat().st_size for path in part.rglob("*") if path.is_file()}
    for path, size in sorted(sizes.items()):
        print(f"{size / 1e6:7.2f} MB  {path.relative_to(part)}")
    if max(sizes.values()) > FILE_LIMIT_BYTES or sum(sizes.values()) > ALL_LIMIT_BYTES:
        raise SystemExit(
            f"too large for the repository: {sum(sizes.values()) / 1e6:.1f} MB in total"
        )
    shutil.rmtree(args.out, ignore_errors=True)
    part.rename(args.out)
    print(
        f"{sum(sizes.values()) / 1e6:.1f} MB in total; step {state['step']}, "
        f"{state['spent_s'] / 60:.0f} minutes of training"
    )


if __name__ == "__main__":
    main()
