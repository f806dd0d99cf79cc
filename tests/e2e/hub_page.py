"""The Hub's page around a Space and the proxy before it, as two TLS servers on this machine.

`https://huggingface.co/spaces/you/kinora` shows the Space in a sandboxed frame that is as high as
the page in it (or, with `?header=mini`, fills the window), and `https://you-kinora.hf.space` is
Kinora behind a proxy. Only the parts of the Hub that a Space can see are played.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Literal

import httpx
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from playwright.sync_api import BrowserContext, BrowserType
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.e2e.chromium import CHROMIUM_ARGS
from tests.e2e.server import Server
from tests.ports import free_port

HUB, SPACE = "https://huggingface.co", "https://you-kinora.hf.space"
SPACE_PAGE = f"{HUB}/spaces/you/kinora"
HERE = Path(__file__).resolve().parent
IP_TOKEN = "the-hubs-word-for-whose-quota-it-is"  # noqa: S105
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer"}

Cookies = Literal["kept", "third-party blocked", "all blocked"]
PREFERENCES: dict[Cookies, dict[str, Any]] = {
    "kept": {},
    "third-party blocked": {"block_third_party_cookies": True, "cookie_controls_mode": 1},
    "all blocked": {"default_content_setting_values": {"cookies": 2}},
}
"""What Chromium's settings page writes for each choice under "Third-party cookies"."""


class SpaceServer(Server):
    """Kinora as a Space starts it."""

    def start(self) -> None:
        self.environment |= {
            "SPACE_ID": "you/kinora",
            "SPACE_HOST": SPACE.removeprefix("https://"),
            "SYSTEM": "spaces",
            "GRADIO_SSR_MODE": "True",
        }
        super().start()


@dataclass
class Hub:
    kinora: Server
    hub_port: int
    proxy_port: int
    seen: list[Request] = field(default_factory=list)
    """Every request that reached the proxy."""

    def asked(self, part: str) -> list[Request]:
        return [request for request in self.seen if part in request.url.path]


@contextmanager
def hub_around(kinora: Server, folder: Path) -> Iterator[Hub]:
    certificate = make_certificate(folder)
    hub = Hub(kinora, free_port(), free_port())
    with (
        served(hub_app(), hub.hub_port, certificate),
        served(proxy_app(hub), hub.proxy_port, certificate),
    ):
        yield hub


@contextmanager
def browsing(
    chromium: BrowserType, hub: Hub, folder: Path, cookies: Cookies, **options: Any
) -> Iterator[BrowserContext]:
    """Chromium with that setting, to whom both names are this machine and others are not there."""
    profile = folder / "Default" / "Preferences"
    profile.parent.mkdir(parents=True, exist_ok=True)
    profile.write_text(json.dumps({"profile": PREFERENCES[cookies]}), encoding="utf-8")
    rules = [
        f"MAP huggingface.co:443 127.0.0.1:{hub.hub_port}",
        f"MAP fonts.googleapis.com:443 127.0.0.1:{hub.hub_port}",
        f"MAP *.hf.space:443 127.0.0.1:{hub.proxy_port}",
        "MAP * ~NOTFOUND",
        "EXCLUDE 127.0.0.1",
    ]
    context = chromium.launch_persistent_context(
        folder,
        ignore_https_errors=True,
        args=[
            *CHROMIUM_ARGS,
            "--no-proxy-server",
            "--ignore-certificate-errors",
            f"--host-resolver-rules={', '.join(rules)}",
        ],
        **options,
    )
    try:
        yield context
    finally:
        context.close()


# -- the Hub's page ------------------------------------------------------------------------------


def hub_app() -> Starlette:
    anywhere = {"Access-Control-Allow-Origin": "*"}
    space = {"id": "you/kinora", "author": "you", "likes": 3, "runtime": {"stage": "RUNNING"}}

    async def space_page(request: Request) -> HTMLResponse:
        return HTMLResponse((HERE / "hub_page.html").read_text(encoding="utf-8"))

    async def about_space(request: Request) -> JSONResponse:
        return JSONResponse(space, headers=anywhere)

    async def avatar(request: Request) -> Response:
        picture = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>'
        return Response(picture, media_type="image/svg+xml", headers=anywhere)

    async def fonts(request: Request) -> Response:
        return Response("", media_type="text/css")

    return Starlette(
        routes=[
            Route("/spaces/you/kinora", space_page),
            Route("/api/spaces/{rest:path}", about_space),
            Route("/api/{kind}/you/avatar", avatar),
            Route("/css2", fonts),
        ]
    )


# -- the proxy -----------------------------------------------------------------------------------


def proxy_app(hub: Hub) -> Starlette:
    client = httpx.AsyncClient(
        base_url=hub.kinora.url,
        timeout=httpx.Timeout(60, read=None),
        limits=httpx.Limits(max_keepalive_connections=0),  # one that Kinora has just closed fails
        trust_env=False,
    )

    async def forward(request: Request) -> Response:
        hub.seen.append(request)
        left_out = HOP_BY_HOP | {"host", "content-length"}
        headers = {name: value for name, value in request.headers.items() if name not in left_out}
        headers |= {
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": request.headers["host"],
            "X-Forwarded-For": "198.51.100.7",
            "X-IP-Token": IP_TOKEN,
        }
        try:
            body = await request.body()
        except ClientDisconnect:  # the page was left
            return Response(status_code=400)
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        sent = client.build_request(request.method, target, headers=headers, content=body)
        answer = await client.send(sent, stream=True)
        response = StreamingResponse(
            answer.aiter_raw(), answer.status_code, background=BackgroundTask(answer.aclose)
        )
        response.raw_headers = [
            (name, value)
            for name, value in answer.headers.raw
            if name.decode().lower() not in HOP_BY_HOP
        ]
        return response

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with client:
            yield

    methods = ["GET", "HEAD", "POST", "DELETE", "OPTIONS"]
    return Starlette(routes=[Route("/{path:path}", forward, methods=methods)], lifespan=lifespan)


# -- TLS -----------------------------------------------------------------------------------------


@contextmanager
def served(app: Starlette, port: int, certificate: Path) -> Iterator[None]:
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, ssl_keyfile=certificate, ssl_certfile=certificate,
        log_level="warning", timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 30
    while not server.started:
        assert thread.is_alive(), "the TLS server has ended"
        assert time.monotonic() < until, "the TLS server does not start"
        time.sleep(0.02)
    yield
    server.should_exit = True
    thread.join(10)


def make_certificate(folder: Path) -> Path:
    """Key and certificate for both names, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a stand-in for the Hub")])
    names = x509.SubjectAlternativeName(
        [x509.DNSName(each) for each in ("huggingface.co", "*.hf.space", "fonts.googleapis.com")]
    )
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "hub.pem"
    pem = serialization.Encoding.PEM
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(path)
    return path
