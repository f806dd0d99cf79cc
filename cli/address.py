"""Chooses the page's address and port before anything heavy is started.

A configured port is used, or refused with a sentence; only without one is the next free port taken.
Gradio itself would silently take another one.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import socket
from collections.abc import MutableMapping
from typing import TypedDict

from errors import ErrorCode, KinoraError

log = logging.getLogger(__name__)

USUAL_HOST, USUAL_PORT, LAST_PORT = "127.0.0.1", 7860, 65535
HOST, PORT, HOW_MANY = "GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT", "GRADIO_NUM_PORTS"


class Address(TypedDict):
    """As `Blocks.launch` takes it."""

    server_name: str
    server_port: int


def choose_address(environment: MutableMapping[str, str] = os.environ) -> Address:
    """Raises KinoraError where the port is in use or not permitted.

    Removes empty and IPv6 values from the environment: importing Gradio fails on both."""
    host = environment.get(HOST, "").strip() or USUAL_HOST
    wanted = environment.get(PORT, "").strip()
    if not wanted:
        environment.pop(PORT, None)
    bare = host.removeprefix("[").removesuffix("]")
    if ":" in bare:
        host = f"[{bare}]"
        environment.pop(HOST, None)
    addresses = _addresses(bare)
    if wanted:
        port = _number(wanted)
        if port == 0:
            port = _any_free(addresses)
        elif _is_in_use(addresses, port):
            raise KinoraError(
                ErrorCode.UNAVAILABLE,
                f"Port {port} is in use by {_user_of(port)}. Set {PORT} (or --port) to another "
                "one, or to 0 for any that is free.",
            )
    else:
        port = _next_free(addresses, environment)
    return {"server_name": host, "server_port": port}


def _number(wanted: str) -> int:
    if wanted.isascii() and wanted.isdecimal() and int(wanted) <= LAST_PORT:
        return int(wanted)
    raise KinoraError(
        ErrorCode.INVALID_INPUT,
        f"{PORT} (or --port) is a number from 1 to {LAST_PORT}, or 0 for any port that is free.",
    )


def _next_free(addresses: list[tuple[int, str]], environment: MutableMapping[str, str]) -> int:
    many = environment.get(HOW_MANY, "").strip()
    if not many:
        environment.pop(HOW_MANY, None)
    count = int(many) if many.isascii() and many.isdecimal() and int(many) else 100
    last = min(USUAL_PORT + count - 1, LAST_PORT)
    for port in range(USUAL_PORT, last + 1):
        if not _is_in_use(addresses, port):
            if port != USUAL_PORT:
                log.warning(
                    "Port %d is in use by %s. The page is on port %d instead; set %s to choose.",
                    *(USUAL_PORT, _user_of(USUAL_PORT), port, PORT),
                )
            return port
    raise KinoraError(
        ErrorCode.UNAVAILABLE,
        f"The ports {USUAL_PORT} to {last} are all in use. Set {PORT} to another one, or to 0 for "
        "any that is free.",
    )


def _addresses(host: str) -> list[tuple[int, str]]:
    """A name like localhost may be several, of both families."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        found = []
    here = list(dict.fromkeys((int(family), str(address[0])) for family, *_, address in found))
    if not here:
        raise KinoraError(ErrorCode.INVALID_INPUT, f"{HOST} names no address: {host}.")
    return here


def _is_in_use(addresses: list[tuple[int, str]], port: int) -> bool:
    # Gradio looks at IPv4 as well, whatever the address is
    is_v6 = all(ipaddress.ip_address(host.partition("%")[0]).version == 6 for _, host in addresses)
    if is_v6 and _is_taken(socket.AF_INET, USUAL_HOST, port):
        return True
    return any(_is_taken(family, host, port) for family, host in addresses)


def _is_taken(family: int, host: str, port: int) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((host, port))
    except PermissionError as error:
        raise KinoraError(
            ErrorCode.INVALID_INPUT,
            f"Port {port} needs rights that this process does not have. Use one above 1023, with a "
            "proxy before it.",
        ) from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return True
        if error.errno == errno.EAFNOSUPPORT and host != USUAL_HOST:
            return False  # one of the two families of a name
        sentence = f"{HOST} is no address of this machine: {host}."
        raise KinoraError(ErrorCode.INVALID_INPUT, sentence) from error
    return False


def _any_free(addresses: list[tuple[int, str]]) -> int:
    for _ in range(20):
        family, host = addresses[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((host, 0))
            except OSError:
                break
            port = int(probe.getsockname()[1])
        if not _is_in_use(addresses, port):
            return port
    raise KinoraError(ErrorCode.UNAVAILABLE, "No free port was found.")


def _user_of(port: int) -> str:
    """The program that listens there, if this process may see it."""
    import psutil

    try:
        for each in psutil.net_connections("tcp"):
            is_listening = each.status == psutil.CONN_LISTEN and each.laddr
            if is_listening and tuple(each.laddr)[1:2] == (port,) and each.pid:
                return f"{psutil.Process(each.pid).name()} (process {each.pid})"
    except (psutil.Error, OSError):
        pass
    return "another program"
