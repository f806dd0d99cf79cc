"""Lists the texts that people read, and those without a translation: `python -m tools.texts`.

Texts stand in the code, in English. In the catalogues (`presets/languages`) the same text, with a
name for each value, is the key. `--untranslated` prints only what has no entry, as
`docs/untranslated.txt` holds it; tests/test_languages.py compares the two.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from errors import split_sentence
from media.operations.operation import Operation
from media.operations.registry import OPERATIONS
from tools.page_texts import find_texts
from tools.server_texts import find_labels, find_sentences

ROOT = Path(__file__).resolve().parent.parent
STATIC = ROOT / "ui" / "static"
POLICY = ROOT / "presets" / "policy.yaml"
CATALOGUES = ROOT / "presets" / "languages"
PLACEHOLDER = re.compile(r"\{[a-z]+\}")
FOLDERS = ("jobs", "pipelines", "media", "web", "ui", "api")
FOR_OPERATORS = (
    "media/operations/ass_script.py",
    "web/metrics.py", "jobs/artifacts.py", "jobs/fleet/requirements.py", "jobs/fleet/worker.py",
    "jobs/database.py", "api/openapi.py", "ui/mcp_tools.py", "ui/endpoint_parameters.py",
    "ui/gradio_api.py", "ui/patches.py", "ui/prompt_endpoints.py", "ui/share_endpoints.py",
    "web/admin_page.py", "web/admin_access.py", "api/admin_pages.py", "web/moderation_metrics.py",
    "api/ops.py", "jobs/policy/own_filter.py", "jobs/policy/prompt_rules.py",
    "pipelines/engine/frame_filter.py", "pipelines/models/cards.py", "pipelines/planning/device.py",
    "media/provenance/claims.py", "ui/comparable_settings.py", "pipelines/engine/samplers.py",
    "jobs/workers/backend.py", "pipelines/request_fields.py",
)  # fmt: skip
"""What only operators and developers read stays English."""
NOT_IN_EDITOR = ("join",)
"""Operations of which the page shows a timeline in place of the fields."""
LONGEST_FIELD = 2000
"""Letters of a field that the editor shows; a longer one is for programs."""


def texts() -> Iterator[tuple[str, str]]:
    """Each text with the file that it is in, `{}` for each value."""
    for path in sorted(STATIC.rglob("*.js")):
        if "vendor" not in path.parts:
            for text in find_texts(path.read_text(encoding="utf-8")):
                yield path.relative_to(ROOT).as_posix(), text
    for category in yaml.safe_load(POLICY.read_text(encoding="utf-8"))["categories"].values():
        for text in (category["title"], *_sentences(category["change"])):
            yield POLICY.relative_to(ROOT).as_posix(), text
    for name, model in OPERATIONS.items():
        if name not in NOT_IN_EDITOR:
            yield from (("media/operations", text) for text in operation_texts(model))
    for path in [ROOT / "errors.py", *_modules()]:
        name = path.relative_to(ROOT).as_posix()
        source = path.read_text(encoding="utf-8")
        for text in dict.fromkeys([*find_sentences(source), *find_labels(source)]):
            yield name, " ".join(text.split())


def operation_texts(model: type[Operation]) -> Iterator[str]:
    """What the editor shows of an operation: its title, what it does, and notes of its fields."""
    yield model.title
    yield from _sentences(" ".join((model.__doc__ or "").split()))
    for field in model.model_json_schema()["properties"].values():
        is_file = "{64}" in json.dumps(field)
        if not is_file and field.get("maxLength", 0) <= LONGEST_FIELD:
            yield from _sentences(field.get("description", ""))


def _sentences(text: str) -> Iterator[str]:
    while text:
        sentence, text = split_sentence(text)
        yield sentence


def _modules() -> Iterator[Path]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.relative_to(ROOT).as_posix() not in FOR_OPERATORS:
                yield path


def normal(text: str) -> str:
    """The same for a text of the code and for the key of its entry."""
    return re.sub(r"\s+", " ", PLACEHOLDER.sub("{}", text)).strip()


def catalogue(path: Path) -> Mapping[str, object]:
    return json.loads(path.read_text(encoding="utf-8"))["texts"]


def known(path: Path = CATALOGUES / "de.json") -> set[str]:
    """All catalogues have the same keys."""
    return {normal(key) for key in catalogue(path)}


def untranslated() -> list[str]:
    """`file: text`, in the order of the files."""
    entries = known()
    missing = (
        (name, text)
        for name, text in texts()
        if normal(text) not in entries
        and not all(normal(each) in entries for each in _sentences(text))
    )
    return list(dict.fromkeys(f"{name}: {text}" for name, text in missing))


def unused() -> list[str]:
    """Keys that no text of the code has. Some texts are put together from several."""
    found = {normal(text) for _, text in texts()}
    return sorted(key for key in catalogue(CATALOGUES / "de.json") if normal(key) not in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--untranslated", action="store_true", help="only what has no entry")
    parser.add_argument("--unused", action="store_true", help="only keys without a text")
    options = parser.parse_args()
    if options.unused:
        print("\n".join(unused()))
        return
    missing = untranslated()
    for line in missing:
        print(line)
    if not options.untranslated:
        total = len(dict.fromkeys(normal(text) for _, text in texts()))
        print(f"\n{total} texts, {len(missing)} places without a translation.")


if __name__ == "__main__":
    main()
