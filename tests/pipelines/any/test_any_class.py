"""Every video class of diffusers, whole: what is found is what known.txt says, no more, no less.

`make models-matrix` examines all of them; otherwise a few do, and what all of them are offered for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from tests.pipelines.any.kinora import without_logs
from tests.pipelines.any.known import compare, known
from tests.pipelines.any.matrix import PAGE, PROPERTY, row, rows_of
from tests.pipelines.any.report import Ground, plainest, sized
from tests.pipelines.any.truth import truth_of
from tests.zoo.any.build import components_of
from tests.zoo.any.classes import video_classes
from tests.zoo.any.folders import FOLDERS, folders
from tests.zoo.any.made_up import made_up_folders
from tools.tables import page_of

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # upstream's, of classes that we do not run otherwise
]
FULL = os.environ.get("KINORA_MATRIX") == "full"
A_FEW = (
    "anyflow",
    "lucy",
    "skyreels",
    "cosmos-t2w",
    "wan22-5b",  # a flow_shift of its own
    "made-up-zephyr",
    "made-up-zephyredit",
)
"""One of each kind of trouble, and two classes that no table knows."""
ALL = [each.name for each in FOLDERS] + list(made_up_folders({f.of: f for f in FOLDERS}))
KNOWN = known()


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with without_logs(), Ground(tmp_path_factory.mktemp("any")) as ground:
        yield ground


def test_every_video_class_has_a_folder_and_a_truth() -> None:
    """A class that a new diffusers brings fails here by its name until it has both."""
    listed = {each.of for each in FOLDERS}
    new = sorted(video_classes().keys() - listed)
    assert not new, f"new in diffusers: add a folder to tests/zoo/any/folders.py for {new}"
    for each in folders().values():
        assert truth_of(each.name, each.of)


def test_the_page_lists_every_folder() -> None:
    """`make models-matrix` writes the table; until then, what is new is missing by its name."""
    rows = rows_of(page_of(PAGE).read_text(encoding="utf-8"))
    listed = {(each["class"], each["folder"]) for each in rows}
    missing = sorted(e.name for e in FOLDERS if (f"`{e.of}`", e.name) not in listed)
    assert not missing, f"run `make models-matrix`: docs/{PAGE}.md has no {missing}"


@pytest.mark.parametrize("name", [each.name for each in FOLDERS])
def test_a_folder_has_every_component_of_its_class(name: str, ground: Ground) -> None:
    import diffusers

    folder = ground.folders[name]
    path = ground.builder.build(folder)
    for component, _, is_optional in components_of(getattr(diffusers, folder.of)):
        left_out = folder.parts.get(component, {}) is None
        assert is_optional or left_out or (path / component).is_dir()


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL if FULL else A_FEW)
def test_nothing_goes_wrong_but_what_is_known(
    name: str, ground: Ground, record_property: Callable[[str, object], None]
) -> None:
    report = ground.examine(ground.folders[name])
    record_property(PROPERTY, row(report))
    assert not (differences := compare(report.findings, KNOWN[name])), "\n".join(differences)


@pytest.mark.parametrize("name", ALL)
def test_a_name_is_no_evidence_of_what_a_model_can_do(name: str, ground: Ground) -> None:
    """The same folder by a name that says nothing."""
    report = ground.offered(name)
    assert not (differences := compare(report.findings, KNOWN[report.folder])), differences


@pytest.mark.parametrize(("of", "gb"), sized())
def test_a_size_is_no_evidence_of_what_a_model_can_do(of: str, gb: float, ground: Ground) -> None:
    """A neutral name, and as many bytes on the disk as checkpoints of that class have."""
    report = ground.offered(plainest(of).name, gb)
    assert not (differences := compare(report.findings, KNOWN[report.folder])), differences
