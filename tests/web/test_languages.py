"""The catalogues are complete, and Python and JavaScript translate with them alike."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from errors import KINDS, ErrorCode, KinoraError, split_sentence
from tests.programs import program
from tools import texts
from ui import language_files
from web import share_page
from web.errors import add_handlers
from web.languages import PLACEHOLDER, Entry, Language, accepted, choose, languages, plural

ROOT = Path(__file__).resolve().parents[2]
TAGS = ["ar", "de", "es", "fr", "hi", "it", "ja", "ko", "pt", "zh-Hans"]
FORMS = {"zero", "one", "two", "few", "many", "other"}
SHORT = 24
"""Letters of a text that stands on a button or in a menu."""
NAMES = st.text("abcXYZ 0123._-“é狗", min_size=1, max_size=12).filter(
    lambda s: s.strip() == s and ". " not in s and not s.endswith(".")
)
NUMBERS = st.integers(0, 10**6) | st.decimals("0.1", "99.9", places=1)


def others() -> list[Language]:
    return [language for tag, language in languages().items() if tag != "en"]


def forms(entry: Entry) -> Iterator[tuple[str, str]]:
    if isinstance(entry, str):
        yield "other", entry
    else:
        yield from entry.items()


def test_there_are_eleven_languages_and_one_is_from_right_to_left() -> None:
    assert sorted(languages()) == sorted(["en", *TAGS])
    assert [each.tag for each in others() if each.dir == "rtl"] == ["ar"]


@pytest.mark.parametrize("tag", TAGS)
def test_a_language_has_every_text_with_its_values_and_fits_where_english_does(tag: str) -> None:
    language = languages()[tag]
    assert set(language.texts) == set(languages()["de"].texts)
    for key, entry in language.texts.items():
        names = sorted(PLACEHOLDER.findall(key))
        assert isinstance(entry, str) or (set(entry) <= FORMS and "other" in entry), key
        for form, text in forms(entry):
            assert text.strip() == text and text, key
            found = sorted(PLACEHOLDER.findall(text))
            counted = form in ("zero", "one", "two") and set(found) <= set(names)
            assert found == names or counted, (key, text)
            most = 3 * len(key) + 16 if len(key) <= SHORT else 2 * len(key)
            assert len(text) <= most, (key, text)


def test_what_has_no_entry_is_listed_and_nothing_of_the_page_or_of_the_codes_is() -> None:
    """`python -m tools.texts --untranslated > docs/untranslated.txt` writes the list."""
    listed = (ROOT / "docs" / "untranslated.txt").read_text(encoding="utf-8").splitlines()
    assert texts.untranslated() == listed
    assert not [line for line in listed if line.startswith(("ui/static", "errors.py"))]


def test_every_default_message_is_translated() -> None:
    for kind in KINDS.values():
        for language in others():
            rest = kind.message
            while rest:
                sentence, rest = split_sentence(rest)
                assert language.translate(sentence) != sentence, (language.tag, sentence)


MARKED = Language("de", "", "ltr", {key: f"<{key}>" for key in languages()["de"].texts})
"""Each text is its own translation, marked."""
WITH_VALUES = [key for key in MARKED.texts if PLACEHOLDER.search(key)]


@settings(max_examples=50)
@given(key=st.sampled_from(WITH_VALUES), data=st.data())
def test_a_text_with_values_finds_its_own_entry(key: str, data: st.DataObject) -> None:
    values = {
        name: data.draw(NUMBERS.map(str) if len(name) == 1 else NAMES)
        for name in PLACEHOLDER.findall(key)
    }
    translated = MARKED.translate(PLACEHOLDER.sub(lambda found: values[found[1]], key))
    assert translated.startswith("<") and translated.endswith(">")
    for name, value in values.items():
        if len(name) == 1:
            assert value in translated


def test_a_text_without_entry_stays_as_it_is() -> None:
    for language in languages().values():
        assert language.translate("a dog in the snow") == "a dog in the snow"
        assert language.translate("") == ""


def test_sentences_are_translated_one_by_one() -> None:
    german = languages()["de"]
    text = "The clip lasts 12 s; at most 10 s are accepted. Trim it first."
    assert german.translate(text) == (
        "Der Clip dauert 12 s; höchstens 10 s sind möglich. Zuerst kürzen."
    )


@settings(max_examples=50)
@given(st.text("abdeqz-;=,.019 *é", max_size=80))
def test_any_header_can_be_read(header: str) -> None:
    assert choose(accepted(header)).tag in languages()


def test_the_most_wanted_language_that_is_there_is_chosen() -> None:
    assert accepted("de;q=0.5, fr-CA;q=0.9, *;q=0.1, ja;q=0") == ["fr-CA", "de"]
    for header, tag in (
        ("pt-BR,en;q=0.8", "pt"),
        ("nl,ko;q=0.4", "ko"),
        ("zh-CN", "zh-Hans"),
        ("nl", "en"),
        ("en-GB,de;q=0.9", "en"),
        ("", "en"),
    ):
        assert choose(accepted(header)).tag == tag


@pytest.fixture
def api() -> TestClient:
    app = FastAPI()
    add_handlers(app)

    @app.get("/fail")
    def fail() -> None:
        raise KinoraError(
            ErrorCode.TOO_LARGE,
            "The picture is larger than 20 MB. Use a smaller one.",
            details={"max": 20},
        )

    return TestClient(app, raise_server_exceptions=False)


def test_the_api_answers_in_english_unless_another_language_is_wanted(api: TestClient) -> None:
    english = api.get("/fail", headers={"accept-language": ""})
    german = api.get("/fail", headers={"accept-language": "de-AT"})
    assert english.json()["message"] == "The picture is larger than 20 MB. Use a smaller one."
    assert "content-language" not in english.headers
    assert german.json()["message"] == (
        "Das Bild ist größer als 20 MB. Eine kleinere Datei verwenden."
    )
    assert german.headers["content-language"] == "de"
    for name in ("error", "details"):
        assert german.json()[name] == english.json()[name]
    unknown = api.get("/nothing", headers={"accept-language": "ja"})
    assert (unknown.json()["error"], unknown.json()["message"]) == ("not_found", "見つかりません。")


def test_a_share_page_is_in_the_language_of_its_reader() -> None:
    page = share_page.render_not_found(languages()["ar"])
    assert '<html lang="ar" dir="rtl">' in page
    assert "لا يوجد مقطع هنا" in page
    assert '<html lang="en" dir="ltr">' in share_page.render_not_found()


def test_a_catalogue_has_an_address_that_a_browser_may_keep() -> None:
    from starlette.applications import Starlette

    client = TestClient(Starlette(routes=[language_files.route()]))
    address = language_files.address(languages()["fr"])
    found = client.get(f"/{address}")
    assert found.json() == languages()["fr"].texts
    assert found.headers["cache-control"] == "private, max-age=31536000, immutable"
    other = client.get("/kinora/languages/000000000000/fr.json")
    assert other.headers["cache-control"] == "no-store"
    assert client.get("/kinora/languages/000000000000/xx.json").status_code == 404


IN_NODE = """
import { readFileSync } from "node:fs";
const { tags, samples, numbers, files } = JSON.parse(readFileSync(0, "utf8"));
globalThis.window = globalThis;
globalThis.document = { documentElement: {} };
globalThis.location = { protocol: "http:" };
globalThis.localStorage = { getItem: () => null, setItem() {} };
const dir = (tag) => (tag === "ar" ? "rtl" : "ltr");
globalThis.kinoraLanguages = tags.map((tag) => ({ tag, name: tag, dir: dir(tag), address: tag }));
globalThis.fetch = async (url) => ({ ok: true, json: async () => files[url.split("/").pop()] });
const page = await import(process.argv[1]);
const found = {};
for (const tag of tags) {
  await page.chooseLanguage(tag);
  const rules = new Intl.PluralRules(tag);
  found[tag] = { texts: samples.map(page.translate), plurals: numbers.map((n) => rules.select(n)) };
}
console.log(JSON.stringify(found));
"""


def test_the_page_translates_as_the_server_does_and_counts_as_intl_does() -> None:
    values = {"n": "3", "m": "20", "k": "7", "w": "640", "h": "480", "time": "12 s"}
    samples = [
        PLACEHOLDER.sub(lambda found: values.get(found[1], "Kinora Pocket"), key)
        for key in languages()["de"].texts
    ]
    samples += [f"{a} {b}" for a, b in zip(samples, reversed(samples), strict=True)][:50]
    numbers = [0, 1, 2, 3, 10, 11, 25, 99, 100, 101, 102, 103, 111, 1000, 0.5, 1.5]
    sent = {
        "tags": TAGS,
        "samples": samples,
        "numbers": numbers,
        "files": {each.tag: each.texts for each in others()},
    }
    done = subprocess.run(
        [program("node"), "--input-type=module", "-e", IN_NODE,
         str(ROOT / "ui" / "static" / "language.js")],
        input=json.dumps(sent), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for language in others():
        assert found[language.tag]["plurals"] == [plural(language.tag, f"{n}") for n in numbers]
        ours = [language.translate(sample) for sample in samples]
        different = [
            pair for pair in zip(found[language.tag]["texts"], ours, strict=True)
            if re.sub(r"\s", "", pair[0]) != re.sub(r"\s", "", pair[1])
        ]  # fmt: skip
        assert not different, language.tag
