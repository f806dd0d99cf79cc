"""`.env` as people save it: any encoding is read or refused with the line, and nothing is ignored
in silence."""

from __future__ import annotations

import codecs
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import URL, make_url

from envfile import sqlite_url
from errors import KinoraError
from jobs.artifacts import Artifacts
from jobs.store import JobStore
from settings import ROOT, Settings, env_name
from tests.forks import Forks

Write = Callable[..., None]
KNOWN = {env_name(field) for field in Settings.model_fields}
ENCODINGS = {
    "utf-8": b"",
    "utf-8 with a mark": codecs.BOM_UTF8,
    "utf-16-le": b"",
    "utf-16-le with a mark": codecs.BOM_UTF16_LE,
    "utf-16-be": b"",
    "utf-16-be with a mark": codecs.BOM_UTF16_BE,
    "utf-32-le with a mark": codecs.BOM_UTF32_LE,
    "utf-32-be with a mark": codecs.BOM_UTF32_BE,
}
LETTERS = st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="'\ufeff\\$")


@pytest.fixture(scope="module")
def write(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Write]:
    """Makes the file that `Settings.load` reads."""
    path = tmp_path_factory.mktemp("env") / ".env"
    patch = pytest.MonkeyPatch()
    patch.setitem(Settings.model_config, "env_file", path)

    def write(text: str | bytes) -> None:
        path.write_bytes(text.encode() if isinstance(text, str) else text)

    yield write
    patch.undo()


def refused() -> str:
    with pytest.raises(KinoraError) as error:
        Settings.load()
    return error.value.message


# -- encodings -----------------------------------------------------------------------------------


@given(
    folder=st.text(LETTERS, min_size=1, max_size=20),
    encoding=st.sampled_from(sorted(ENCODINGS)),
    newline=st.sampled_from(["\n", "\r\n"]),
    comment=st.text(LETTERS, max_size=30),
)
@example(folder="h-bugs/d3", encoding="utf-16-le with a mark", newline="\n", comment="")
@example(folder="日本語のフォルダ", encoding="utf-16-be", newline="\n", comment="日本語のコメント")
def test_a_file_is_read_in_every_encoding_that_can_be_told(
    write: Write, folder: str, encoding: str, newline: str, comment: str
) -> None:
    lines = [f"# {comment}", f"export KINORA_DATA_DIR='/tmp/{folder}'", "KINORA_MAX_QUEUE = 7", ""]
    written = newline.join(lines).encode(encoding.split()[0])
    write(ENCODINGS[encoding] + written)
    settings = Settings.load()
    assert (settings.data_dir, settings.max_queue) == (Path(f"/tmp/{folder}"), 7)  # noqa: S108


def test_the_file_that_a_windows_shell_saved_is_read(write: Write) -> None:
    write(codecs.BOM_UTF16_LE + 'KINORA_DATA_DIR="/tmp/h-bugs/d3"\n'.encode("utf-16-le"))
    assert Settings.load().data_dir == Path("/tmp/h-bugs/d3")  # noqa: S108


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "cp437", "koi8-r"])
def test_a_value_in_an_old_encoding_is_refused_with_its_line(write: Write, encoding: str) -> None:
    word = "bücher" if encoding != "koi8-r" else "видео"
    write(f"# {word}\n\nKINORA_MAX_QUEUE=7\nKINORA_DATA_DIR=/tmp/{word}\n".encode(encoding))
    assert refused() == "Line 4 of .env: KINORA_DATA_DIR is not UTF-8 text. Save the file as UTF-8."


def test_a_comment_in_an_old_encoding_does_no_harm(write: Write) -> None:
    write("# für später\nKINORA_MAX_QUEUE=7 # größer?\n".encode("latin-1"))
    assert Settings.load().max_queue == 7


def test_two_encodings_in_one_file_are_refused_with_the_line(write: Write) -> None:
    wide = codecs.BOM_UTF16_LE + "KINORA_MAX_QUEUE=7\n".encode("utf-16-le")
    for added in (b"KINORA_MAX_BATCH=9\n", b"KINORA_MAX_BATCH=10\n"):
        write(wide + added)
        assert re.match(r"Line 2 of \.env: .*", refused())


