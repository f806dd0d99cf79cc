"""Who may use the operator's page: the key in a header, or a login that sets a strict cookie."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict, deque

from errors import ErrorCode, KinoraError
from settings import Settings

HEADER = "x-kinora-admin-key"
COOKIE = "kinora_admin"
SESSION_S = 8 * 3600
MOST_FAILURES, FAILURES_S = 5, 15 * 60.0
"""Wrong keys of one address within that time, after which not even the right key is accepted."""
MOST_FAILURES_OF_ALL = 100
"""Of all addresses together: one attacker may have many. Sessions that are open stay open."""
KNOWN_ADDRESSES = 10_000
ALL = ""


class AdminAccess:
    """Thread-safe. A session is a signed token, so it is valid on every server with the same key
    and ends when the key is changed."""

    def __init__(self, settings: Settings) -> None:
        key = settings.admin_key.get_secret_value() if settings.admin_key else ""
        self.is_on = bool(key)
        self._digest = hashlib.sha256(key.encode("utf-8", "replace")).digest()
        self._signing_key = hmac.new(self._digest, b"kinora admin session", "sha256").digest()
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._ended: dict[str, float] = {}

    # -- the key -----------------------------------------------------------------------------------

    def check_key(self, key: str, address: str, now: float | None = None) -> None:
        """Raises KinoraError: UNAUTHORIZED for a wrong key, RATE_LIMITED after several."""
        now = time.monotonic() if now is None else now
        digest = hashlib.sha256(key.encode("utf-8", "replace")).digest()
        is_right = hmac.compare_digest(digest, self._digest)
        with self._lock:
            wait_s = max(
                self._locked_s(address, MOST_FAILURES, now),
                self._locked_s(ALL, MOST_FAILURES_OF_ALL, now),
            )
            if wait_s:
                minutes = max(1, round(wait_s / 60 + 0.5))
                sentence = f"Too many wrong keys. Try again in {minutes} min."
                details = {"retry_after_s": max(1, round(wait_s + 0.5))}
                raise KinoraError(ErrorCode.RATE_LIMITED, sentence, details=details)
            if is_right and self.is_on:
                return
            for each in (address, ALL):
                self._failures.setdefault(each, deque(maxlen=MOST_FAILURES_OF_ALL)).append(now)
                self._failures.move_to_end(each)
            while len(self._failures) > KNOWN_ADDRESSES:
                self._failures.popitem(last=False)
        raise KinoraError(ErrorCode.UNAUTHORIZED, "That is not the operator's key.")

    def _locked_s(self, address: str, most: int, now: float) -> float:
        """How long an address must wait; 0 if it need not."""
        times = self._failures.get(address, deque())
        while times and times[0] <= now - FAILURES_S:
            times.popleft()
        return times[-most] + FAILURES_S - now if len(times) >= most else 0.0

    # -- sessions ----------------------------------------------------------------------------------

    def new_session(self, now: float | None = None) -> str:
        expires_at = int((time.time() if now is None else now) + SESSION_S)
        payload = f"{expires_at}.{secrets.token_hex(16)}"
        return f"{payload}.{self._sign(payload)}"

    def is_session(self, token: str, now: float | None = None) -> bool:
        payload, _, signature = token.rpartition(".")
        is_signed = hmac.compare_digest(self._sign(payload).encode(), _ascii(signature))
        if not (self.is_on and is_signed):
            return False
        now = time.time() if now is None else now
        return now < int(payload.partition(".")[0]) and token not in self._ended

    def end_session(self, token: str) -> None:
        """On this server; on others it ends with its time."""
        now = time.time()
        with self._lock:
            self._ended = {each: until for each, until in self._ended.items() if until > now}
            if self.is_session(token):
                self._ended[token] = now + SESSION_S

    def form_token(self, session: str) -> str:
        """What every form of a session must send, so that another site's page cannot."""
        return self._sign(f"form {session}")

    def is_form_token(self, session: str, token: str) -> bool:
        return hmac.compare_digest(self.form_token(session).encode(), _ascii(token))

    def _sign(self, text: str) -> str:
        payload = text.encode("utf-8", "replace")
        return hmac.new(self._signing_key, payload, "sha256").hexdigest()


def cookie_line(token: str, path: str, *, secure: bool) -> str:
    """An empty token removes the cookie."""
    age = SESSION_S if token else 0
    line = f"{COOKIE}={token}; Path={path}; Max-Age={age}; HttpOnly; SameSite=Strict"
    return f"{line}; Secure" if secure else line


def _ascii(text: str) -> bytes:
    return text.encode("ascii", "replace")
