"""A tiny image classifier for the tests of the content policy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import image_classifier


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return image_classifier.build(tmp_path_factory.mktemp("classifier"))