# -- what is in a line ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "KINORA_MAX_QUEUE=7",
        "export KINORA_MAX_QUEUE=7",
        "  KINORA_MAX_QUEUE  =  7  ",
        "KINORA_MAX_QUEUE='7'",
        'KINORA_MAX_QUEUE="7"',
        "KINORA_MAX_QUEUE=7 # seven",
        "KINORA_MAX_QUEUE=7\r",
        "kinora_max_queue=7",
        "KINORA_MAX_BATCH=7\nKINORA_MAX_QUEUE=${KINORA_MAX_BATCH}",
        "\ufeffKINORA_MAX_QUEUE=7",
    ],
)
def test_every_usual_way_to_write_a_line_is_understood(write: Write, line: str) -> None:
    write(f"{line}\n")
    assert Settings.load().max_queue == 7


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("KINORA_MAX_QUEUE 7", "NAME=value"),
        ("KINORA_MAX_QUEUE: 7", "NAME=value"),
        ("set KINORA_MAX_QUEUE=7", "NAME=value"),
        ("KINORA_MAX_QUEUE", "KINORA_MAX_QUEUE has no value"),
        ('KINORA_MAX_QUEUE="7', "NAME=value"),
        ("=7", "NAME=value"),
        ("KINORA_MAX_QEUE=7", "not a setting. Did you mean KINORA_MAX_QUEUE?"),
        ("KINORA_API_KEY=me:0123456789abcdef", "Did you mean KINORA_API_KEYS?"),
        ("KINORA_VIDEO_WIDTH=wide_secret", "VIDEO_WIDTH"),
        ("KINORA_NOTHING_LIKE_IT=1", "KINORA_NOTHING_LIKE_IT is not a setting."),
        ("KINORA_MAX_QUEUE=lots_of_secret", "integer"),
        ("KINORA_MAX_QUEUE=0", "greater"),
        ("KINORA_API_KEYS=me:secret", "at least 16"),
        ("KINORA_PREVIEWS=perhaps_secret", "boolean"),
        (r'KINORA_DATA_DIR="C:\new"', "single quotes"),
        ("KINORA_DATA_DIR=~nobody-of-this-name/x", "an unknown user"),
    ],
)
@pytest.mark.parametrize("before", [0, 3])
def test_a_wrong_line_is_one_sentence_with_its_number(
    write: Write, line: str, says: str, before: int
) -> None:
    write("\n" * before + f"{line}\nTORCH_DTYPE=float32\n")
    sentence = refused()
    assert says in sentence
    assert f"ine {before + 1} of .env" in sentence
    assert "secret" not in sentence and "0123456789abcdef" not in sentence
    assert "\n" not in sentence


@given(name=st.sampled_from(sorted(KNOWN)), cut=st.integers(0, 60), number=st.integers(1, 9))
def test_a_name_with_a_letter_missing_is_never_ignored(
    write: Write,
    name: str,
    cut: int,
    number: int,
) -> None:
    place = cut % len(name)
    wrong = name[:place] + name[place + 1 :]
    if wrong in KNOWN:
        return
    write("# one\n" * (number - 1) + f"{wrong}=x\n")
    with pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr(
            logging.getLogger("envfile"), "warning", lambda form, *a: said.append(form % a)
        )
        try:
            Settings.load()
        except KinoraError as error:
            said.append(error.message)
    assert any(f"Line {number} of .env" in each and name in each for each in said), said


