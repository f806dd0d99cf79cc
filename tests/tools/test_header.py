"""The README's header is one that the Hub takes, and what a Space installs can be installed."""

from __future__ import annotations

import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml
from huggingface_hub import SpaceHardware
from packaging.specifiers import SpecifierSet

from settings import ROOT
from tools.space.stage import REQUIREMENTS, check_header, pin_requirements

Check = Callable[[Any], bool]
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
HARDWARE = {each.value for each in SpaceHardware}
DURATION = re.compile(r"[1-9]\d{0,4}(s|m|h)")
SCOPES = {"email", "read-repos", "write-repos", "manage-repos", "inference-api", "read-billing"}


def is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def is_list(value: Any) -> bool:
    return isinstance(value, list) and all(is_text(each) for each in value)


def is_one_emoji(value: Any) -> bool:
    """A symbol, and what joins or colours symbols: nothing that could stand in a word."""
    kinds = {unicodedata.category(letter) for letter in value} if is_text(value) else {"L"}
    return kinds <= {"So", "Mn", "Sk", "Cf"} and "So" in kinds and len(value) <= 8


def is_in(*allowed: str) -> Check:
    return lambda value: value in allowed


KEYS: dict[str, Check] = {
    "title": is_text,
    "emoji": is_one_emoji,
    "colorFrom": is_in(*COLOURS),
    "colorTo": is_in(*COLOURS),
    "sdk": is_in("gradio", "docker", "static"),
    # as a number, 3.10 would be 3.1
    "python_version": lambda v: isinstance(v, str) and bool(re.fullmatch(r"3\.\d+(\.\d+)?", v)),
    "sdk_version": lambda v: isinstance(v, str) and bool(re.fullmatch(r"\d+\.\d+\.\d+", v)),
    "suggested_hardware": is_in(*HARDWARE),
    "suggested_storage": is_in("small", "medium", "large"),
    "app_file": lambda v: is_text(v) and (ROOT / v).is_file(),
    "app_build_command": is_text,
    "app_port": lambda v: isinstance(v, int) and 0 < v < 65536,
    "base_path": lambda v: is_text(v) and v.startswith("/"),
    "fullWidth": is_bool,
    "header": is_in("mini", "default"),
    "short_description": lambda v: is_text(v) and len(v) <= 60,
    "models": is_list,
    "datasets": is_list,
    "tags": is_list,
    "thumbnail": lambda v: is_text(v) and v.startswith("https://"),
    "pinned": is_bool,
    "license": is_text,
    "hf_oauth": is_bool,
    "hf_oauth_expiration_minutes": lambda v: isinstance(v, int) and v > 0,
    "hf_oauth_scopes": lambda v: is_list(v) and set(v) <= SCOPES,
    "hf_oauth_authorized_org": lambda v: is_text(v) or is_list(v),
    "disable_embedding": is_bool,
    "startup_duration_timeout": lambda v: isinstance(v, str) and bool(DURATION.fullmatch(v)),
    "custom_headers": lambda v: isinstance(v, dict),
    "preload_from_hub": is_list,
}
"""Every key that exists, by https://huggingface.co/docs/hub/spaces-config-reference (and `license`
by https://huggingface.co/docs/hub/model-cards). `zero-a10g` is not on that page; the Hub's own
library has it (huggingface_hub.SpaceHardware)."""


def wrong(header: dict[str, Any]) -> list[str]:
    return [key for key, value in header.items() if key not in KEYS or not KEYS[key](value)]


def test_the_header_has_only_keys_that_exist_with_values_of_their_kind() -> None:
    header = check_header(ROOT)
    assert wrong(header) == []
    assert {"title", "emoji", "sdk", "sdk_version", "python_version", "app_file"} <= set(header)
    assert header["header"] == "mini"
    assert header["suggested_hardware"] == "zero-a10g"
    assert header["pinned"] is False


@pytest.mark.parametrize(
    "line",
    [
        "short_description: " + "x" * 61,
        "colorFrom: violet",
        "emoji: film",
        "emoji: A🎞️",
        "python_version: 3.12",
        "sdk_version: 6",
        "header: small",
        "suggested_hardware: zero-gpu",
        "pinned: maybe",
        "startup_duration_timeout: 1 hour",
        "app_file: main.py",
        "preload_from_hub: a/b",
        "suggested_hardwear: zero-a10g",
    ],
)
def test_a_header_that_the_hub_would_not_take_is_found(line: str) -> None:
    assert wrong(yaml.safe_load(line)) == [line.split(":")[0]]


def test_the_versions_of_the_header_are_ones_that_the_requirements_allow() -> None:
    header = check_header(ROOT)
    lines = (ROOT / REQUIREMENTS).read_text().splitlines()
    (gradio,) = (line for line in lines if line.startswith("gradio"))
    assert header["sdk_version"] in SpecifierSet(gradio.split("]")[1])
    assert header["python_version"] in SpecifierSet(">=3.10,<3.14")


# -- the pip line of a Space ---------------------------------------------------------------------


def resolve(file: Path, *more: str, options: tuple[str, ...] = ()) -> tuple[bool, str]:
    """What a ZeroGPU Space runs, as its build logs show it, without installing anything."""
    header = check_header(ROOT)
    command = [
        *(sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"),
        *("--disable-pip-version-check", "--python-version", str(header["python_version"])),
        *("--only-binary=:all:", "--target", str(file.parent / "nowhere")),
        *("-r", str(file), *more, *options),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stderr


def what_a_space_adds() -> list[str]:
    """The ceiling of torch and the version of `spaces` are those of September 2026."""
    version = check_header(ROOT)["sdk_version"]
    gradio = f"gradio[oauth,mcp]=={version}"
    return [gradio, "uvicorn>=0.14.0", "websockets>=10.4", "torch<=2.13.0", "spaces==0.51.3"]


@pytest.mark.slow
def test_what_a_space_installs_fits_together(tmp_path: Path) -> None:
    """With torch pinned as `make space` does. Asks the package index; a minute, for the index may
    have to send the whole of torch for what it needs."""
    file = tmp_path / REQUIREMENTS
    file.write_text((ROOT / REQUIREMENTS).read_text())
    pin_requirements(file)
    fits, said = resolve(file, *what_a_space_adds())
    if not fits and "conflict" not in said.lower() and "Resolution" not in said:
        reach = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", str(tmp_path)]
        if subprocess.run([*reach, "ftfy"], capture_output=True, check=False).returncode:
            pytest.skip("the package index cannot be reached")
    assert fits, said


def test_requirements_that_do_not_fit_together_would_be_found(tmp_path: Path) -> None:
    """The same line on an index of three small packages."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    wheel(wheels, "torch", "2.10.0")
    wheel(wheels, "torch", "2.13.0")
    wheel(wheels, "speedy", "1.0", needs="torch>=2.12")
    offline = ("--no-index", "--find-links", str(wheels))
    file = tmp_path / REQUIREMENTS
    file.write_text("torch>=2.9.1,<2.14\nspeedy\n")
    assert resolve(file, "torch<=2.13.0", options=offline)[0]
    pin_requirements(file)
    fits, said = resolve(file, "torch<=2.13.0", options=offline)
    assert not fits
    assert "ResolutionImpossible" in said


def wheel(folder: Path, name: str, version: str, needs: str = "") -> None:
    info = f"{name}-{version}.dist-info"
    with ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        need = f"Requires-Dist: {needs}\n" if needs else ""
        about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{need}"
        file.writestr(f"{info}/METADATA", about)
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
