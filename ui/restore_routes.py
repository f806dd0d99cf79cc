"""The page's own route for the settings of a clip that was dropped, pasted or linked."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from jobs.restored_settings import RestoredSettings
from settings import Settings
from ui.route_helpers import PREFIX, fresh_json, guarded, in_thread, read_json, read_limited
from web.restore_tools import RestoreTools

MAX_BODY = 16_000
CONTINUED = "It continues another clip, which this form cannot: press Continue under that clip."


class RestoreRoutes:
    def __init__(self, tools: RestoreTools, settings: Settings) -> None:
        self.tools = tools
        self.settings = settings

    def routes(self) -> list[Route]:
        path = f"{PREFIX}/settings/read"
        return [Route(path, guarded(self.read_settings), methods=["POST"])]

    async def read_settings(self, request: Request, owner: str) -> Response:
        """The clip is the body; or JSON with its `link`."""
        if request.headers.get("content-type", "").startswith("application/json"):
            link = (await read_json(request, MAX_BODY)).get("link")
            found = await in_thread(self.tools.read_link, link, owner)
        else:
            with TemporaryDirectory(prefix="kinora-") as folder:
                path = Path(folder) / "given"
                with path.open("wb") as file:
                    most = self.settings.max_video_upload_mb
                    async for chunk in read_limited(request, "clip", most):
                        file.write(chunk)
                found = await in_thread(self.tools.read_file, path, owner)
        return fresh_json(await in_thread(self._view, found, owner))

    def _view(self, found: RestoredSettings, owner: str) -> dict[str, Any]:
        """With the picture or clip of the stage, as it was when it was uploaded."""
        view = found.model_dump(mode="json")
        for name in ("image", "video"):
            if name in found.settings:
                path = self.tools.service.upload_path(found.settings[name], owner)
                width, height = _size_of(path)
                view["input"] = {"id": found.settings[name], "width": width, "height": height}
        if "continue_from" in found.settings:
            view["notes"].append(CONTINUED)
        return view


def _size_of(upload: Path) -> tuple[int, int]:
    """Width and height of a stored picture or clip."""
    if upload.suffix == ".png":
        from media.images import load_picture

        with load_picture(upload.stem, upload.parent) as picture:
            return picture.size
    from media.videos import find_video

    clip = find_video(upload.stem, upload.parent)
    return clip.width, clip.height
