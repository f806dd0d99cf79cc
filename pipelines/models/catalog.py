"""Finds models by name: the installed cards, and cards made for pasted Hub ids and local folders.

For `owner/name`, `owner/name@revision` or `local/NAME` a card is made: the class in
model_index.json and the components' configurations say what the model can do. Only these and the
sizes of the files are read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from errors import KinoraError
from pipelines.models.cards import ModelCard, Needs, find_by_repository
from pipelines.models.failures import Reason, failure
from pipelines.models.repository import INDEX, Index, choose_components, read_index, total_bytes
from settings import Settings

if TYPE_CHECKING:
    from pipelines.models.hub import Hub, Listing

log = logging.getLogger(__name__)

PASTED = re.compile(r"([A-Za-z0-9][\w.-]*/[\w.-]+)(?:@([\w./-]+))?", re.ASCII)
MODULAR_INDEX = "modular_model_index.json"
LOCAL = "local"
"""The owner in the name of a folder on this machine."""
FAILED_FOR_S = 20.0
"""How long a failed name is not retried: the page looks it up at every change of its form."""
LICENSE = "see the model's page"
SMALL_GB = 2.0
"""Up to this size a model counts as usable without a GPU."""


class Catalog(Mapping[str, ModelCard]):
    """As a mapping: the installed cards in their order. `get` also returns pasted models that were
    found before, without the network; `find` uses it. Thread-safe."""

    def __init__(
        self, cards: Mapping[str, ModelCard], settings: Settings, hub: Hub | None = None
    ) -> None:
        self._cards = cards
        self._settings = settings
        self._hub_override = hub
        self._folder = settings.data_dir / "cache" / "cards"
        self._pasted: dict[str, ModelCard] = {}
        self._failed: dict[str, tuple[float, KinoraError]] = {}
        self._find_lock = threading.Lock()

    def __getitem__(self, name: str) -> ModelCard:
        card = self._cards.get(name) or self._pasted.get(name) or self._read_cached(name)
        if card is None:
            raise KeyError(name)
        return card

    def __iter__(self) -> Iterator[str]:
        return iter(self._cards)

    def __len__(self) -> int:
        return len(self._cards)

    def find(self, name: str) -> ModelCard | None:
        """The card of that id or repository, or one made for a Hub id or a local folder.

        None for a name that can be neither; raises KinoraError for a model that cannot be used."""
        name = name.strip()
        card = self.get(name) or find_by_repository(name, self._cards.values())
        if card is not None:
            return card
        pasted = PASTED.fullmatch(name)
        if pasted is None or ".." in name or not self._is_allowed(pasted):
            return None
        # one look-up at a time: those that wait find the card, or the error, of the first
        with self._find_lock:
            at, error = self._failed.get(name, (0.0, None))
            if error is not None and time.monotonic() - at < FAILED_FOR_S:
                raise error
            try:
                card = self._make_card(pasted[1], pasted[2])
            except KinoraError as error:
                self._failed[name] = (time.monotonic(), error)
                raise
            self._cache(card)
        return card

    # -- inside ----------------------------------------------------------------------------------

    @cached_property
    def _hub(self) -> Hub:
        """With fewer retries than a download has, because a person is waiting for the answer."""
        from pipelines.models.download import RetryPolicy
        from pipelines.models.hub import Hub

        quick = RetryPolicy(tries=3, first_wait_s=0.5, longest_wait_s=4.0, timeout_s=10.0)
        return self._hub_override or Hub(self._settings, quick)

    def _is_allowed(self, pasted: re.Match[str]) -> bool:
        """Any model, or on a Space only those in the operator's folder."""
        own = pasted[2] is None and self._own_folder(pasted[1]) is not None
        return self._settings.any_model or own

    def _own_folder(self, repo: str) -> Path | None:
        owner, _, name = repo.partition("/")
        root = self._settings.local_models_dir
        folder = root / name if root and owner == LOCAL else None
        return folder if folder is not None and folder.is_dir() else None

    def _make_card(self, repo: str, revision: str | None) -> ModelCard:
        from pipelines.models.hub import list_folder

        folder = None if revision else self._own_folder(repo)
        if folder is not None:
            listing, id_, where, commit = list_folder(folder, repo), repo, str(folder), None
        else:
            listing = self._hub.listing(repo, revision)
            # with the commit in its id, a job that waits is made with the same files
            id_, where, commit = f"{repo}@{listing.commit}", repo, listing.commit or None
        if INDEX not in listing.files:
            is_modular = MODULAR_INDEX in listing.files
            raise failure(Reason.MODULAR if is_modular else Reason.NOT_A_PIPELINE, repo)
        index = read_index(self._hub.read(listing, INDEX), repo)
        card = self._read_card(index, listing)
        choices = choose_components(index, listing.sizes, repo, self._settings.model_variant)
        gb = total_bytes(choices.values(), listing.sizes) / 1e9
        alike = [c for c in self._cards.values() if c.family == card.family and not c.is_local]
        return ModelCard.model_validate(
            card.model_dump()
            | {
                "id": id_,
                "name": repo,
                "repo": where,
                "revision": commit,
                "license": LICENSE,
                "needs": _needs(_nearest_needs(alike, card, gb), gb),
            }
        )

    def _read_card(self, index: Index, listing: Listing) -> ModelCard:
        from pipelines.models.class_facts import CONFIG_FILES
        from pipelines.models.generic_card import generic_card

        configs: dict[str, dict[str, object]] = {}
        for component in index.components:
            paths = (f"{component}/{name}" for name in CONFIG_FILES)
            for path in (path for path in paths if path in listing.files):
                with suppress(ValueError):
                    configs[component] = json.loads(self._hub.read(listing, path))
        return generic_card(listing.name, index, configs, self._cards.values())

    def _cache(self, card: ModelCard) -> None:
        self._pasted[card.id] = card
        if "@" in card.id:  # a commit never changes, a folder may
            with suppress(OSError):
                self._folder.mkdir(parents=True, exist_ok=True)
                part = self._file(card.id).with_suffix(".part")
                part.write_text(card.model_dump_json(), encoding="utf-8")
                part.replace(self._file(card.id))

    def _read_cached(self, name: str) -> ModelCard | None:
        """A card that this or another process made earlier."""
        if "@" not in name or not self._settings.any_model:
            return None
        with suppress(OSError, ValidationError):
            text = self._file(name).read_text(encoding="utf-8")
            card = ModelCard.model_validate_json(text)
            if card.id == name:
                return self._pasted.setdefault(name, card)
        return None

    def _file(self, name: str) -> Path:
        digest = hashlib.sha256(name.encode()).hexdigest()
        return self._folder / f"{digest[:32]}.json"


def _nearest_needs(alike: Iterable[ModelCard], card: ModelCard, disk_gb: float) -> Needs | None:
    """Of the cards for the same tasks, or of all, the needs of the one that is nearest in size."""

    def distance(each: ModelCard) -> tuple[bool, float]:
        ratio = max(1.0, disk_gb) / max(each.needs.disk_gb, 0.001)
        return set(each.tasks) != set(card.tasks), abs(math.log(ratio))

    nearest = min(alike, key=distance, default=None)
    return nearest and nearest.needs


def _needs(template: Needs | None, disk_gb: float) -> Needs:
    """The template's needs in proportion to the size of the files, else guessed from that size."""
    if template is None:
        vram_gb, ram_gb = (disk_gb * 1.2 + 2 if disk_gb > SMALL_GB else None), disk_gb * 1.2 + 1
    else:
        ratio = disk_gb / template.disk_gb if template.disk_gb else 1.0
        vram_gb, ram_gb = template.vram_gb and template.vram_gb * ratio, template.ram_gb * ratio
    return Needs(
        vram_gb=vram_gb and round(max(1.0, vram_gb), 1),
        ram_gb=round(max(1.0, ram_gb), 1),
        disk_gb=max(0.01, round(disk_gb, 2)),
    )
