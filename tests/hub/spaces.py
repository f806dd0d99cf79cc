"""The half of the small Hub that takes Spaces: accounts, creation, uploads, commits, builds.

Refuses what the real one refuses: tokens that only read, hardware that a free account may not have,
headers it does not like, binary content outside of large files, large files that never arrived.
"""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import yaml

GITATTRIBUTES = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
FIRST_README = b"---\ntitle: Kinora\nsdk: gradio\napp_file: app.py\n---\n"
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
ZERO = "zero-a10g"


class Answer(NamedTuple):
    status: int
    value: Any = None
    headers: Mapping[str, str] = MappingProxyType({})


@dataclass
class Account:
    name: str
    role: str = "write"
    free: bool = False
    orgs: tuple[str, ...] = ()


@dataclass
class Space:
    hardware: str
    files: dict[str, bytes]
    large: set[str] = field(default_factory=set)
    """Those that are kept as large files."""
    commits: list[dict[str, Any]] = field(default_factory=list)
    builds: list[str] = field(default_factory=lambda: ["RUNNING"])
    """The stages that are still to come, one for each time the runtime is asked for."""
    error: str | None = None
    runs: str | None = None
    """The commit that runs."""

    @property
    def sha(self) -> str:
        names = "".join(f"{name} {blob_id(data)}\n" for name, data in sorted(self.files.items()))
        return hashlib.sha1(names.encode(), usedforsecurity=False).hexdigest()


def blob_id(data: bytes) -> str:
    header = b"blob %d\0" % len(data)
    return hashlib.sha1(header + data, usedforsecurity=False).hexdigest()


