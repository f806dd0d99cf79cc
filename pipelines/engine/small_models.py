"""Models beside the one that makes clips, from the Hub or a folder: safetensors only."""

from __future__ import annotations

from pathlib import Path

from pipelines.models.failures import Reason, failure
from pipelines.models.hub import Hub, Listing, list_folder
from pipelines.models.repository import choose_files
from settings import Settings


def fetch_small_model(name: str, settings: Settings) -> Path:
    """The folder with the files of a transformers model, downloaded where they are missing. Raises
    KinoraError. `name`: a folder, or `owner/name@revision`."""
    folder = Path(name).expanduser()
    hub = Hub(settings)
    listing: Listing
    if folder.is_dir():
        listing = list_folder(folder, name)
    else:
        repo, _, revision = name.partition("@")
        listing = hub.listing(repo, revision or None)
    choice = choose_files("", "transformers", listing.sizes, name)
    if not choice.has_weights:
        raise failure(Reason.MISSING_COMPONENT, name, "model")
    return hub.fetch(listing, choice.paths)
