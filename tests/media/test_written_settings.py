"""What other programs and our own wrote into a clip's tags; and what hostile files cannot do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from errors import KinoraError
from media.encode import encode
from media.tags import parse_ffmetadata, read_tags
from media.written_settings import find_settings
from tests.finished import frames_of

KSAMPLER = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 42, "steps": 20, "cfg": 6.5, "sampler_name": "uni_pc", "denoise": 1,
            "model": ["48", 0], "positive": ["50", 0], "negative": ["50", 1],
            "latent_image": ["40", 0],
        },
    },
    "50": {
        "class_type": "WanImageToVideo",
        "inputs": {"positive": ["6", 0], "negative": ["7", 0], "width": 640, "height": 360},
    },
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox in snow", "clip": ["38", 0]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": ["9", 0], "clip": ["38", 0]}},
    "9": {"class_type": "PrimitiveString", "inputs": {"value": "blurry"}},
    "40": {
        "class_type": "EmptyHunyuanLatentVideo",
        "inputs": {"width": 832, "height": 480, "length": 33, "batch_size": 1},
    },
}  # fmt: skip
CUSTOM = {
    "1": {"class_type": "SamplerCustomAdvanced", "inputs": {
        "noise": ["2", 0], "guider": ["4", 0], "sigmas": ["5", 0], "latent_image": ["8", 0]}},
    "2": {"class_type": "RandomNoise", "inputs": {"noise_seed": 7}},
    "4": {"class_type": "CFGGuider", "inputs": {
        "cfg": 3, "positive": ["6", 0], "negative": ["6", 1]}},
    "5": {"class_type": "LTXVScheduler", "inputs": {"steps": 30}},
    "6": {"class_type": "LTXVConditioning", "inputs": {
        "positive": ["10", 0], "negative": ["11", 0], "frame_rate": 25}},
    "8": {"class_type": "EmptyLTXVLatentVideo", "inputs": {
        "width": 768, "height": 512, "length": 97}},
    "10": {"class_type": "CLIPTextEncode", "inputs": {"text": "a wave"}},
    "11": {"class_type": "CLIPTextEncode", "inputs": {"text": "low quality"}},
}  # fmt: skip
FROM_KSAMPLER = {
    "prompt": "a fox in snow", "negative_prompt": "blurry", "seed": 42, "num_inference_steps": 20,
    "guidance_scale": 6.5, "width": 832, "height": 480, "num_frames": 33,
}  # fmt: skip
FROM_CUSTOM = {
    "prompt": "a wave", "negative_prompt": "low quality", "seed": 7, "num_inference_steps": 30,
    "guidance_scale": 3, "width": 768, "height": 512, "num_frames": 97,
}  # fmt: skip
WAN2GP = {
    "prompt": "a fox", "negative_prompt": "", "seed": 5, "num_inference_steps": 30,
    "guidance_scale": 5.0, "resolution": "832x480", "video_length": 81, "model_type": "t2v_1.3B",
    "type": "WanGP v12.61 by DeepBeepMeep", "flow_shift": 5.0,
}  # fmt: skip
SDNEXT = (
    "a fox, running\nNegative prompt: blurry, text\nSteps: 25, Sampler: UniPC, CFG scale: 5.5, "
    'Seed: 99, Size: 832x480, Frames: 49, Model: "Wan-AI/Wan2.1", App: SD.Next, Version: 1a2b3c'
)


@pytest.mark.parametrize(
    ("graph", "values"), [(KSAMPLER, FROM_KSAMPLER), (CUSTOM, FROM_CUSTOM)], ids=["usual", "custom"]
)
def test_a_graph_of_comfyui_is_read_by_its_links(graph: Any, values: Any) -> None:
    text = json.dumps(graph)
    own_node = {"prompt": text, "workflow": "{}"}
    video_helper = {"comment": json.dumps({"prompt": text, "workflow": {"nodes": []}})}
    for tags in (own_node, video_helper):
        found = find_settings(tags)
        assert found and (found.program, found.values) == ("comfyui", values)


def test_the_settings_of_wan2gp_are_read() -> None:
    found = find_settings({"comment": json.dumps(WAN2GP)})
    assert found and (found.program, found.model) == ("wan2gp", "t2v_1.3B")
    assert found.values == {
        "prompt": "a fox", "negative_prompt": "", "seed": 5, "num_inference_steps": 30,
        "guidance_scale": 5.0, "num_frames": 81, "width": 832, "height": 480,
    }  # fmt: skip


def test_a_text_of_parameters_is_read() -> None:
    found = find_settings({"comment": SDNEXT})
    assert found and (found.program, found.model) == ("sdnext", "Wan-AI/Wan2.1")
    assert found.values == {
        "prompt": "a fox, running", "negative_prompt": "blurry, text", "seed": "99",
        "num_inference_steps": "25", "guidance_scale": "5.5", "num_frames": "49", "width": 832,
        "height": 480,
    }  # fmt: skip


@pytest.mark.parametrize(
    "tags",
    [
        {}, {"comment": "my holiday"}, {"comment": "Steps: 3"}, {"comment": "{"}, {"prompt": "{}"},
        {"comment": '{"made_by": "Kinora"}'}, {"comment": '{"prompt": "a fox"}'}, {"prompt": "[1]"},
        {"comment": "[" * 50_000}, {"comment": '{"a":' * 5000}, {"prompt": '{"1": {"inputs": 3}}'},
    ],
    ids=lambda tags: str(tags)[:20],
)  # fmt: skip
def test_any_other_tag_is_no_settings(tags: dict[str, str]) -> None:
    assert find_settings(tags) is None


def test_links_in_a_circle_end() -> None:
    circle = {
        "1": {"class_type": "KSampler", "inputs": {
            "positive": ["2", 0], "negative": ["2", 1], "seed": ["1", 0], "steps": ["3", 0]}},
        "2": {"class_type": "Pass", "inputs": {
            "positive": ["2", 0], "negative": ["3", 0], "text": ["2", 0]}},
        "3": {"class_type": "Pass", "inputs": {"negative": ["2", 0], "value": ["3", 0]}},
    }  # fmt: skip
    found = find_settings({"prompt": json.dumps(circle)})
    assert found and found.values == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
NAMES = st.sampled_from(["positive", "negative", "text", "seed", "steps", "cfg", "width", "height"])
NODES = st.dictionaries(
    st.sampled_from("12345"),
    st.fixed_dictionaries({
        "class_type": st.sampled_from(["KSampler", "CLIPTextEncode", "EmptyLatent", ""]) | JSON,
        "inputs": st.dictionaries(NAMES, st.tuples(st.sampled_from("12345"), JSON) | JSON) | JSON,
    }) | JSON,
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["comment", "description", "parameters", "prompt", "workflow"]),
        st.text(max_size=60)
        | st.dictionaries(st.sampled_from(sorted(WAN2GP)), JSON).map(json.dumps)
        | NODES.map(json.dumps)
        | NODES.map(lambda nodes: json.dumps({"prompt": nodes})),
    )
)
@example({"comment": "Steps: 1, " * 10_000})
def test_hostile_tags_raise_nothing(tags: dict[str, str]) -> None:
    found = find_settings(tags)
    assert found is None or isinstance(found.values, dict)


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("a=;#\\\n[]é"), max_size=40))
def test_hostile_metadata_is_parsed_to_its_end(text: str) -> None:
    parsed = parse_ffmetadata(f";FFMETADATA1\n{text}")
    assert all(isinstance(value, str) for value in parsed.values())


@pytest.mark.parametrize("form", ["mp4", "webm"])
def test_a_comment_comes_back_as_it_was_written(tmp_path: Path, form: Any) -> None:
    written = json.dumps({"prompt": "x=;#\\\n é 🦊 [b]\n[c]"}, ensure_ascii=False)
    clip = encode(frames_of(32, 32), tmp_path / f"a.{form}", fps=8, format=form, comment=written)
    assert read_tags(clip.path)["comment"] == written


def test_a_damaged_file_has_no_tags_and_another_kind_is_refused(tmp_path: Path) -> None:
    whole = encode(frames_of(32, 32), tmp_path / "a.mp4", fps=8, comment="{}").path.read_bytes()
    for name, content in {"cut": whole[:60], "noise": whole[:8] + bytes(range(256)) * 9}.items():
        (tmp_path / name).write_bytes(content)
        assert "comment" not in read_tags(tmp_path / name)
    (tmp_path / "text").write_bytes(b"#EXTM3U\nfile:///etc/passwd\n")
    with pytest.raises(KinoraError):
        read_tags(tmp_path / "text")
