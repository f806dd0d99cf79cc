"""Untrusted zips: in the order people expect, and refused by the name of what is wrong."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import ErrorCode, KinoraError
from media.picture_zips import JUNK, NOTES, natural_key, pictures_in

MOST, MOST_BYTES = 32, 10_000


def zipped(files: dict[str, bytes], **options: int) -> bytes:
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", options.get("method", zipfile.ZIP_DEFLATED)) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return kept.getvalue()


def names_in(data: bytes, most: int = MOST) -> list[str]:
    return [name for name, _ in pictures_in(io.BytesIO(data), most, MOST_BYTES)]


def refusal(data: bytes) -> KinoraError:
    with pytest.raises(KinoraError) as refused:
        names_in(data)
    return refused.value


def in_order(*names: str) -> None:
    backwards = zipped(dict.fromkeys(reversed(names), b"x"))
    assert names_in(backwards) == list(names)


def test_numbers_sort_as_numbers() -> None:
    in_order("1.png", "2.png", "10.png")
    in_order("IMG_9.JPG", "img_10.jpg", "IMG_11.JPG")
    in_order("a001.png", "a2.png", "a0010.png")
    in_order("2026-1-9.png", "2026-1-10.png", "2026-11-1.png")
    in_order("part 2/1.png", "part 2/30.png", "part 10/1.png")
    in_order("٢.png", "10.png", "٣٠.png")  # Arabic digits are digits
    in_order("a.png", "a1.png", "a1b.png", "a2.png", "b.png")
    in_order("1" + "0" * 5000 + ".png", "2" + "0" * 5000 + ".png")


@given(st.lists(st.integers(0, 10**6), unique=True, min_size=1, max_size=MOST), st.integers(0, 3))
def test_numbered_files_come_in_the_order_of_their_numbers(numbers: list[int], zeros: int) -> None:
    files = {f"Frame {'0' * (zeros * (n % 2))}{n}.png": b"x" for n in numbers}
    found = [
        int(name.removeprefix("Frame ").removesuffix(".png")) for name in names_in(zipped(files))
    ]
    assert found == sorted(numbers)


@given(st.lists(st.text("ab/.1٣²0Bé", min_size=1, max_size=8)), st.randoms(use_true_random=False))
def test_any_names_have_one_order(names: list[str], random: Random) -> None:
    names = sorted(set(names))
    mixed = list(names)
    random.shuffle(mixed)
    assert sorted(mixed, key=natural_key) == sorted(names, key=natural_key)


def test_what_systems_leave_in_zips_is_not_taken_for_a_picture() -> None:
    junk = ["__MACOSX/._1.png", "__MACOSX/a/._2.png", ".DS_Store", "a/.DS_Store", "Thumbs.db",
            "a/THUMBS.DB", "desktop.ini", "a/.hidden.png", "._1.png", "1.txt", "1.xmp",
            "IMG_1.AAE", "README.md"]  # fmt: skip
    assert JUNK and NOTES
    assert names_in(zipped({"1.png": b"x", **dict.fromkeys(junk, b"x")})) == ["1.png"]
    folder = io.BytesIO(zipped({"a/1.PNG": b"x"}))
    with zipfile.ZipFile(folder, "a") as archive:
        archive.writestr("b.png/", b"")
    assert names_in(folder.getvalue()) == ["a/1.PNG"]


def test_names_are_read_as_they_were_meant_and_are_never_paths() -> None:
    in_order("1.png", "C:/2.png", "etc/passwd", "up/3.png")
    odd = zipped({"\\a\\2.png": b"x", "/a/10.png": b"x", "../../a/1.png": b"x", "a/./3.png": b"x"})
    assert names_in(odd) == ["a/1.png", "a/2.png", "a/3.png", "a/10.png"]
    # macOS: UTF-8 without the flag that says so
    data = zipped({"é2.png": b"x"})
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        place = data.index(signature) + flags
        (old,) = struct.unpack_from("<H", data, place)
        data = data[:place] + struct.pack("<H", old & ~0x800) + data[place + 2 :]
    assert names_in(data) == ["é2.png"]
    # a real code page 437 name stays what it is
    old_style = data.replace("é2".encode(), "é2".encode("cp437") + b"_")
    assert names_in(old_style) == ["é2_.png"]


def test_zip64_data_descriptors_and_equal_names_are_read() -> None:
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w") as archive, archive.open("1.png", "w", force_zip64=True) as one:
        one.write(b"first")
    assert names_in(kept.getvalue()) == ["1.png"]

    class Pipe(io.RawIOBase):  # cannot seek, so that sizes come after the data
        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, part: bytes) -> int:  # type: ignore[override]
            self.data += bytes(part)
            return len(part)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w") as archive:  # type: ignore[arg-type]
        archive.writestr("1.png", b"first")
    assert list(pictures_in(io.BytesIO(pipe.data), MOST, MOST_BYTES)) == [("1.png", b"first")]

    twice = io.BytesIO()
    with zipfile.ZipFile(twice, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("1.png", b"first")
        archive.writestr("1.png", b"second")
    both = [data for _, data in pictures_in(io.BytesIO(twice.getvalue()), MOST, MOST_BYTES)]
    assert both == [b"first", b"second"]


def test_an_encrypted_zip_says_so() -> None:
    data = bytearray(zipped({"a.png": b"x"}))
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(signature) + flags] |= 1
    error = refusal(bytes(data))
    assert "“a.png” is encrypted" in error.message and "password" in error.message


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_cannot_be_unpacked_piece_by_piece_is_refused(method: int) -> None:
    assert "“a.png” is packed" in refusal(zipped({"a.png": bytes(10**7)}, method=method)).message


def test_bombs_and_endless_lists_are_refused() -> None:
    bomb = refusal(zipped({"1.png": b"x", "big.png": bytes(10**7)}))
    assert bomb.code is ErrorCode.TOO_LARGE and "“big.png”" in bomb.message
    many = zipped({f"{'n' * 200}{n}.png": b"" for n in range(6_000)})
    assert "too many files" in refusal(many).message
    assert "33 pictures" in refusal(zipped({f"{n}.png": b"" for n in range(33)})).message
    assert "0 pictures" in refusal(zipped({})).message
    assert "0 pictures" in refusal(zipped({"readme.txt": b""})).message


@given(st.binary(max_size=400), st.integers(0, 300), st.integers(0, 300))
def test_a_damaged_zip_is_read_or_refused(noise: bytes, cut: int, place: int) -> None:
    sound = zipped({"1.png": b"x" * 40, "2.png": b"y" * 40})
    for data in (noise, sound[:cut], sound[:place] + noise[:5] + sound[place + 5 :]):
        try:
            names_in(data)
        except KinoraError as error:
            assert error.code in (ErrorCode.INVALID_INPUT, ErrorCode.TOO_LARGE)


def test_a_damaged_member_is_named() -> None:
    data = bytearray(zipped({"1.png": b"x" * 40, "b/2.png": bytes(range(200))}))
    place = data.rindex(b"b/2.png", 0, data.index(b"PK\1\2")) + 7
    data[place : place + 20] = b"\xff" * 20
    assert "“b/2.png” in it is damaged" in refusal(bytes(data)).message


def test_a_name_that_is_long_or_unprintable_is_fit_for_a_sentence() -> None:
    name = "x" * 500 + "\x1b[31m\n.png"
    error = refusal(zipped({name: bytes(10**5)}))
    assert len(error.message) < 300 and error.message.isprintable()
    assert Path(error.details["file"]).suffix == ".png"
