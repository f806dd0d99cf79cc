"""Uploads a staged folder to a Space, in one commit, because each commit starts a build.

Creates the Space if necessary, and turns errors of the Hub into messages for the user.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
)
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import validate_repo_id

from tools.space.problem import Problem

HARDWARE = "zero-a10g"
"""ZeroGPU: the only hardware of a free account, and a GPU."""
KEPT = ".gitattributes"
"""The Space's own: it says which files are stored as large ones."""
NO_RULES = "# every file that is uploaded is wanted\n"
TOKENS = "https://huggingface.co/settings/tokens"

NetworkError: Any = HfHubHTTPError.__mro__[1]
"""httpx's base class for a request that failed: httpx or httpx2, by the version of the library."""


@dataclass(frozen=True)
class Uploaded:
    name: str
    url: str
    commit: str
    changed: bool
    """False if the Space already had these files: no commit and no build."""


def space_name(text: str) -> str:
    """`owner/name`, also from the address of a Space. Raises Problem."""
    name = re.sub(r"^(https?://[^/]+/)?(spaces/)?", "", text.strip()).rstrip("/")
    if not name:
        raise Problem("The name is missing: make space NAME=you/kinora")
    if name.count("/") != 1 or not all(name.split("/")):
        raise Problem(f"NAME is owner/name, such as you/kinora, and not {text}.")
    try:
        validate_repo_id(name)
    except HFValidationError:
        raise Problem(
            f"{name} is not a valid name: letters, digits, `-`, `_` and `.`, at most 96 of them."
        ) from None
    return name


def sign_in(api: HfApi, name: str) -> str:
    """The name of the token's user. Raises Problem if the token cannot write."""
    with as_problems(name):
        who = api.whoami()
    user = str(who.get("name", ""))
    token = (who.get("auth") or {}).get("accessToken") or {}
    if token.get("role") == "read":
        raise Problem(
            f"You are logged in as {user} with a read-only token. Create a write token "
            f"at {TOKENS}, then: hf auth login --force"
        )
    return user


def upload(
    api: HfApi,
    name: str,
    files: dict[str, Path],
    message: str,
    hardware: str = "",
    say: Callable[[str], None] = lambda sentence: None,
) -> Uploaded:
    """Afterwards the Space has exactly these files, and its own .gitattributes."""
    # 1. The Space. An existing one keeps its hardware, unless another is given.
    with as_problems(name):
        is_new = not api.repo_exists(name, repo_type="space")
        url = api.create_repo(
            name,
            repo_type="space",
            space_sdk="gradio",
            space_hardware=hardware or HARDWARE,  # pyright: ignore[reportArgumentType]
            exist_ok=True,
        )
        if is_new:
            say(f"Created {url} on {hardware or HARDWARE}.")
        elif hardware:
            _change_hardware(api, name, hardware, say)

    # 2. Files that are there and should not be.
    with as_problems(name):
        before = api.repo_info(name, repo_type="space").sha
        there = _tree(api, name)
    gone = sorted(set(there) - set(files) - {KEPT})

    # 3. One commit. A .gitignore of the Space would make the Hub drop files, so an empty one is
    #    passed, which only preupload_lfs_files accepts.
    added = [CommitOperationAdd(path, str(file)) for path, file in files.items()]
    removed = [CommitOperationDelete(path, is_folder=False) for path in gone]
    say(f"Uploading {len(added)} files ...")
    with as_problems(name):
        api.preupload_lfs_files(
            name, added, repo_type="space", gitignore_content=NO_RULES, free_memory=False
        )
        made = api.create_commit(
            name, [*removed, *added], commit_message=message, repo_type="space"
        )

    # 4. A missing file would only be noticed at run time, so all are compared.
    with as_problems(name):
        there = _tree(api, name)
    differ = [path for path, file in files.items() if not _is_same(file, there.get(path))]
    if differ:
        raise Problem(
            f"The Space does not have the uploaded files: {', '.join(differ[:5])}. Another upload "
            "may have changed it at the same time: run it again."
        )
    return Uploaded(name, str(url), str(made.oid), made.oid != before)


