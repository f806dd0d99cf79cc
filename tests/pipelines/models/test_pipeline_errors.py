"""Errors of diffusers' pipelines become sentences; ours stay internal."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest

from errors import ErrorCode, KinoraError
from pipelines.models.cards import ModelCard, load_cards
from pipelines.models.failures import loading_error, missing_package
from pipelines.models.pipeline_errors import (
    LONGEST,
    meaning,
    pipeline_error,
    pipeline_errors_as_kinora_errors,
)
from settings import ROOT


@pytest.fixture(scope="module")
def card() -> ModelCard:
    return next(iter(load_cards(ROOT / "presets" / "models").values()))


def check_inputs(*arguments: Any, **named: Any) -> None:
    """Those of a pipeline that needs none of its components for it."""
    from diffusers import WanPipeline

    pipeline_class: Any = WanPipeline
    pipeline_class.check_inputs(None, "a dog", None, *arguments, **named)


def refused_by_diffusers() -> None:
    check_inputs(63, 64)


def failed_in_diffusers() -> None:
    check_inputs(64, 64, callback_on_step_end_tensor_inputs=["x"])  # looks at the pipeline itself


def error_of(call: Callable[[], None]) -> Exception:
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_a_refusal_of_a_pipeline_is_said_in_its_words(card: ModelCard) -> None:
    with pytest.raises(KinoraError) as caught, pipeline_errors_as_kinora_errors(card):
        refused_by_diffusers()
    error = caught.value
    assert error.code is ErrorCode.MODEL_REFUSED
    assert not error.kind.retryable
    assert error.message == (
        f"{card.name} cannot make this clip. Its pipeline says: “height and width have to be "
        "divisible by 16 but are 63 and 64.” Change the request, or choose another model."
    )
    assert isinstance(error.__cause__, ValueError)


def test_a_defect_of_a_pipeline_is_not_ours(card: ModelCard) -> None:
    error = pipeline_error(error_of(failed_in_diffusers), card.name)
    assert error is not None
    assert error.code is ErrorCode.MODEL_REFUSED
    assert "Its pipeline in diffusers failed" in error.message
    assert error.details["reason"] == "pipeline_failed"


def raised_in(error: Exception, *packages: str) -> Exception:
    """That error, from a frame of the last of these packages, called by the one before it."""

    def call(depth: int = 0) -> None:
        if depth == len(packages):
            raise error
        frame = {"__name__": f"{packages[depth]}.somewhere", "call": call, "depth": depth + 1}
        exec("call(depth)", frame)  # noqa: S102

    return error_of(call)


def test_what_a_pipeline_comes_upon_is_no_refusal(card: ModelCard) -> None:
    """Python itself raises the TypeError: its words are not about what the user asked for."""

    error = pipeline_error(error_of(lambda: check_inputs("wide", 64)), card.name)
    assert error is not None
    assert error.details["reason"] == "pipeline_failed"


def test_a_name_whose_import_was_skipped_names_the_package(card: ModelCard) -> None:
    from diffusers.pipelines.cosmos import pipeline_cosmos2_5_predict as module

    assert find_spec("torchvision") is None

    def used() -> None:
        code = compile("torchvision.transforms", module.__file__, "exec")
        exec(code, dict(vars(module)))  # noqa: S102

    error = pipeline_error(error_of(used), card.name)
    assert error is not None
    assert "needs the Python package torchvision" in error.message


def test_an_attribute_that_we_look_up_in_vain_is_our_defect(card: ModelCard) -> None:
    from diffusers import DDIMScheduler

    def looked_up() -> None:
        frame = {"__name__": "pipelines.somewhere", "scheduler": DDIMScheduler()}
        exec("scheduler.no_such_thing", frame)  # noqa: S102

    assert pipeline_error(error_of(looked_up), card.name) is None


def test_our_own_errors_stay_ours(card: ModelCard) -> None:
    for packages in (["pipelines"], ["pipelines", "diffusers", "pipelines"], ["torch"], []):
        assert pipeline_error(raised_in(ValueError("x"), *packages), card.name) is None
    for packages in (["diffusers"], ["pipelines", "diffusers", "torch"], ["jobs", "transformers"]):
        assert pipeline_error(raised_in(ValueError("x"), *packages), card.name) is not None


def test_out_of_memory_and_broken_hardware_are_neither(card: ModelCard) -> None:
    for error in (
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        OSError("Input/output error"),
    ):
        assert pipeline_error(raised_in(error, "diffusers"), card.name) is None
    shapes = RuntimeError("The size of tensor a (8) must match the size of tensor b (16)")
    assert pipeline_error(raised_in(shapes, "diffusers"), card.name) is not None


@pytest.mark.parametrize(
    ("raised", "shown"),
    [
        (
            "For single controlnet, `image` must be of type `list` but got <class 'NoneType'>",
            "For single controlnet, image must be of type list but got NoneType.",
        ),
        ("Cannot load /home/me/models/x/vae/config.json now", "Cannot load a file now."),
        (r"Cannot load C:\Users\me\x.bin", "Cannot load a file."),
        ("Got <PIL.Image.Image image mode=RGB at 0x7f3a>", "Got PIL.Image.Image."),
        ("Expected 4 and/or 5 dimensions", "Expected 4 and/or 5 dimensions."),
        ("Bad value tensor([[1, 2], [3, 4]], dtype=x)!", "Bad value a tensor!"),
        ("One.\n\n  Two", "One. Two."),
        ("", "ValueError."),
    ],
)
def test_the_meaning_has_no_paths_and_no_code(raised: str, shown: str) -> None:
    assert meaning(ValueError(raised)) == shown


def test_the_meaning_is_short() -> None:
    shown = meaning(ValueError("word " * 1000))
    assert len(shown) <= LONGEST + 2
    assert shown.endswith("word …")
    assert meaning(ValueError("A sentence. " + "More " * 100)) == "A sentence."


@pytest.mark.parametrize(
    ("raised", "package"),
    [
        (
            ImportError(
                "`cosmos_guardrail` is not installed. Please install it to use the safety checker "
                "for Cosmos: `pip install cosmos_guardrail`."
            ),
            "cosmos_guardrail",
        ),
        (
            ImportError("X requires the OpenCV library but it was not found. You can install it "
                        "with pip: `pip install opencv-python`"),
            "opencv-python",
        ),
        (ModuleNotFoundError("No module named 'ftfy'", name="ftfy.fixes"), "ftfy"),
        (ImportError("cannot import name 'X' from 'transformers'", name="transformers"), None),
        (ValueError("pip install nothing"), None),
    ],
)  # fmt: skip
def test_a_missing_package_is_named(
    raised: Exception, package: str | None, card: ModelCard
) -> None:
    assert missing_package(raised) == package
    if package:
        error = loading_error(raised, card)
        assert error.code is ErrorCode.MODEL_REFUSED
        assert f"needs the Python package {package}, which is not installed" in error.message
