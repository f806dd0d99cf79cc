"""What the page's batch panel sends, and the requests that it stands for."""

from __future__ import annotations

from typing import Any

import pytest

from errors import ErrorCode, KinoraError
from pipelines.request import GenerationRequest
from ui.batch_spec import BatchSpec, requests_in

A, B, STAGE = "a" * 64, "b" * 64, "c" * 64


def requests(has_picture: bool = True, **spec: Any) -> list[GenerationRequest]:
    """With the controls of image to video: a picture on the stage, 7 steps, 9 frames."""

    def build(prompt: str | None, image: str | None) -> GenerationRequest:
        picture = image or (STAGE if has_picture else None)
        if picture is None:
            raise KinoraError(ErrorCode.INVALID_INPUT, "Choose a picture first.")
        written = "as on the page" if prompt is None else prompt
        return GenerationRequest(prompt=written, image=picture, num_inference_steps=7, num_frames=9)

    def check(request: GenerationRequest) -> None:
        if "{" in request.prompt:
            raise KinoraError(ErrorCode.INVALID_INPUT, "The brace in column 3 is not closed.")

    return requests_in(BatchSpec.parse(spec), build, check, has_picture=has_picture, most=4)


def refusal(**spec: Any) -> str:
    with pytest.raises(KinoraError) as refused:
        requests(**spec)
    return refused.value.message


def named(*pictures: str) -> list[dict[str, str]]:
    return [{"id": picture, "name": f"{picture[0]}.png"} for picture in pictures]


def test_each_line_is_a_clip_and_the_rest_is_as_on_the_page() -> None:
    made = requests(prompts="a dog\n\n  a cat \r\n")
    assert [(r.prompt, r.image, r.num_inference_steps) for r in made] == [
        ("a dog", STAGE, 7),
        ("a cat", STAGE, 7),
    ]


def test_pictures_have_one_prompt_for_all_or_one_each() -> None:
    pictures = named(A, B)
    assert [r.prompt for r in requests(pictures=pictures)] == ["as on the page"] * 2
    assert [(r.prompt, r.image) for r in requests(prompts="x\ny", pictures=pictures)] == [
        ("x", A),
        ("y", B),
    ]
    assert [r.image for r in requests(prompts="x", pictures=pictures)] == [A, B]
    assert [r.image for r in requests(prompts="x\ny", pictures=named(A))] == [A, A]
    assert "3 prompts do not fit 2 pictures" in refusal(prompts="x\ny\nz", pictures=pictures)


def test_a_refusal_names_the_line_or_the_file() -> None:
    assert refusal(prompts="a dog\n\na {cat") == "Line 3: The brace in column 3 is not closed."
    assert refusal(prompts="a {cat", pictures=named(A, B)).startswith("“a.png”: ")
    assert refusal(prompts=" \n ") == "Write a prompt in each line."
    assert "1 to 4 clips; this one has 5" in refusal(prompts="x\n" * 5)
    assert refusal(prompts="x", has_picture=False) == "Choose a picture first."


def test_a_csv_has_the_last_word_and_its_places_are_named() -> None:
    table = "prompt;steps;image;duration_s\na dog;3;a.png;\na cat;;b.png;2\n"
    dog, cat = requests(csv=table, pictures=named(A, B), has_picture=False)
    assert (dog.prompt, dog.num_inference_steps, dog.image, dog.num_frames) == ("a dog", 3, A, 9)
    assert (cat.num_inference_steps, cat.image, cat.num_frames, cat.duration_s) == (7, B, None, 2)
    assert "line 3, column “image”: There is no picture called “b.png”" in refusal(
        csv=table, pictures=named(A)
    )
    assert "line 2, column “steps”" in refusal(csv="prompt,steps\na dog,many\n")
    assert "line 2" in refusal(csv="prompt\na dog\n", has_picture=False)
    assert "column 2" in refusal(csv="prompt,colour\na dog,red\n")


@pytest.mark.parametrize("spec", [{"prompts": 3}, {"pictures": [{"id": "x"}]}, {"other": 1}, None])
def test_what_no_panel_sends_is_refused(spec: object) -> None:
    with pytest.raises(KinoraError) as refused:
        BatchSpec.parse(spec)
    assert refused.value.code is ErrorCode.INVALID_INPUT
