"""Improves a prompt with the operator's language model (an OpenAI-compatible endpoint).

No other address is ever called: redirects are not followed, and no proxy of the environment is
used. Whatever comes back is text that the caller may use or not.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import anyio
import httpx
import yaml
from pydantic import BaseModel, ConfigDict

from errors import ErrorCode, KinoraError
from pipelines.field_types import MAX_PROMPT
from pipelines.models.cards import ModelCard
from pipelines.request import Task
from settings import ROOT, Settings

log = logging.getLogger(__name__)

PRESETS = ROOT / "presets" / "enhancer.yaml"
MAX_BYTES = 65_536
"""Of the endpoint's response."""
AT_ONCE = 8
"""Calls at the same time; a slow endpoint must not hold a thousand of them."""
REFUSAL = re.compile(
    r"(i['’]?m sorry|sorry|i (cannot|can['’]?t|am unable|won['’]?t)|as an ai|unfortunately, i)\b",
    re.IGNORECASE,
)
WRAPPING = (('"', '"'), ("“", "”"), ("'", "'"), ("«", "»"), ("`", "`"))
LABEL = re.compile(r"(\*\*)?(improved |new |rewritten |enhanced )?prompt(\*\*)?:(\*\*)?\s*", re.I)
THOUGHTS = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL)
FENCE = re.compile(r"^```\w*\n?|\n?```$")


class Texts(BaseModel):
    """Parts of the system message."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    common: str
    default: str
    families: Mapping[str, str]
    from_picture: str
    small_world: str

    def system(self, card: ModelCard, task: Task) -> str:
        parts = [self.common, self.families.get(card.family, self.default)]
        if task is Task.IMAGE_TO_VIDEO:
            parts.append(self.from_picture)
        if card.knows:
            words = "; ".join(f"{name}: {', '.join(each)}" for name, each in card.knows.items())
            parts.append(f"{self.small_world} {words}.")
        return "\n".join(parts)


@lru_cache(maxsize=2)
def load_texts(path: Path = PRESETS) -> Texts:
    return Texts.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


class Improvement(BaseModel):
    """`prompt` is the one that was sent; `improved` stands beside it, or `message` says why there
    is none."""

    prompt: str
    improved: str | None = None
    message: str | None = None


class NoImprovement(Exception):
    """A sentence for people."""

    def __init__(self, sentence: str) -> None:
        self.sentence = sentence
        super().__init__(sentence)


class Enhancer:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._places = anyio.CapacityLimiter(AT_ONCE)

    @property
    def is_there(self) -> bool:
        return self._settings.enhancer_url is not None

    async def improve(self, prompt: str, card: ModelCard, task: Task) -> Improvement:
        """Never fails because of the endpoint: its faults become a message. Raises KinoraError:
        NOT_FOUND where there is none, INVALID_INPUT for a prompt that cannot be improved."""
        if not self.is_there:
            raise KinoraError(ErrorCode.NOT_FOUND, "Prompts cannot be improved here.")
        if not card.rules.prompt:
            raise _refused(f"{card.name} takes no words.")
        if not prompt.strip():
            raise _refused("Write a prompt first: there is nothing to improve yet.")
        try:
            with anyio.fail_after(self._settings.enhancer_timeout_s):
                async with self._places:
                    answer = await self._request_completion(load_texts().system(card, task), prompt)
            return Improvement(prompt=prompt, improved=checked(answer, prompt))
        except NoImprovement as why:
            sentence = why.sentence
        except (TimeoutError, httpx.TimeoutException):
            sentence = "Improving the prompt took too long. Your prompt is as it was."
        except httpx.HTTPError as error:
            log.warning("Enhancer request failed (error=%s).", type(error).__name__)
            sentence = "The prompt could not be improved right now. Your prompt is as it was."
        return Improvement(prompt=prompt, message=sentence)

    async def _request_completion(self, system: str, prompt: str) -> str:
        """One request, never repeated. Raises NoImprovement, httpx.HTTPError."""
        key = self._settings.enhancer_key
        headers = {"Accept-Encoding": "identity"}  # a small body may unpack to gigabytes
        if key:
            headers["Authorization"] = f"Bearer {key.get_secret_value()}"
        body = {
            "model": self._settings.enhancer_model,
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": prompt},
            ],
            "stream": False,
        }
        timeout = httpx.Timeout(self._settings.enhancer_timeout_s)
        async with (
            httpx.AsyncClient(timeout=timeout, follow_redirects=False, trust_env=False) as client,
            client.stream("POST", self._url, json=body, headers=headers) as response,
        ):
            if response.status_code != 200:
                log.warning("Enhancer request failed (status=%d).", response.status_code)
                raise NoImprovement(
                    "The prompt could not be improved right now. Your prompt is as it was."
                )
            received = bytearray()
            async for chunk in response.aiter_raw():
                received += chunk
                if len(received) > MAX_BYTES:
                    raise _nonsense()
        return _content(bytes(received))

    @property
    def _url(self) -> str:
        url = self._settings.enhancer_url or ""
        return url if url.endswith("/chat/completions") else f"{url}/chat/completions"


def _content(data: bytes) -> str:
    try:
        choice: Any = json.loads(data)["choices"][0]
        message = choice["message"]
        if message.get("refusal") or choice.get("finish_reason") == "content_filter":
            raise _refusal()
        content = message["content"]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise _nonsense() from None
    if not isinstance(content, str):
        raise _nonsense()
    return content


def checked(answer: str, prompt: str) -> str:
    """The prompt in a language model's answer, as one line. Raises NoImprovement for a refusal, and
    for what is empty, too long, unchanged, or no text."""
    text = FENCE.sub("", THOUGHTS.sub("", answer).strip()).strip()
    text = LABEL.sub("", text, count=1) if LABEL.match(text) else text
    text = " ".join(text.split())
    for first, last in WRAPPING:
        if len(text) > 1 and text.startswith(first) and text.endswith(last):
            text = text[1:-1].strip()
    if REFUSAL.match(text) and not REFUSAL.match(prompt.strip()):
        raise _refusal()
    letters = sum(letter.isalpha() for letter in text)
    if not text or len(text) > MAX_PROMPT or not text.isprintable() or letters * 2 < len(text):
        raise _nonsense()
    if text.casefold() == " ".join(prompt.split()).casefold():
        raise NoImprovement("The prompt needs no improvement.")
    return text


def _refusal() -> NoImprovement:
    return NoImprovement("The language model declined this prompt. Your prompt is as it was.")


def _nonsense() -> NoImprovement:
    return NoImprovement("The language model gave no usable prompt. Your prompt is as it was.")


def _refused(sentence: str) -> KinoraError:
    return KinoraError(ErrorCode.INVALID_INPUT, sentence, details={"field": "prompt"})
