"""Sentences that the code puts together are translated as a whole, with all of their parts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

import pytest
from pydantic import ValidationError

from errors import KinoraError
from jobs.film import Film, FilmShot, FilmState
from jobs.film_plans import naming_shot
from jobs.job import Job, State
from jobs.moderation import REASONS
from jobs.policy.prompt_rules import load_rules
from jobs.workers.zerogpu import Watch, refusal
from media.image_limits import unsupported_error
from media.operations.edit_request import read_edit_request
from media.operations.registry import OPERATIONS, read_operation
from media.picture_zips import bad_zip
from media.provenance.credential_report import report_of
from pipelines.models.cards import ModelCard
from pipelines.models.fit import Limits, SourceClip, fit
from pipelines.request import GenerationRequest
from pipelines.validation_errors import invalid_input
from settings import ROOT
from tests import tiny
from tools.texts import NOT_IN_EDITOR, operation_texts
from ui import film_view
from web import report_page
from web.languages import Language, languages

OTHERS = [language for tag, language in languages().items() if tag != "en"]
IN_OTHER_LETTERS = [each for each in OTHERS if each.tag in ("ar", "hi", "ja", "ko", "zh-Hans")]
ENGLISH_WORDS = re.compile(
    r"\b(the|this|that|is|are|it|its|of|and|was|were|has|cannot|should|not|or|with|here|clips?"
    r"|frames?|use|more|steps|model|settings?|list|number|text)\b",
    re.IGNORECASE,
)


def _refused(**fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        GenerationRequest.model_validate(fields)
    return invalid_input(caught.value).message


def validation() -> Iterator[str]:
    yield _refused(seed="x")
    yield _refused(num_inference_steps=0)
    yield _refused(num_inference_steps=1000)
    yield _refused(num_frames=1.5)
    yield _refused(prompt="a" * 100_000)
    yield _refused(width=True and "wide")
    yield _refused(nothing=1)
    yield _refused(loras=[{"weight": 1}])
    yield bad_zip("it is not a zip, or it is damaged").message
    yield bad_zip("“a.png” is encrypted", "Send a zip without a password.").message


def tiny_card() -> ModelCard:
    return ModelCard.model_validate(tiny.CARD | {"repo": "./nowhere"})


def fitting() -> Iterator[str]:
    card = tiny_card()
    clips = [None, *(SourceClip(width=64, height=64, seconds=each) for each in (0.3, 1.0, 20.0))]
    values: dict[str, tuple[object, ...]] = {
        "num_frames": (2, 6, 31, 200),
        "duration_s": (0.01, 0.6, 1.234, 29.0),
        "width": (17, 70, 4000),
        "fps": (1, 24, 120),
        "strength": (0.01, 0.5),
        "guidance_scale": (0.5, 29.0),
        "num_inference_steps": (1, 150),
        "upscale": (True,),
        "sampler": ("unipc",),
        "prompt": ("",),
        "last_image": ("0" * 64,),
    }
    for name, each in ((name, each) for name, many in values.items() for each in many):
        for clip in clips:
            fields = {"prompt": "a dog", "video": "0" * 64 if clip else None, name: each}
            try:
                request = GenerationRequest.model_validate(fields)
            except ValidationError as error:
                yield invalid_input(error).message
                continue
            try:
                fitted = fit(request, card, Limits(), clip=clip)
            except KinoraError as error:
                yield error.message
                if error.action:
                    yield str(error.action["label"])
            else:
                yield from (change.sentence for change in fitted.adjustments)


def edits() -> Iterator[str]:
    wrong: list[dict[str, Any]] = [
        {"op": "trim", "start_s": "x"},
        {"op": "trim", "nothing": 1},
        {"op": "speed"},
        {"op": "speed", "factor": 99},
        {"op": "loop", "style": "round"},
        {"op": "crop", "shape": "wide"},
        {"op": "title", "text": ""},
        {"op": "title", "text": "a", "colour": "red"},
        {"op": "sound", "file": "a.mp3"},
        {"op": "rotate", "degrees": 45},
        {"op": "interpolate", "times": 2, "fps": 30},
        {"op": "explode"},
    ]
    for each in wrong:
        with pytest.raises(KinoraError) as caught:
            read_operation(each)
        yield caught.value.message
    for values in ({"clips": []}, {"clips": ["a/b"]}, {"clips": ["a"], "format": "exe"}):
        with pytest.raises(KinoraError) as caught:
            read_edit_request(values)
        yield caught.value.message
    for model in OPERATIONS.values():
        if model.name() not in NOT_IN_EDITOR:
            yield from (text for text in operation_texts(model) if text != model.title)


def gpu() -> Iterator[str]:
    for outcome in ("illegal", "quota", "runs", "pending", "expired", "busy", "error"):
        for level in ("anonymous", "regular", "pro"):
            for wait_s in (0.0, 40.0, 300.0, 5000.0):
                watch = Watch(level=cast("Any", level), left_s=12, wait_s=wait_s)
                yield refusal(cast("Any", outcome), watch, 60, 2.0).message


def policy() -> Iterator[str]:
    rules = load_rules(ROOT / "presets" / "policy.yaml")
    for category in rules.categories.values():
        yield f"This server does not make {category.title}. {category.change}"
    yield from REASONS.values()
    yield from report_page.TEXTS.values()
    yield "There are many reports from your address. Send this one in 7 minutes."
    yield "You cannot make, share or report clips here until 3 May 2027."


def files() -> Iterator[str]:
    for kind in ("a PDF", "an SVG drawing", "a zip archive", None):
        yield unsupported_error(kind).message


def credentials() -> Iterator[str]:
    manifest = {
        "signature_info": {"issuer": "Kinora", "common_name": "Kinora"},
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [{
                "action": "c2pa.created", "softwareAgent": {"name": "Pocket", "version": "3"},
                "digitalSourceType": "http://cv.iptc.org/x/trainedAlgorithmicMedia"}]}},
        ],
        "ingredients": [{"title": "dog.png"}],
    }  # fmt: skip
    for state in ("Valid", "Trusted", "Invalid"):
        found = {"active_manifest": "a", "manifests": {"a": manifest}, "validation_state": state}
        for is_own in (True, False):
            yield from report_of(found, is_own=is_own).sentences


def films() -> Iterator[str]:
    """What is said of a film and of a shot that waits, cannot come, or is refused."""
    dog, card = GenerationRequest(prompt="a dog"), tiny_card()
    shots = (FilmShot(id="0" * 8, job="a" * 32), FilmShot(id="1" * 8, cut="continue"))
    film = Film(id="f", owner="me", created_at=0, shots=shots, settings=dog)
    job = Job(id="a" * 32, owner="me", state=State.RUNNING, created_at=0, request=dog,
              fitted=fit(dog, card, Limits()))  # fmt: skip
    for reached in (State.RUNNING, State.FAILED, State.CANCELLED):
        state = FilmState(film, {job.id: job.model_copy(update={"state": reached})})
        yield film_view.line(state)
        yield film_view.waiting_line(state, 1) or state.note(1) or ""
    for fields in ({"prompt": ""}, {"width": 9000}, {"image": "0" * 64, "continue_from": "0" * 64}):
        try:
            with naming_shot(1):
                fit(dog.model_copy(update=fields), card, Limits())
        except KinoraError as error:
            yield error.message
    yield "Shot 2: SVD cannot continue a clip. Cut to this shot, or choose another model."
    yield "Shot 2: No model here can continue a clip. Cut to this shot."
    yield "About 1 min 15 s · 3.0 s, 512×288"


NAMES = re.compile(
    r"SVD|[“「«][^“”「」«»]*[”」»]|Hugging Face|owner/name|AI generated|Content Credentials|AI\b"
)
ALL = (validation, fitting, edits, gpu, policy, files, credentials, films)


@pytest.mark.parametrize("source", ALL)
def test_no_part_of_a_sentence_stays_english(source: Any) -> None:
    sentences = list(dict.fromkeys(source()))
    assert sentences
    for language in OTHERS:
        for sentence in sentences:
            assert language.translate(sentence) != sentence, (language.tag, sentence)
    for language in IN_OTHER_LETTERS:
        for sentence in sentences:
            left = NAMES.sub("", language.translate(sentence))
            assert not ENGLISH_WORDS.search(left), (language.tag, sentence, left)


def test_an_entry_takes_no_more_than_its_own_sentence() -> None:
    german = languages()["de"]
    assert german.translate("Shut Away is gated. Tiny made the clip instead.") == (
        "Shut Away ist zugangsbeschränkt. Stattdessen hat Tiny den Clip erstellt."
    )
    assert german.translate("Use Tiny") == "Tiny verwenden"
    unknown = "Take a spoon. The sound cannot animate a picture."
    assert german.translate(unknown) == unknown


def test_a_value_in_a_text_from_right_to_left_keeps_its_order() -> None:
    arabic: Language = languages()["ar"]
    found = arabic.translate("Program: Kinora 0.9 (Linux).")
    assert "\u2068Kinora 0.9 (Linux)\u2069" in found