def test_what_belongs_to_others_is_said_to_have_no_effect(
    write: Write, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = ("GRADIO_SERVER_PORT", "HF_HOME", "AWS_ACCESS_KEY_ID", "CUDA_VISIBLE_DEVICES")
    write("SOMETHING_ELSE=1\n" + "".join(f"{name}=x\n" for name in others))
    for name in others:
        monkeypatch.delenv(name, raising=False)
    Settings.load()
    for number, name in enumerate(others, 2):
        assert f"Line {number} of .env: {name} has no effect there." in caplog.text
    assert "SOMETHING_ELSE" not in caplog.text
    monkeypatch.setenv("HF_HOME", "x")
    caplog.clear()
    Settings.load()
    assert "HF_HOME" not in caplog.text, "it is in the environment as well"


def test_a_name_that_is_set_twice_is_named_with_both_lines(
    write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    write("KINORA_MAX_QUEUE=7\nTORCH_DTYPE=float32\nTORCH_DTYPE=float32\nKINORA_MAX_QUEUE=9\n")
    assert Settings.load().max_queue == 9
    assert "KINORA_MAX_QUEUE twice, on lines 1 and 4" in caplog.text
    assert "TORCH_DTYPE" not in caplog.text


def test_a_misspelt_variable_of_the_environment_is_said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KINORA_API_KEY", "me:0123456789abcdef")
    monkeypatch.setenv("KINORA_SERVICE_HOST", "10.0.0.1")  # Kubernetes writes such
    Settings.load()
    assert "KINORA_API_KEY is not a setting. Did you mean KINORA_API_KEYS?" in caplog.text
    assert "0123456789abcdef" not in caplog.text
    assert "SERVICE_HOST" not in caplog.text


def test_a_value_of_the_environment_is_not_blamed_on_the_file(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("KINORA_MAX_QUEUE=7\n")
    monkeypatch.setenv("KINORA_MAX_QUEUE", "many")
    assert "KINORA_MAX_QUEUE: " in refused()


def test_what_compose_reads_from_the_file_is_not_refused(write: Write) -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    names = sorted(set(re.findall(r"\$\{([A-Z_]+)", text)))
    assert "KINORA_PORT" in names
    write("".join(f"{name}=1234\n" for name in names if name not in KNOWN))
    Settings.load()


# -- the file itself -----------------------------------------------------------------------------


def test_a_folder_of_that_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").mkdir()
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    assert refused() == ".env is a folder. It must be a text file with lines like NAME=value."


def test_a_link_to_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").symlink_to("gone")
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    assert refused() == ".env points to a file that is not there."


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change to another user")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    file = tmp_path / ".env"
    file.write_text("KINORA_MAX_QUEUE=7\n")
    file.chmod(0)
    code = (
        "import os, sys; from pathlib import Path; from envfile import read_settings\n"
        "from errors import KinoraError; os.setuid(65534)\n"
        "try: read_settings(Path(sys.argv[1]), ())\n"
        "except KinoraError as error: print(error.message)"
    )
    tmp_path.parent.chmod(0o755)  # the way there
    tmp_path.parent.parent.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout == ".env cannot be read: permission denied.\n", done.stderr


def test_both_commands_end_with_the_sentence_and_status_2(tiny_env: dict[str, str]) -> None:
    code = (
        "import sys; from pathlib import Path; from settings import Settings\n"
        "Settings.model_config['env_file'] = Path(sys.argv.pop(1))\n"
        "from app import build_service, serve\nfrom cli.commands import Parts, command_line\n"
        "command_line(Parts(serve, build_service))"
    )
    file = Path(tiny_env["KINORA_DATA_DIR"]).parent / ".env"
    file.write_text("KINORA_MAX_QEUE=7\n")
    for command in (["generate", "x"], ["serve"]):
        done = subprocess.run(
            [sys.executable, "-c", code, str(file), *command],
            cwd=ROOT, env=tiny_env, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 2
        assert done.stderr.strip() == (
            "Line 1 of .env: KINORA_MAX_QEUE is not a setting. Did you mean KINORA_MAX_QUEUE?"
        )


# -- folders -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["KINORA_DATA_DIR", "KINORA_MODELS_DIR", "KINORA_LORAS_DIR", "KINORA_LOCAL_MODELS_DIR"]
)
def test_a_tilde_is_the_home_folder(
    write: Write, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    field = name.removeprefix("KINORA_").lower()
    write(f"{name}=~/clips\n")
    assert getattr(Settings.load(), field) == tmp_path / "clips"
    write("")
    monkeypatch.setenv(name, "~/clips")
    assert getattr(Settings.load(), field) == tmp_path / "clips"


FOLDERS = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="/\0"), min_size=1, max_size=30
).filter(lambda name: name not in (".", ".."))


@given(folder=FOLDERS)
@example(folder="a?b#c%20d %3F é")
def test_the_database_url_of_any_folder_names_that_folder(folder: str) -> None:
    path = Path("/tmp") / folder / "kinora.db"  # noqa: S108
    url = make_url(sqlite_url(path))
    assert url == URL.create("sqlite", database=str(path))
    assert (url.database, dict(url.query)) == (str(path), {})


@pytest.mark.parametrize(
    "name", ["a?b", "a#b", "a%20b", "a%3Fb", "a b", "ümlaut 日本", "a[1]*b", "a@b:c", "a&b=c;d"]
)
def test_a_data_folder_of_any_name_holds_its_own_database(tmp_path: Path, name: str) -> None:
    for folder in (name, name[0]):
        settings = Settings(_env_file=None, data_dir=tmp_path / folder)  # pyright: ignore[reportCallIssue]
        JobStore(settings.database_url).close()
        assert (tmp_path / folder / "kinora.db").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({name, name[0]})


@pytest.mark.parametrize("name", ["a?b", "a#b", "a b", "50%", "ümlaut", "a[1]*"])
def test_a_shared_folder_of_any_name_is_that_folder(tmp_path: Path, name: str) -> None:
    assert Artifacts(tmp_path, f"file://{tmp_path}/{name}").jobs == tmp_path / name / "jobs"
    assert Artifacts(tmp_path, f"{tmp_path}/{name}").jobs == tmp_path / name / "jobs"


def test_a_shared_folder_may_be_written_as_a_url_has_it(tmp_path: Path) -> None:
    name = "a?b#c d%é"
    assert Artifacts(tmp_path, (tmp_path / name).as_uri()).root == tmp_path / name


def test_a_clip_is_made_in_a_folder_of_any_name(
    tiny_env: dict[str, str], forks: Forks, tmp_path: Path
) -> None:
    data = tmp_path / "a?b #c%d [1]* 'é\"; $x"
    words = ["generate", "a dog", "--frames", "5", "--steps", "1"]
    done = forks.run_text(words, tiny_env | {"KINORA_DATA_DIR": str(data)})
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_file()
    assert {"kinora.db", "jobs"} <= {path.name for path in data.iterdir()}
