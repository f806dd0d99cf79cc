"""Signed addresses: who has one may fetch that clip's files for some hours, without a cookie.

Browsers leave the cookie out where we cannot change it: a download from another site's frame, a
new tab opened from there, and everything where cookies are blocked.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping

STEP_S = 12 * 3600
"""An address stays the same for this long, so that browsers can cache; it is valid for one to two
of these periods."""


class Signatures:
    def __init__(self, secret: bytes) -> None:
        self._key = hmac.new(secret, b"signed addresses", hashlib.sha256).digest()

    def query(self, job_id: str, owner: str, now_s: float | None = None) -> str:
        """The query string of the clip's signed addresses."""
        until = (int(time.time() if now_s is None else now_s) // STEP_S + 2) * STEP_S
        return f"until={until}&sign={self._sign(job_id, owner, str(until))}"

    def hold(
        self, job_id: str, owner: str, query: Mapping[str, str], now_s: float | None = None
    ) -> bool:
        """Whether the query was signed for this clip of this owner and has not expired."""
        until, sign = query.get("until", ""), query.get("sign", "")
        if not until.isascii() or not until.isdigit() or len(until) > 12 or not sign.isascii():
            return False
        is_ours = hmac.compare_digest(self._sign(job_id, owner, until), sign)
        return is_ours and (time.time() if now_s is None else now_s) < int(until)

    def _sign(self, job_id: str, owner: str, until: str) -> str:
        # no field can run into the next: the id and the time have no space in them
        signed = f"{job_id} {until} {owner}".encode()
        return hmac.new(self._key, signed, hashlib.sha256).hexdigest()[:32]
