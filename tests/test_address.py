"""A port that was asked for is used or refused by name; one that was not may be the next one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli import address
from cli.address import choose_address
from errors import ErrorCode, KinoraError
from settings import ROOT
from tests.ports import free_port


@contextmanager
def listening(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as taken:
        try:
            taken.bind((host, port))
        except OSError:
            pytest.skip(f"this machine has no address {host}")
        taken.listen()
        yield int(taken.getsockname()[1])


def refusal(**environment: str) -> KinoraError:
    with pytest.raises(KinoraError) as error:
        choose_address(environment)
    return error.value


@pytest.mark.parametrize("host", ["", "127.0.0.1", "0.0.0.0", "localhost"])  # noqa: S104
def test_a_busy_port_is_refused_with_the_program_that_has_it(host: str) -> None:
    with listening() as port:
        error = refusal(GRADIO_SERVER_NAME=host, GRADIO_SERVER_PORT=str(port))
    assert error.code is ErrorCode.UNAVAILABLE
    assert f"Port {port} is in use by " in error.message and f"(process {os.getpid()})" in str(
        error
    )
    assert "GRADIO_SERVER_PORT" in error.message


@pytest.mark.parametrize("there", ["0.0.0.0", "::", "::1"])  # noqa: S104
@pytest.mark.parametrize("host", ["::1", "[::1]", "::"])
def test_a_busy_port_is_found_in_both_families(there: str, host: str) -> None:
    with listening(there) as port:
        error = refusal(GRADIO_SERVER_NAME=host, GRADIO_SERVER_PORT=str(port))
    assert f"Port {port} is in use by " in error.message


def test_an_ipv6_address_is_given_as_gradio_takes_it() -> None:
    with listening("::1"):
        pass
    environment = {"GRADIO_SERVER_NAME": "::1", "GRADIO_SERVER_PORT": str(free_port())}
    chosen = choose_address(environment)
    assert chosen["server_name"] == "[::1]"
    assert "GRADIO_SERVER_NAME" not in environment


@pytest.mark.parametrize("empty", [{}, {"GRADIO_SERVER_PORT": ""}, {"GRADIO_SERVER_PORT": " "}])
def test_a_port_that_was_left_to_choice_is_the_next_free_one_and_said(
    empty: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with listening(port=free_port()) as usual:
        monkeypatch.setattr(address, "USUAL_PORT", usual)
        environment = dict(empty)
        chosen = choose_address(environment)
    assert usual < chosen["server_port"] < usual + 100
    assert f"Port {usual} is in use by " in caplog.text
    assert f"on port {chosen['server_port']} instead" in caplog.text
    assert "GRADIO_SERVER_PORT" not in environment, "an empty one ends Gradio's import"


def test_where_all_ports_to_choose_from_are_in_use_they_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with listening() as usual:
        monkeypatch.setattr(address, "USUAL_PORT", usual)
        assert f"The ports {usual} to {usual} are all in use." in str(refusal(GRADIO_NUM_PORTS="1"))


def test_zero_is_any_port_that_is_free() -> None:
    port = choose_address({"GRADIO_SERVER_PORT": "0"})["server_port"]
    assert port > 1023
    with listening(port=port):
        pass


@given(
    st.one_of(
        st.integers().filter(lambda n: not 0 <= n <= 65535).map(str),
        st.text("0123456789.-+ex _٣", min_size=1).filter(
            lambda t: t.strip() and not (t.strip().isascii() and t.strip().isdecimal())
        ),
    )
)
def test_what_is_no_port_is_refused(value: str) -> None:
    error = refusal(GRADIO_SERVER_PORT=value)
    assert error.code is ErrorCode.INVALID_INPUT
    assert "from 1 to 65535" in error.message


@pytest.mark.parametrize("host", ["192.0.2.1", "no such name", "nowhere.invalid", "2001:db8::1"])
def test_an_address_that_is_not_here_is_refused(host: str) -> None:
    error = refusal(GRADIO_SERVER_NAME=host, GRADIO_SERVER_PORT=str(free_port()))
    assert error.code is ErrorCode.INVALID_INPUT
    assert "GRADIO_SERVER_NAME" in error.message and host in error.message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change to another user")
def test_a_port_without_the_right_to_it_is_a_sentence() -> None:
    code = (
        "import os; from cli.address import choose_address; from errors import KinoraError\n"
        "'x'.encode('idna'); os.setuid(65534)\n"
        "try: print(choose_address({'GRADIO_SERVER_PORT': '81'}))\n"
        "except KinoraError as error: print(error.message)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    if "server_port" in done.stdout:
        pytest.skip("every user may use every port here (net.ipv4.ip_unprivileged_port_start)")
    assert done.stdout.startswith("Port 81 needs rights that this process does not have."), done


@pytest.mark.parametrize("how", ["variable", "option"])
def test_serve_ends_before_it_starts_anything(how: str, tiny_env: dict[str, str]) -> None:
    with listening() as port:
        given_port = {"GRADIO_SERVER_PORT": str(port)} if how == "variable" else {}
        options = ["serve", "--port", str(port)] if how == "option" else []
        done = subprocess.run(
            [sys.executable, "app.py", *options],
            cwd=ROOT, env=tiny_env | given_port, capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode == 1
    assert f"Port {port} is in use by " in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path(tiny_env["KINORA_DATA_DIR"]).exists()