@dataclass
class Spaces:
    """What of the Hub is about Spaces. `answer` is None for what is not."""

    url: str
    accounts: dict[str, Account] = field(default_factory=dict)
    """By token."""
    spaces: dict[str, Space] = field(default_factory=dict)
    next_builds: tuple[str, ...] = ("RUNNING", "BUILDING", "APP_STARTING", "RUNNING")
    """The stages after a commit. The first is still that of the version before."""
    next_error: str | None = None
    arrived: dict[str, bytes] = field(default_factory=dict)
    """Large files by their digest."""
    loses: str | None = None
    """A file of a commit that is not kept, as if somebody had removed it at the same moment."""

    def answer(
        self, method: str, path: str, query: dict[str, list[str]], token: str | None, body: bytes
    ) -> Answer | None:
        who = self.accounts.get(token or "")
        name = r"([^/]+/[^/]+)"
        routes: list[tuple[str, str, Callable[..., Answer]]] = [
            ("GET", r"/api/whoami-v2", self._whoami),
            ("POST", r"/api/repos/create", self._create),
            ("POST", r"/api/validate-yaml", self._validate),
            ("GET", rf"/api/spaces/{name}/runtime", self._runtime),
            ("POST", rf"/api/spaces/{name}/hardware", self._set_hardware),
            ("POST", rf"/api/spaces/{name}/preupload/main", self._preupload),
            ("POST", rf"/api/spaces/{name}/commit/main", self._commit),
            ("GET", rf"/api/spaces/{name}/tree/main", self._tree),
            ("GET", rf"/api/spaces/{name}(?:/revision/main)?", self._info),
            ("POST", rf"/spaces/{name}\.git/info/lfs/objects/batch", self._batch),
            ("PUT", r"/lfs/([0-9a-f]{64})", self._take_large),
        ]
        for wanted, pattern, handle in routes:
            found = re.fullmatch(pattern, path)
            if wanted == method and found:
                return handle(who, body, *found.groups())
        return None

    # -- accounts and repositories ---------------------------------------------------------------

    def _whoami(self, who: Account | None, _body: bytes) -> Answer:
        if who is None:
            return _no(401, "Invalid username or password.")
        token = {"displayName": "a token", "role": who.role}
        return Answer(
            200,
            {
                "type": "user",
                "name": who.name,
                "isPro": not who.free,
                "orgs": [{"type": "org", "name": name} for name in who.orgs],
                "auth": {"type": "access_token", "accessToken": token},
            },
        )

    def _create(self, who: Account | None, body: bytes) -> Answer:
        asked = json.loads(body)
        owner = asked.get("organization") or (who.name if who else "")
        name = f"{owner}/{asked['name']}"
        if who is None:
            return _no(401, "Invalid username or password.")
        if not self._may_write(who, name):
            return _no(
                403, f'You don\'t have the rights to create a space under the namespace "{owner}"'
            )
        if asked.get("type") != "space" or asked.get("sdk") != "gradio":
            return _no(400, "a Space needs an SDK")
        if name in self.spaces:
            url = f"{self.url}/spaces/{name}"
            return Answer(409, {"error": "You already created this space repo", "url": url})
        hardware = asked.get("hardware") or "cpu-basic"
        if who.free and hardware != ZERO:
            return _no(402, "Creating a Gradio Space on this hardware requires a PRO subscription.")
        first = {".gitattributes": GITATTRIBUTES, "README.md": FIRST_README}
        self.spaces[name] = Space(hardware, first, commits=[{"summary": "initial commit"}])
        return Answer(200, {"url": f"{self.url}/spaces/{name}", "name": name})

    def _validate(self, who: Account | None, body: bytes) -> Answer:
        text = json.loads(body)["content"]
        found = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
        header = yaml.safe_load(found[1]) if found else {}
        errors = []
        if len(header.get("short_description", "")) > 60:
            errors.append('"short_description" length must be less than or equal to 60')
        for key in ("colorFrom", "colorTo"):
            if header.get(key, "red") not in COLOURS:
                errors.append(f'"{key}" must be one of {sorted(COLOURS)}')
        told = {"errors": [{"message": each} for each in errors], "warnings": []}
        return Answer(400 if errors else 200, told)

    def _info(self, who: Account | None, _body: bytes, name: str) -> Answer:
        space = self.spaces.get(name)
        if space is None:
            return _no(404 if who else 401, "Repository not found", "RepoNotFound")
        siblings = [{"rfilename": path} for path in sorted(space.files)]
        return Answer(200, {"id": name, "sha": space.sha, "private": False, "siblings": siblings})

    def _tree(self, who: Account | None, _body: bytes, name: str) -> Answer:
        space = self.spaces[name]
        entries = []
        for path, data in sorted(space.files.items()):
            entry: dict[str, Any] = {"type": "file", "oid": blob_id(data), "size": len(data)}
            if path in space.large:
                digest = hashlib.sha256(data).hexdigest()
                entry["lfs"] = {"oid": digest, "size": len(data), "pointerSize": 130}
            entries.append(entry | {"path": path})
        return Answer(200, entries)

    # -- uploads ---------------------------------------------------------------------------------

    def _preupload(self, who: Account | None, body: bytes, name: str) -> Answer:
        if refused := self._refused(who, name):
            return refused
        asked, space = json.loads(body), self.spaces[name]
        if len(asked["files"]) > 256:
            return _no(400, "too many files at once")
        rules = asked.get("gitIgnore", space.files.get(".gitignore", b"").decode())
        answers = []
        for file in asked["files"]:
            path, sample = file["path"], base64.b64decode(file["sample"])
            is_large = path.endswith(".safetensors") or file["size"] > 10 * 2**20
            held = space.files.get(path)
            answers.append(
                {
                    "path": path,
                    "uploadMode": "lfs" if is_large or _is_binary(sample) else "regular",
                    "shouldIgnore": _is_ignored(path, rules),
                    "oid": None
                    if held is None
                    else hashlib.sha256(held).hexdigest()
                    if path in space.large
                    else blob_id(held),
                }
            )
        return Answer(200, {"files": answers})

    def _batch(self, who: Account | None, body: bytes, name: str) -> Answer:
        if refused := self._refused(who, name):
            return refused
        objects = []
        for each in json.loads(body)["objects"]:
            upload = {"href": f"{self.url}/lfs/{each['oid']}", "header": {}}
            actions = {} if each["oid"] in self.arrived else {"actions": {"upload": upload}}
            objects.append({"oid": each["oid"], "size": each["size"], **actions})
        return Answer(200, {"transfer": "basic", "objects": objects})

    def _take_large(self, who: Account | None, body: bytes, oid: str) -> Answer:
        if hashlib.sha256(body).hexdigest() != oid:
            return _no(400, "the content is not what was announced")
        self.arrived[oid] = body
        return Answer(200, {})

    def _commit(self, who: Account | None, body: bytes, name: str) -> Answer:
        if refused := self._refused(who, name):
            return refused
        space = self.spaces[name]
        files, large, summary = dict(space.files), set(space.large), {}
        for line in map(json.loads, body.splitlines()):
            key, value = line["key"], line["value"]
            path = value.get("path", "")
            if key == "header":
                summary = value
                continue
            if key == "file":
                data = base64.b64decode(value["content"])
                if _is_binary(data):
                    return _no(400, "Your push was rejected because it contains binary files.")
                files[path] = data
                large.discard(path)
            elif key == "lfsFile":
                if value["oid"] not in self.arrived:
                    return _no(400, f"{path}: the large file was never uploaded")
                files[path] = self.arrived[value["oid"]]
                large.add(path)
            elif key == "deletedFile":
                if files.pop(path, None) is None:
                    return _no(404, "A file with this name doesn't exist", "EntryNotFound")
                large.discard(path)
        if self.loses:
            files.pop(self.loses, None)
        space.files, space.large = files, large
        space.commits.append(summary)
        space.builds, space.error = list(self.next_builds), self.next_error
        url = f"{self.url}/spaces/{name}/commit/{space.sha}"
        return Answer(200, {"commitUrl": url, "commitOid": space.sha, "success": True})

    # -- running ---------------------------------------------------------------------------------

    def _runtime(self, who: Account | None, _body: bytes, name: str) -> Answer:
        space = self.spaces[name]
        stage, *later = space.builds
        space.builds = later or [stage]
        if stage == "RUNNING" and not later:
            space.runs = space.sha
        told: dict[str, Any] = {
            "stage": stage,
            "hardware": {"current": space.hardware, "requested": space.hardware},
        }
        if space.runs and stage.startswith("RUNNING"):
            told["sha"] = space.runs
        if stage.endswith("ERROR") and space.error:
            told["errorMessage"] = space.error
        return Answer(200, told)

    def _set_hardware(self, who: Account | None, body: bytes, name: str) -> Answer:
        if refused := self._refused(who, name):
            return refused
        space = self.spaces[name]
        space.hardware = json.loads(body)["flavor"]
        return Answer(200, {"stage": "BUILDING", "hardware": {"requested": space.hardware}})

    def _may_write(self, who: Account, name: str) -> bool:
        return who.role == "write" and name.split("/")[0] in (who.name, *who.orgs)

    def _refused(self, who: Account | None, name: str) -> Answer | None:
        if name not in self.spaces:
            return _no(404 if who else 401, "Repository not found", "RepoNotFound")
        if who is None:
            return _no(401, "Invalid username or password.")
        if not self._may_write(who, name):
            return _no(403, "You do not have write access to this repository.")
        return None


def _no(status: int, sentence: str, code: str = "") -> Answer:
    headers = {"X-Error-Message": sentence} | ({"X-Error-Code": code} if code else {})
    return Answer(status, {"error": sentence}, headers)


def _is_binary(data: bytes) -> bool:
    """As git sees it, and what is no text at all. A sample may end in the middle of a letter."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start < len(data) - 3
    return b"\0" in data


def _is_ignored(path: str, rules: str) -> bool:
    for rule in filter(None, (line.strip() for line in rules.splitlines())):
        if rule.startswith("#"):
            continue
        parts = path.split("/")
        inside = parts[:-1] if rule.endswith("/") else parts
        if any(fnmatch.fnmatch(part, rule.strip("/")) for part in inside):
            return True
    return False
