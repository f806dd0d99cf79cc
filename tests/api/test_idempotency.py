"""Keys that were used before an update are still found after it."""

from __future__ import annotations

from typing import Any

from api.idempotency import ALWAYS_HASHED, hashed_content
from pipelines.request import GenerationRequest


class Later(GenerationRequest):
    """The request of a later version."""

    film_grain: float = 0.0


def later(**different: float) -> Later:
    values: dict[str, Any] = dict(GenerationRequest(prompt="a dog", seed=3)) | different
    return Later.model_construct(**values)


def test_a_field_of_a_later_version_changes_no_hash_until_it_is_set() -> None:
    before = hashed_content(GenerationRequest(prompt="a dog", seed=3))
    assert hashed_content(later()) == before
    assert hashed_content(later(film_grain=0.5)) != before


def test_every_field_of_the_first_version_is_hashed_even_unset() -> None:
    assert set(GenerationRequest.model_fields) >= ALWAYS_HASHED
    request = GenerationRequest(prompt="a dog")
    assert hashed_content(request) == request.model_dump_json(include=set(ALWAYS_HASHED))
