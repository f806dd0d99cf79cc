"""Parses `data:` URIs (RFC 2397) as leniently as browsers do."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes

SCHEME = re.compile(r"\s*data:", re.IGNORECASE)
IS_BASE64 = re.compile(r"; *base64 *$", re.IGNORECASE)
WHITESPACE = b" \t\r\n\f"
FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def is_data_uri(text: str) -> bool:
    return SCHEME.match(text) is not None


def read_data_uri(uri: str) -> bytes:
    """Any media type and parameters; base64 in both alphabets, wrapped, padded or not; or
    percent-encoded bytes. Raises ValueError with a reason for users."""
    head, comma, body = uri.strip().partition(",")
    if not comma or not is_data_uri(head):
        raise ValueError("it is a data: URI without a comma before its data")
    data = unquote_to_bytes(body)
    if IS_BASE64.search(head) is None:
        return data
    data = data.translate(FROM_URL_SAFE, delete=WHITESPACE).rstrip(b"=")
    try:
        return base64.b64decode(data + b"=" * (-len(data) % 4), validate=True)
    except binascii.Error:
        raise ValueError("its base64 is damaged") from None
