"""Plain, unsigned tags that say "AI generated", for programs that read no Content Credentials.

The property is IPTC's DigitalSourceType: in XMP for JPEG, PNG, GIF and MP4, and as a tag of its
own in MP4 and WebM, where ffprobe shows it.
"""

from __future__ import annotations

import zlib
from pathlib import Path

from PIL.PngImagePlugin import PngInfo

from media import mp4

GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""For a file that also has frames which were not generated."""
NAME = "DigitalSourceType"
WORDS = "AI generated"

XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about=""'
    ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    ' xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
    ' xmlns:dc="http://purl.org/dc/elements/1.1/"'
    f' Iptc4xmpExt:{NAME}="{GENERATED}"'
    ' Iptc4xmpExt:AISystemUsed="Kinora"'
    ' xmp:CreatorTool="Kinora">'
    f'<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{WORDS}</rdf:li></rdf:Alt>'
    "</dc:description>"
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
    '<?xpacket end="r"?>'
).encode()

XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
"""Of the MP4 box that holds XMP (XMP specification, part 3)."""
PNG_HEAD = 33
"""Signature and header chunk."""
WEBP_HAS_XMP = 4
DONOR = "synopsis"
"""ffmpeg writes no tags of other names into an MP4. It writes this one, as long as ours will be,
and `tag_mp4` replaces it: no other byte of the file moves."""
DONOR_ATOM = (b"moov", b"udta", b"meta", b"ilst", b"ldes")


def png_info() -> PngInfo:
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    return info


def ffmpeg_tags(format: str) -> dict[str, str]:
    """For ffmpeg's metadata file; `tag_mp4` and others add the rest."""
    match format:
        case "mp4":
            padding = len(_freeform_atom()) - ATOM_HEAD - DATA_HEAD
            return {"description": WORDS, DONOR: " " * padding}
        case "webm":
            return {"DESCRIPTION": WORDS, NAME.upper(): GENERATED}
        case "mov":
            return {"description": WORDS, NAME: GENERATED}
    return {}


def tag_mp4(path: Path) -> None:
    """Adds the tag and the XMP box to a file with `ffmpeg_tags`. Raises ValueError."""
    tag = _freeform_atom()
    with path.open("rb+") as file:
        donor = mp4.find(file, *DONOR_ATOM)
        if donor is None or donor.end - donor.start + ATOM_HEAD != len(tag):
            raise ValueError("the file has no tag that could be replaced")
        file.seek(donor.start - ATOM_HEAD)
        file.write(tag)
    append_xmp(path)


def append_xmp(path: Path) -> None:
    """Adds the XMP box alone to any MP4 file."""
    with path.open("ab") as file:
        file.write(_atom(b"uuid", XMP_UUID + XMP))


def tag_jpeg(path: Path) -> None:
    """Inserts an XMP segment before all others."""
    data = path.read_bytes()
    body = b"http://ns.adobe.com/xap/1.0/\0" + XMP
    segment = b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body
    path.write_bytes(data[:2] + segment + data[2:])


def tag_gif(path: Path) -> None:
    """Inserts an XMP application extension before the first picture."""
    data = path.read_bytes()
    flags = data[10]
    start = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    path.write_bytes(data[:start] + GIF_XMP + data[start:])


def tag_png(path: Path, comment: str = "", *, is_generated: bool = True) -> None:
    """Inserts text chunks behind the header: the XMP packet, and a comment if there is one."""
    parts = tagged_png(path.read_bytes(), comment, is_generated=is_generated)
    path.write_bytes(b"".join(parts))


def tagged_png(
    data: bytes, comment: str = "", *, is_generated: bool = True
) -> tuple[memoryview, bytes, memoryview]:
    """The parts of a PNG file with the text chunks of `tag_png`."""
    xmp = XMP if is_generated else b""
    texts = {"XML:com.adobe.xmp": xmp, "comment": comment.encode("utf-8", "backslashreplace")}
    chunks = [_text_chunk(name, text) for name, text in texts.items() if text]
    view = memoryview(data)
    return view[:PNG_HEAD], b"".join(chunks), view[PNG_HEAD:]


def _text_chunk(name: str, text: bytes) -> bytes:
    body = b"iTXt" + name.encode() + b"\0\0\0\0\0" + text  # not compressed, no language
    return (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")


def tag_webp(path: Path, width: int, height: int) -> None:
    """Appends the XMP chunk, and sets the flag that announces it."""
    data = bytearray(path.read_bytes())
    if data[12:16] != b"VP8X":  # a single frame needs no extended header
        sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        data[12:12] = b"VP8X" + (10).to_bytes(4, "little") + bytes(4) + sides
    data[20] |= WEBP_HAS_XMP
    data += b"XMP " + len(XMP).to_bytes(4, "little") + XMP + b"\0" * (len(XMP) % 2)
    data[4:8] = (len(data) - 8).to_bytes(4, "little")
    path.write_bytes(data)


# Readers that do not know XMP take its bytes for the lengths of sub-blocks. Wherever they land in
# the trailer, the value there leads them to its end.
_TRAILER = bytes([1, *range(255, -1, -1), 0])
GIF_XMP = b"\x21\xff\x0bXMP DataXMP" + XMP + _TRAILER

ATOM_HEAD = 8
DATA_HEAD = 16
"""The head of a `data` atom, its type and its locale."""
UTF_8 = b"\0\0\0\1"


def _freeform_atom() -> bytes:
    return _atom(
        b"----",
        _atom(b"mean", b"\0\0\0\0com.apple.iTunes")
        + _atom(b"name", b"\0\0\0\0" + NAME.encode())
        + _atom(b"data", UTF_8 + b"\0\0\0\0" + GENERATED.encode()),
    )


def _atom(kind: bytes, body: bytes) -> bytes:
    return (ATOM_HEAD + len(body)).to_bytes(4, "big") + kind + body
