"""`make audit`: are there known holes in what the images install?

Asks pip-audit (`python docker/audit.py path/to/pip-audit`), with the package index and then with
OSV. Says in one sentence when neither knows the packages: a mirror without advisories answers, but
its silence means nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

DOCKER = Path(__file__).resolve().parent
LOCKS = ("base.lock", "torch-cuda.lock")
"""The CPU build of torch is the same torch under a name that no database lists."""
TIMEOUT_S = 300


def asked(pip_audit: str, service: str) -> list[dict[str, Any]]:
    """What the database says of each package that it knows; nothing if it cannot be reached."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [pip_audit, "-s", service, "--disable-pip", "--require-hashes", "-f", "json"]
        command += ["--progress-spinner", "off", "-o", str(report)]
        for lock in LOCKS:
            command += ["-r", str(DOCKER / lock)]
        try:
            subprocess.run(command, capture_output=True, timeout=TIMEOUT_S)  # noqa: S603
            told = json.loads(report.read_text(encoding="utf-8"))["dependencies"]
        except (OSError, ValueError, subprocess.TimeoutExpired):
            return []
    return [each for each in told if "skip_reason" not in each]


def main(pip_audit: str) -> int:
    for service in ("pypi", "osv"):
        known = asked(pip_audit, service)
        if known:
            break
    else:
        print("Not audited: no database of known holes can be reached from here.")
        return 0
    holes = [(each, hole) for each in known for hole in each["vulns"]]
    for package, hole in holes:
        mended = ", ".join(hole["fix_versions"]) or "no version yet"
        print(f"{package['name']} {package['version']}: {hole['id']}, mended in {mended}")
    print(f"{len(known)} packages audited, {len(holes)} known holes.")
    return 1 if holes else 0


if __name__ == "__main__":
    raise SystemExit(main(*(sys.argv[1:] or ["pip-audit"])))
