"""Reads prompt, seed, steps, guidance and size out of a graph that ComfyUI has executed.

https://docs.comfy.org: a graph is {"id": {"class_type": ..., "inputs": {...}}}, and an input is a
value or a link to another node, ["id", output].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MAX_NODES = 5000
MAX_LINKS = 40
"""Followed from one input to its value."""
TEXTS = ("text", "prompt", "positive_prompt", "string", "value", "text_g", "clip_l", "t5xxl")
NEGATIVE_TEXTS = ("negative_prompt", "text", "prompt", "string", "value")
NUMBERS = ("value", "int", "float", "number", "seed", "Number")
SEEDS = ("seed", "noise_seed")
GUIDANCE = ("cfg", "guidance", "guidance_scale")
FRAMES = ("length", "num_frames", "video_frames", "frames")

Node = dict[str, Any]
Graph = dict[str, Node]


def read_graph(found: Mapping[Any, Any]) -> dict[str, Any] | None:
    """By the names of a request; None if it is no such graph."""
    graph = _nodes_of(found)
    if not graph:
        return None
    values = {
        "prompt": _words(graph, "positive", TEXTS),
        "negative_prompt": _words(graph, "negative", NEGATIVE_TEXTS),
        "seed": _first_number(graph, SEEDS),
        "num_inference_steps": _first_number(graph, ("steps",)),
        "guidance_scale": _first_number(graph, GUIDANCE),
        **_size(graph),
    }
    return {name: value for name, value in values.items() if value is not None}


def _nodes_of(found: Mapping[Any, Any]) -> Graph:
    if len(found) > MAX_NODES:
        return {}
    return {
        str(key): node
        for key, node in found.items()
        if isinstance(node, dict)
        and isinstance(node.get("class_type"), str)
        and isinstance(node.get("inputs"), dict)
    }


def _samplers_first(graph: Graph) -> list[Node]:
    """The nodes, those that sample before others: only they decide the clip."""
    return sorted(graph.values(), key=lambda node: "sampler" not in node["class_type"].lower())


def _words(graph: Graph, side: str, names: tuple[str, ...]) -> str | None:
    """The text that a sampler's (or a guider's) `positive` or `negative` input comes from."""
    for node in _samplers_first(graph):
        inputs = node["inputs"]
        for name in (side, "conditioning") if side == "positive" else (side,):
            if name in inputs and (words := _follow_words(graph, inputs[name], side, names)):
                return words
    own = f"{side}_prompt"  # a node that encodes both texts
    for node in graph.values():
        if isinstance(node["inputs"].get(own), str):
            return node["inputs"][own]
    if side == "positive":  # nothing is linked in a way that is known here
        encoders = (n for n in graph.values() if "textencode" in n["class_type"].lower())
        for node in encoders:
            if words := _own_text(graph, node, names):
                return words
    return None


def _follow_words(graph: Graph, value: Any, side: str, names: tuple[str, ...]) -> str | None:
    for _ in range(MAX_LINKS):
        if isinstance(value, str):
            return value
        node = _linked(graph, value)
        if node is None:
            return None
        words = _own_text(graph, node, names)
        if words is not None:
            return words
        inputs = node["inputs"]
        # nodes that pass conditioning on have the same two inputs
        onward = [name for name in (side, "conditioning", "conditioning_1") if name in inputs]
        if not onward:
            return None
        value = inputs[onward[0]]
    return None


def _own_text(graph: Graph, node: Node, names: tuple[str, ...]) -> str | None:
    for name in names:
        value = node["inputs"].get(name)
        for _ in range(MAX_LINKS):
            linked = _linked(graph, value)
            if linked is None:
                break
            value = next((linked["inputs"][n] for n in TEXTS if n in linked["inputs"]), None)
        if isinstance(value, str):
            return value
    return None


def _first_number(graph: Graph, names: tuple[str, ...]) -> int | float | None:
    for node in _samplers_first(graph):
        for name in names:
            if name in node["inputs"]:
                value = _number(graph, node["inputs"][name])
                if value is not None:
                    return value
    return None


def _number(graph: Graph, value: Any) -> int | float | None:
    for _ in range(MAX_LINKS):
        linked = _linked(graph, value)
        if linked is None:
            break
        value = next((linked["inputs"][name] for name in NUMBERS if name in linked["inputs"]), None)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number else None


def _size(graph: Graph) -> dict[str, Any]:
    """Of the node that makes the empty latents: it has a width, a height and a length."""
    for node in _with_size(graph):
        inputs = node["inputs"]
        frames = next((_number(graph, inputs[name]) for name in FRAMES if name in inputs), None)
        width, height = (_number(graph, inputs[name]) for name in ("width", "height"))
        return {"width": width, "height": height, "num_frames": frames}
    return {}


def _with_size(graph: Graph) -> Iterator[Node]:
    sized = [n for n in graph.values() if {"width", "height"} <= set(n["inputs"])]
    yield from sorted(sized, key=lambda node: not set(FRAMES) & set(node["inputs"]))


def _linked(graph: Graph, value: Any) -> Node | None:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str | int):
        return graph.get(str(value[0]))
    return None
