"""A data: URI gives the bytes that were put into it, however it was written."""

from __future__ import annotations

import base64
import textwrap
from urllib.parse import quote, quote_from_bytes
from urllib.request import urlopen

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.data_uris import is_data_uri, read_data_uri

TYPES = st.sampled_from(
    ["image/png", "IMAGE/JPEG", "image/svg+xml", "application/octet-stream", ""]
)
NAMES = st.text("abcxyz019.-_ %é", max_size=12)
PARAMETERS = st.lists(
    st.one_of(
        NAMES.map(lambda name: f";name={quote(name)}"),
        NAMES.map(lambda name: f';filename="{name}"'),
        st.just(";charset=utf-8"),
    ),
    max_size=3,
).map("".join)
SCHEMES = st.sampled_from(["data:", "DATA:", "Data:"])


@st.composite
def written_as_base64(draw: st.DrawFn, data: bytes) -> str:
    encode = draw(st.sampled_from([base64.b64encode, base64.urlsafe_b64encode]))
    text = encode(data).decode()
    if draw(st.booleans()):
        text = text.rstrip("=")
    width = draw(st.sampled_from([0, 1, 64, 76]))
    if width:
        text = draw(st.sampled_from(["\n", "\r\n", " ", "\n\t "])).join(textwrap.wrap(text, width))
    if draw(st.booleans()):
        text = quote(text, safe="")
    return draw(st.sampled_from([";base64,", ";BASE64,", "; base64 ,"])) + text


@given(st.data(), st.binary(max_size=300), SCHEMES, TYPES, PARAMETERS)
def test_base64_comes_back_however_it_is_written(
    data: st.DataObject, content: bytes, scheme: str, kind: str, parameters: str
) -> None:
    uri = f"{scheme}{kind}{parameters}{data.draw(written_as_base64(content))}"
    assert is_data_uri(uri) and read_data_uri(uri) == content
    assert read_data_uri(f"\n {uri}\n") == content


@given(st.binary(max_size=300), SCHEMES, TYPES, PARAMETERS, st.sampled_from(["", "!*'();:@&=+$/?"]))
def test_bytes_without_base64_come_back(
    content: bytes, scheme: str, kind: str, parameters: str, safe: str
) -> None:
    assert read_data_uri(f"{scheme}{kind}{parameters},{quote_from_bytes(content, safe)}") == content


@given(st.binary(max_size=200), st.sampled_from(["image/png", "text/plain;a=b"]), st.booleans())
def test_it_is_read_as_pythons_own_reader_reads_it(
    content: bytes, kind: str, as_base64: bool
) -> None:
    body = f";base64,{base64.b64encode(content).decode()}" if as_base64 else f",{quote(content)}"
    uri = f"data:{kind}{body}"
    with urlopen(uri) as there:  # noqa: S310  # data: only
        assert read_data_uri(uri) == there.read() == content


@pytest.mark.parametrize(
    "uri",
    ["data:image/png;base64", "data:image/png;base64,@@", "data:;base64,a", "data:;base64,a==b"],
)
def test_a_damaged_one_is_refused_with_a_reason(uri: str) -> None:
    with pytest.raises(ValueError, match=r"base64 is damaged|without a comma"):
        read_data_uri(uri)


@pytest.mark.parametrize("text", ["", "https://example.com/a.png", "database:1", "0" * 64])
def test_what_is_none_is_known_as_such(text: str) -> None:
    assert not is_data_uri(text)
