from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from errors import ErrorCode, KinoraError
from jobs.database import Database
from settings import ROOT, Settings, env_name


def test_every_setting_is_described() -> None:
    for name, _, description in Settings.table():
        assert description.strip(), name
        assert name == name.upper()


def test_names_that_other_systems_use_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "DEFAULT_TEXT_TO_VIDEO_MODEL": "ltx",
        "TORCH_DTYPE": "torch.bfloat16",
        "VIDEO_WIDTH": "512",
        "MAX_VIDEO_FILE_SIZE": "12",
        "KINORA_MAX_QUEUE": "7",
        "KINORA_DATA_DIR": "/tmp/elsewhere",  # noqa: S108
    }.items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert settings.default_text_to_video_model == "ltx"
    assert settings.torch_dtype == "bfloat16"
    assert settings.video_width == 512
    assert settings.max_video_file_size_bytes == 12_000_000
    assert settings.max_queue == 7
    assert settings.database_url == "sqlite:////tmp/elsewhere/kinora.db"


def test_a_file_says_what_the_environment_leaves_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Settings.model_config.get("env_file") == ROOT / ".env"
    (tmp_path / ".env").write_text(
        "# ours\nVIDEO_WIDTH=512\nKINORA_MAX_QUEUE=7\nREDIS_URL='redis://queue:6379/0'\n"
        "HF_TOKEN=hf_ofTheFile\nSOMETHING_ELSE=1\n"
    )
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    monkeypatch.setenv("KINORA_MAX_QUEUE", "9")
    settings = Settings.load()
    assert (settings.video_width, settings.max_queue) == (512, 9)
    assert settings.redis_address == "redis://queue:6379/0"
    assert settings.hf_token and settings.hf_token.get_secret_value() == "hf_ofTheFile"
    assert "hf_ofTheFile" not in f"{settings!r} {settings.model_dump_json()}"


def test_an_empty_variable_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEO_WIDTH", "")
    monkeypatch.setenv("KINORA_MAX_QUEUE", "")
    settings = Settings.load()
    assert settings.video_width is None
    assert settings.max_queue == 100


def test_wrong_values_are_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINORA_MAX_QUEUE", "0")
    monkeypatch.setenv("TORCH_DTYPE", "int4secret")
    with pytest.raises(KinoraError) as caught:
        Settings.load()
    assert caught.value.code is ErrorCode.INVALID_INPUT
    assert "KINORA_MAX_QUEUE" in caught.value.message
    assert "TORCH_DTYPE" in caught.value.message
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("executor", "zero_gpu", "kind"),
    [
        ("auto", "", "process"),
        ("auto", "1", "inline"),
        ("process", "1", "process"),
        ("inline", "", "inline"),
    ],
)
def test_the_executor_follows_zero_gpu_unless_told(
    monkeypatch: pytest.MonkeyPatch, executor: str, zero_gpu: str, kind: str
) -> None:
    monkeypatch.setenv("KINORA_EXECUTOR", executor)
    monkeypatch.setenv("SPACES_ZERO_GPU", zero_gpu)
    assert Settings.load().executor_kind == kind


def test_the_token_is_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdef")
    assert "hf_abcdef" not in repr(Settings.load())


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with pytest.raises(ValueError, match="frozen"):
        settings.max_queue = 3
    assert settings.database_url == f"sqlite:///{tmp_path}/kinora.db"


def test_env_name_speaks_the_language_of_the_table() -> None:
    assert env_name("data_dir") == "KINORA_DATA_DIR"
    assert env_name("torch_dtype") == "TORCH_DTYPE"


def test_redis_may_be_given_by_host_as_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load().executor_kind == "process"
    monkeypatch.setenv("REDIS_HOST", "redis.example")
    assert Settings.load().redis_address == "redis://redis.example:6379/0"
    assert Settings.load().executor_kind == "redis"
    monkeypatch.setenv("REDIS_URL", "redis://other:1/2")
    assert Settings.load().redis_address == "redis://other:1/2"


def test_a_database_of_another_kind_is_refused_with_a_sentence() -> None:
    with pytest.raises(KinoraError, match="SQLite or PostgreSQL"):
        Database("mysql://somewhere/kinora")


@pytest.mark.parametrize(
    ("missing", "settings"),
    [("rq", {"REDIS_URL": "redis://x"}), ("psycopg", {"DATABASE_URL": "postgresql://x/y"})],
)
def test_what_a_fleet_needs_besides_is_asked_for_by_name(
    missing: str, settings: dict[str, str], tmp_path: Path
) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "import importlib.util as u; find = u.find_spec\n"
        f"u.find_spec = lambda name, *a: None if name == {missing!r} else find(name, *a)\n"
        "from app import build_service; from settings import Settings\n"
        "build_service(Settings.load())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | settings | {"KINORA_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert "requirements-scale.txt" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        ("https://example.org", ("https://example.org",)),
        (" https://Example.org/ ,, http://a.b:8080", ("https://example.org", "http://a.b:8080")),
        ("https://*.example.org", ("https://*.example.org",)),
        ("http://[::1]:7860", ("http://[::1]:7860",)),
        ("*", ("*",)),
        ("", ()),
    ],
)
def test_origins_that_may_embed_the_page(
    given: str, origins: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KINORA_EMBED_ORIGINS", given)
    settings = Settings.load()
    assert settings.embed_origins == origins
    assert settings.may_be_framed is bool(origins)


@pytest.mark.parametrize(
    "wrong",
    [
        "example.org", "https://example.org/page", "https://a b", "https://a; script-src *",
        "https://a\r\nX: y", "javascript:alert(1)", "'none'", "https://*",
        "https://a.*.org", "null",
    ],
)  # fmt: skip
def test_what_is_no_origin_is_refused_by_name(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINORA_EMBED_ORIGINS", wrong)
    with pytest.raises(KinoraError, match="KINORA_EMBED_ORIGINS"):
        Settings.load()


def test_a_scene_is_a_public_address_of_spline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KINORA_SPLINE_SCENE", raising=False)
    assert Settings.load().scene_origin is None
    monkeypatch.setenv("KINORA_SPLINE_SCENE", " https://my.spline.design/a-scene-1a2b/ ")
    settings = Settings.load()
    assert settings.spline_scene == "https://my.spline.design/a-scene-1a2b/"
    assert settings.scene_origin == "https://my.spline.design"
    for wrong in (
        "http://my.spline.design/a/", "https://my.spline.design.evil.test/a/",
        "https://evil.test/", "https://my.spline.design/a; script-src *", "javascript:alert(1)",
        "https://my.spline.design/a/b/", "https://my.spline.design@evil.test/a",
    ):  # fmt: skip
        monkeypatch.setenv("KINORA_SPLINE_SCENE", wrong)
        with pytest.raises(KinoraError, match="KINORA_SPLINE_SCENE"):
            Settings.load()
