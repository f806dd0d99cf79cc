"""`make audit`: known vulnerabilities in the packages of the images.

Runs pip-audit (`python -m tools.audit PATH_TO_PIP_AUDIT`) against the package index, then against
OSV. A mirror without advisories answers "not found" for every package: if neither service knows any
of them, nothing was audited, and the output says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

DOCKER = Path(__file__).resolve().parent.parent / "docker"
LOCKS = ("base.lock", "torch-cuda.lock")
"""torch-cpu.lock has the same torch under a version that no database lists."""
TIMEOUT_S = 300


def known_packages(pip_audit: str, service: str) -> list[dict[str, Any]]:
    """pip-audit's entry for each package that the service knows; empty if it cannot be reached."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [pip_audit, "-s", service, "--disable-pip", "--require-hashes", "-f", "json"]
        command += ["--progress-spinner", "off", "-o", str(report)]
        for lock in LOCKS:
            command += ["-r", str(DOCKER / lock)]
        try:
            subprocess.run(command, capture_output=True, timeout=TIMEOUT_S)  # noqa: S603
            packages = json.loads(report.read_text(encoding="utf-8"))["dependencies"]
        except (OSError, ValueError, subprocess.TimeoutExpired):
            return []
    return [each for each in packages if "skip_reason" not in each]


def main(pip_audit: str) -> int:
    for service in ("pypi", "osv"):
        packages = known_packages(pip_audit, service)
        if packages:
            break
    else:
        print("Not audited: no vulnerability database can be reached.")
        return 0
    found = [(each, advisory) for each in packages for advisory in each["vulns"]]
    for package, advisory in found:
        fixed = ", ".join(advisory["fix_versions"]) or "no version yet"
        print(f"{package['name']} {package['version']}: {advisory['id']}, fixed in {fixed}")
    print(f"{len(packages)} packages audited, {len(found)} known vulnerabilities.")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(*(sys.argv[1:] or ["pip-audit"])))
