r"""Stage 8: puts packed weights into presets/ and what they know into the models' cards.

    python -m training.ship --weights training/runs/storybook-pocket \
        --student training/runs/storybook-pocket-distilled

The model cards' texts stay; `training.evaluate --card` writes their figures. Examples come from
`training.choose_examples`.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import textwrap
from pathlib import Path

import yaml

from training.current_world import FPS, FRAMES, PLACE_NAMES, SIDE, SUBJECT_NAMES
from training.models import ARCHITECTURE

PRESETS = Path(__file__).parents[1] / "presets"
POCKET, STUDENT = "pocket", "pocket-distilled"
LINE_WIDTH = 100


def replace_weights(source: Path, target: Path) -> None:
    """Replaces a folder of weights; its model card stays."""
    part = target.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(source, part)
    if (target / "README.md").exists():
        shutil.copy(target / "README.md", part / "README.md")
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)


def replace_value(card: str, key: str, value: object) -> str:
    """Sets a key of the card's text, at any depth. Raises ValueError unless it is there once."""
    changed, count = re.subn(rf"(?m)^(\s*){key}: .*$", rf"\g<1>{key}: {value}", card)
    if count != 1:
        raise ValueError(f"the card has {key} {count} times")
    return changed


def replace_block(card: str, key: str, block: str) -> str:
    """Replaces a top-level key with all its indented lines, or adds it at the end."""
    pattern = re.compile(rf"(?m)^{key}:.*\n(?:[ \t]+.*\n|- .*\n)*")
    if not pattern.search(card):
        return card + block
    return pattern.sub(lambda _: block, card, count=1)


def wrap_list(key: str, names: tuple[str, ...]) -> str:
    """A YAML list in brackets, in as few lines as fit."""
    text = f"[{', '.join(names)}]"
    if len(f"  {key}: {text}") <= LINE_WIDTH:
        return f"  {key}: {text}\n"
    wrapped = textwrap.fill(
        text, LINE_WIDTH, initial_indent="    ", subsequent_indent="     ", break_on_hyphens=False
    )
    return f"  {key}:\n{wrapped}\n"


def update_card(card: str, examples: list[dict[str, object]]) -> str:
    """The card's text for the present world's sizes and words; comments stay."""
    motions = yaml.safe_load(card)["knows"]["motions"]
    knows = "".join(
        wrap_list(key, tuple(names))
        for key, names in (
            ("subjects", SUBJECT_NAMES),
            ("places", PLACE_NAMES),
            ("motions", motions),
        )
    )
    card = replace_block(card, "knows", f"knows:\n{knows}")
    for key in ("width", "height", "min_width", "max_width", "min_height", "max_height"):
        card = replace_value(card, key, SIDE)
    for key, value in (("num_frames", FRAMES), ("max_frames", FRAMES), ("fps", FPS),
                       ("min_fps", FPS), ("max_fps", FPS)):  # fmt: skip
        card = replace_value(card, key, value)
    shape = f'shapes:\n  - {{label: "1:1", width: {SIDE}, height: {SIDE}}}\n'
    card = replace_block(card, "shapes", shape)
    card = replace_value(card, "frames", f"{{of: {ARCHITECTURE.time}, plus: 1}}")
    if examples:
        lines = [f"  - {{{', '.join(f'{k}: {v}' for k, v in e.items())}}}\n" for e in examples]
        card = replace_block(card, "examples", "examples:\n" + "".join(lines))
    return card


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, required=True, help="as written by training.pack")
    parser.add_argument("--student", type=Path, required=True)
    parser.add_argument("--examples", type=Path, help="as written by training.choose_examples")
    parser.add_argument("--presets", type=Path, default=PRESETS)
    args = parser.parse_args()

    examples = json.loads(args.examples.read_text()) if args.examples else {}
    for name, weights in ((POCKET, args.weights), (STUDENT, args.student)):
        card = args.presets / "models" / f"{name}.yaml"
        text = update_card(card.read_text(), examples.get(name, []))
        replace_weights(weights, args.presets / name)
        card.write_text(text)
        print(f"{card}: {SIDE}x{SIDE}, {FRAMES} frames, {len(SUBJECT_NAMES)} subjects")


if __name__ == "__main__":
    main()
