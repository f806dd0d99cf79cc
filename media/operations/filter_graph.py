"""Builds the text of an ffmpeg filter graph, and the inputs and files that it reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

Medium = Literal["video", "sound"]
SINK: dict[Medium, str] = {"video": "nullsink", "sound": "anullsink"}
SPLIT: dict[Medium, str] = {"video": "split", "sound": "asplit"}


class Label(NamedTuple):
    """A stream between two filters. Each is read once; `FilterGraph.split` makes copies."""

    medium: Medium
    name: str

    def __str__(self) -> str:
        return f"[{self.name}]"


class _Filters(NamedTuple):
    text: str
    inputs: tuple[Label, ...]
    outputs: tuple[Label, ...]


@dataclass
class FilterGraph:
    """ffmpeg runs in `folder`, so that filters name the files in it without a path: nothing that a
    user wrote is ever part of the text, and nothing has to be escaped."""

    folder: Path
    inputs: list[tuple[str, ...]] = field(default_factory=list)
    """Per input file, its options up to and with `-i FILE`."""
    _filters: list[_Filters] = field(default_factory=list)
    _num_labels: int = 0

    def add_input(self, *options: str) -> int:
        """Returns the number of the input, as in `[0:v]`."""
        self.inputs.append(options)
        return len(self.inputs) - 1

    def stream(self, medium: Medium, specifier: str) -> Label:
        """A stream of an input, such as `0:1`."""
        return Label(medium, specifier)

    def video(self, filters: str, *inputs: Label) -> Label:
        """Adds filters, comma-separated, with one video output."""
        return self._add("video", filters, inputs, 1)[0]

    def sound(self, filters: str, *inputs: Label) -> Label:
        """Adds filters, comma-separated, with one sound output."""
        return self._add("sound", filters, inputs, 1)[0]

    def split(self, label: Label, count: int = 2) -> tuple[Label, ...]:
        """Copies a stream, because each label is read once."""
        return self._add(label.medium, f"{SPLIT[label.medium]}={count}", (label,), count)

    def add_file(self, name: str, content: bytes) -> str:
        """Writes a file that a filter reads; returns its name. `name`: letters, digits, `.`, `-`"""
        (self.folder / name).write_bytes(content)
        return name

    def text(self, *wanted: Label) -> str:
        """The graph that makes the wanted streams, without the filters that they do not need."""
        producers = {label: filters for filters in self._filters for label in filters.outputs}
        needed: list[_Filters] = []
        used: set[Label] = set(wanted)
        waiting = list(wanted)
        while waiting:
            filters = producers.get(waiting.pop())
            if filters is not None and filters not in needed:
                needed.append(filters)
                used.update(filters.inputs)
                waiting.extend(filters.inputs)
        chains: list[str] = []
        for filters in self._filters:
            if filters in needed:
                inputs, outputs = ("".join(map(str, each)) for each in filters[1:])
                chains.append(f"{inputs}{filters.text}{outputs}")
                chains += [
                    f"{each}{SINK[each.medium]}" for each in filters.outputs if each not in used
                ]
        return ";".join(chains)

    def _add(
        self, medium: Medium, text: str, inputs: tuple[Label, ...], count: int
    ) -> tuple[Label, ...]:
        outputs = tuple(Label(medium, f"{medium[0]}{self._num_labels + n}") for n in range(count))
        self._num_labels += count
        self._filters.append(_Filters(text, inputs, outputs))
        return outputs