def _tree(api: HfApi, name: str) -> dict[str, RepoFile]:
    found = api.list_repo_tree(name, recursive=True, repo_type="space")
    return {entry.path: entry for entry in found if isinstance(entry, RepoFile)}


def _is_same(file: Path, there: RepoFile | None) -> bool:
    """Compares git's hash of the content, or SHA-256 for a file that the Hub keeps in LFS."""
    if there is None:
        return False
    content = file.read_bytes()
    if there.lfs:
        return there.lfs.sha256 == hashlib.sha256(content).hexdigest()
    blob = b"blob %d\0" % len(content) + content
    return there.blob_id == hashlib.sha1(blob, usedforsecurity=False).hexdigest()


def _change_hardware(api: HfApi, name: str, hardware: str, say: Callable[[str], None]) -> None:
    runtime = api.get_space_runtime(name)
    if hardware != (runtime.requested_hardware or runtime.hardware):
        api.request_space_hardware(name, hardware)  # pyright: ignore[reportArgumentType]
        say(f"The hardware of {name} is now {hardware}.")


# -- errors --------------------------------------------------------------------------------------


@contextmanager
def as_problems(name: str) -> Iterator[None]:
    """Turns errors of huggingface_hub into a Problem that says what to do."""
    try:
        yield
    except LocalTokenNotFoundError:
        raise Problem(
            "You are not logged in to Hugging Face. Create a write token at "
            f"{TOKENS}, then: hf auth login"
        ) from None
    except OfflineModeIsEnabled:
        raise Problem("HF_HUB_OFFLINE is set, so the Hub cannot be used. Unset it.") from None
    except HfHubHTTPError as error:
        raise Problem(_refusal(name, error)) from error
    except NetworkError as error:
        raise Problem(_no_network(error)) from error
    except ValueError as error:  # huggingface_hub: the Hub found fault with the README's header
        raise Problem(" ".join(str(error).split())) from error
    except (RuntimeError, OSError) as error:
        # the upload of a large file: what is behind it is one of the above, or hf_xet's
        cause = error.__cause__
        if isinstance(cause, HfHubHTTPError):
            raise Problem(_refusal(name, cause)) from error
        raise Problem(
            f"The upload failed: {cause or error}. Run it again; uploaded files are not sent twice."
        ) from error


def _refusal(name: str, error: HfHubHTTPError) -> str:
    owner = name.split("/")[0]
    status = error.response.status_code
    said = _words_of(error)
    match status:
        case 401:
            return (
                f"The Hub does not know this token ({said}). Create a write token at {TOKENS}, "
                "then: hf auth login --force. A token in HF_TOKEN takes precedence over that login."
            )
        case 402:
            return (
                f"The Hub says: {said} A free account may have Spaces on ZeroGPU only: "
                f"make space NAME={name} HARDWARE={HARDWARE}"
            )
        case 403:
            return (
                f"The Hub says: {said} This token may not write to Spaces of {owner}: it needs the "
                f"right to write ({TOKENS}), and {owner} must be you or an organization of yours."
            )
        case 404:
            return f"The Hub has no Space {name}, or this token may not see it. ({said})"
        case 429:
            return f"The Hub says: {said} Too many requests: try again in a few minutes."
        case _ if status >= 500:
            return f"The Hub has a problem (HTTP {status}: {said}). Try again in a few minutes."
        case _:
            return f"The Hub refuses (HTTP {status}): {said}"


def _words_of(error: HfHubHTTPError) -> str:
    """The Hub's own message, without what the library adds."""
    said: Any = error.server_message
    if not said:
        try:
            body = error.response.json()
            said = body.get("error") or body.get("message")
        except (ValueError, AttributeError):
            said = None
    text = " ".join(str(said or error.response.reason_phrase or "no reason given").split())
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _no_network(error: Exception) -> str:
    return (
        f"The Hub cannot be reached: {error or type(error).__name__}. "
        "Is there a network, and is HF_ENDPOINT right if it is set?"
    )
