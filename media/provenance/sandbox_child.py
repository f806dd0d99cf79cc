"""The sandbox process of `media/provenance/sandbox.py`: limits itself, then reads one file.

Takes the request as JSON from stdin; writes one JSON object to stdout, which is a file.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

CPU_S = 60
ADDRESS_SPACE = 2 << 30
"""For the interpreter, the library and what it keeps of the file, which it reads in pieces."""
MAX_FILE_BYTES = 64 << 20
"""Of its output, and of temporary files."""
MAX_OUTPUT = 15_000_000
"""Characters: a valid file whose credentials are longer is not shown."""
TOO_LONG = {"outcome": "unreadable", "error": "too long"}


def main(request: dict[str, Any]) -> None:
    _limit_resources()
    output = json.dumps(examine(request))
    sys.stdout.write(output if len(output) <= MAX_OUTPUT else json.dumps(TOO_LONG))
    sys.stdout.flush()


def examine(request: dict[str, Any]) -> dict[str, Any]:
    """The reply. Raises nothing for any file."""
    from media.provenance import c2pa_package

    try:
        c2pa = c2pa_package.load()
    except c2pa_package.UnavailableError:
        return {"outcome": "unavailable"}
    try:
        return _ingredient(request) if request["what"] == "ingredient" else _read(request)
    except c2pa.C2paError.ManifestNotFound:
        return {"outcome": "none"}
    except c2pa.C2paError.NotSupported:
        return {"outcome": "unsupported"}
    except Exception as error:  # on broken files, the library raises almost anything
        return {"outcome": "unreadable", "error": str(error)[:500]}


def _read(request: dict[str, Any]) -> dict[str, Any]:
    """What the library's reader says. A signer that is not trusted is looked up again with the
    certificates of this installation."""
    sidecar = request.get("sidecar")
    manifest = Path(sidecar).read_bytes() if sidecar else None
    found = _reader_json(request, manifest, trust_anchors=request["trusted"])
    is_own = False
    if request["own"] and found.get("validation_state") == "Valid":
        again = _reader_json(request, manifest, trust_anchors=request["own"])
        is_own = again.get("validation_state") == "Trusted"
    return {"outcome": "found", "is_own": is_own, "report": found}


def _reader_json(
    request: dict[str, Any], manifest: bytes | None, trust_anchors: str
) -> dict[str, Any]:
    from media.provenance import c2pa_package

    c2pa = c2pa_package.load()
    trust = {"trust_anchors": trust_anchors} if trust_anchors else {}
    context = c2pa.Context.from_dict(c2pa_package.settings(**trust))
    with Path(request["path"]).open("rb") as file:
        reader = c2pa.Reader(request["type"], file, manifest, context=context)
        return json.loads(reader.json()) | {"remote_url": reader.get_remote_url()}


def _ingredient(request: dict[str, Any]) -> dict[str, Any]:
    from media.provenance.signer import describe_ingredient

    archives: dict[str, str] = {}
    for relationship in request["relationships"]:
        with Path(request["path"]).open("rb") as file:
            archive = describe_ingredient(
                file, request["type"], request["id"], request["title"], relationship
            )
        if archive is None:
            return {"outcome": "none"}
        archives[relationship] = base64.b64encode(archive).decode()
    return {"outcome": "found", "archives": archives}


def _limit_resources() -> None:
    try:
        import resource
    except ImportError:  # Windows: only the parent's time limit applies
        return
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, MAX_FILE_BYTES))
    if sys.platform == "linux":  # elsewhere it is not enforced, or counts shared libraries
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))


if __name__ == "__main__":
    main(json.load(sys.stdin))
