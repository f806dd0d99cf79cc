"""Import rules between packages, and what must stay light."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from settings import ROOT
from tools.duplicate_names import duplicate_classes, duplicate_stems
from tools.duplicate_names import sources as named_sources

HEAVY = ("torch", "diffusers", "transformers", "accelerate", "peft", "xformers")
"""What only the worker may load."""

ROOMS = ("setting_groups", "pipelines", "media", "jobs", "web", "ui", "api", "cli")
FILES = ("app", "settings", "setting_values", "envfile", "errors")

ENGINE = "pipelines.engine"
"""The only package of the app that imports a model library."""

BASE = ("errors", "settings")
MODELS = (
    "pipelines.request",
    "pipelines.request_fields",
    "pipelines.validation_errors",
    "pipelines.field_types",
    "pipelines.sound",
    "pipelines.preview",
    "pipelines.control",
    "pipelines.windows",
)
PIPELINES = ("pipelines", "pipelines.models", "pipelines.planning", "pipelines.engine")
BELOW_JOBS = (*BASE, *PIPELINES, "media")

MAY_IMPORT = {
    "errors": (),
    "envfile": ("errors",),
    "setting_values": (),
    "setting_groups": ("envfile", "setting_values"),
    "settings": ("errors", "envfile", "setting_groups", "setting_values"),
    "pipelines.models": (*BASE, *MODELS),
    "pipelines.planning": (*BASE, *MODELS, "pipelines.models"),
    "pipelines.engine": (*BASE, *MODELS, "pipelines.models", "pipelines.planning"),
    "pipelines": BASE,
    "media": ("errors", *MODELS),
    "jobs": BELOW_JOBS,
    "jobs.workers": (*BELOW_JOBS, "jobs"),
    "jobs.fleet": (*BELOW_JOBS, "jobs", "jobs.workers"),
    "web": (*BELOW_JOBS, "jobs", "jobs.fleet"),
    "cli": (*BELOW_JOBS, "jobs", "jobs.workers", "jobs.fleet"),
    "ui": (*BELOW_JOBS, "jobs", "web"),
    "api": (*BELOW_JOBS, "jobs", "web"),
    "app": (*BELOW_JOBS, "jobs", "jobs.workers", "jobs.fleet", "cli", "web", "ui", "api"),
}
"""Our own packages, in one direction only. A subpackage that is named here has rules of its own:
its parent does not import it unless the parent's rule says so."""

KNOWS_NOT = {
    "pipelines": ("gradio", "gradio_client", "starlette", "fastapi", "sqlalchemy"),
    "media": ("gradio", "starlette", "fastapi", "sqlalchemy"),
    "jobs": ("gradio", "gradio_client", "starlette", "fastapi", "typer"),
    "web": ("gradio", "gradio_client", "sqlalchemy", "typer"),
    "ui": ("sqlalchemy", "typer"),
    "api": ("gradio", "gradio_client", "sqlalchemy", "typer"),
    "cli": ("gradio", "starlette", "fastapi", "sqlalchemy"),
}


def sources(*folders: str) -> list[Path]:
    found = [ROOT / f"{folder}.py" for folder in folders if folder in FILES]
    for folder in folders:
        if folder not in FILES:
            found += sorted((ROOT / folder).rglob("*.py"))
    return found


def ours() -> list[Path]:
    rooms = [*ROOMS, "bench", "tests", "tools", "training"]
    return sources(*FILES, *rooms)


def imports_of(path: Path) -> Iterator[str]:
    """Every module a file names in an import, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide who is meant"
            module = node.module or ""
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def is_within(module: str, names: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


# -- light and heavy -----------------------------------------------------------------------------

LIGHT = [
    "app",
    "cli.commands",
    "jobs.service",
    "jobs.fleet.supervisor",
    "jobs.workers.process",
    "jobs.fleet.dispatcher",
    "jobs.workers.process_worker",
    "media.encode",
    "media.images",
    "media.videos",
    "pipelines.models.catalog",
    "pipelines.models.fit",
    "pipelines.planning",
    "pipelines.models.hub",
    "pipelines.models.loras",
    "ui.page",
    "ui.routes",
    "api.site",
]


BEFORE_GRADIO = ["cli.commands", "jobs.service", "api.site"]


@pytest.fixture(scope="module")
def loaded_by() -> dict[str, set[str]]:
    """What each module loads that those before it have not."""
    order = [*BEFORE_GRADIO, *(name for name in LIGHT if name not in BEFORE_GRADIO)]
    code = (
        "import importlib, json, sys\n"
        "found, before = {}, set()\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name); names = {n.partition('.')[0] for n in sys.modules}\n"
        "    found[name], before = sorted(names - before), names\n"
        "print(json.dumps(found))"
    )
    done = subprocess.check_output([sys.executable, "-c", code, *order], text=True, cwd=ROOT)
    found = {name: set(new) for name, new in json.loads(done.splitlines()[-1]).items()}
    assert "gradio" in found["ui.page"], "else nothing would ever be found"
    return found


@pytest.mark.parametrize("module", LIGHT)
def test_importing_it_loads_no_model_library(loaded_by: dict[str, set[str]], module: str) -> None:
    assert not loaded_by[module] & set(HEAVY)


def test_the_page_itself_is_built_without_torch(tiny_env: dict[str, str]) -> None:
    code = "from app import demo; import sys; print(type(demo).__name__, 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=tiny_env,
        check=True,
    )
    assert done.stdout.split() == ["Blocks", "False"]


def test_a_plain_installation_needs_nothing_of_requirements_scale(
    tiny_env: dict[str, str],
) -> None:
    """`make run` and a Space install requirements.txt alone; the tests' environment has more."""
    lines = (ROOT / "requirements-scale.txt").read_text().splitlines()
    names = [re.split(r"[\[<>=!]", line)[0] for line in lines if re.match(r"[a-z]", line)]
    assert {"rq", "redis", "psycopg", "fsspec", "s3fs"} == set(names)
    # gradio and huggingface_hub bring fsspec
    absent = sorted(set(names) - {"fsspec"})
    code = (
        "import sys\n"
        f"for name in {absent}: sys.modules[name] = None\n"
        "import cli.commands, jobs.workers.process_worker, jobs.workers.inline\n"
        "import jobs.workers.foreground\n"
        "from app import build_service, demo\n"
        "from settings import Settings\n"
        "build_service(Settings.load()).close()\n"
        "import api.site; print(type(demo).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=tiny_env
    )
    assert done.stdout.split() == ["Blocks"], done.stderr


@pytest.mark.parametrize("module", BEFORE_GRADIO)
def test_the_command_line_does_not_wait_for_gradio(
    loaded_by: dict[str, set[str]], module: str
) -> None:
    assert "gradio" not in loaded_by[module]


# -- who may know whom ---------------------------------------------------------------------------


def package_of(module: str) -> str | None:
    """The narrowest package with a rule of its own that a module of ours is in."""
    named = (*MAY_IMPORT, "training", "tests", "bench", "tools")
    within = [name for name in named if is_within(module, (name,))]
    return max(within, key=len, default=None)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_packages_import_only_the_packages_below_them(package: str) -> None:
    for path in sources(package.split(".")[0]):
        if package_of(module_of(path)) == package:
            for module in imports_of(path):
                assert may_import(package, module), f"{path.relative_to(ROOT)}: {module}"


def may_import(package: str, module: str) -> bool:
    """A rule that names a package allows that package without the subpackages that have rules of
    their own; one that names a module allows that module."""
    other = package_of(module)
    if other in (None, package) or module == package.split(".")[0]:
        return True
    return other in MAY_IMPORT[package] or is_within(
        module, tuple(name for name in MAY_IMPORT[package] if package_of(name) != name)
    )


@pytest.mark.parametrize("room", KNOWS_NOT)
def test_packages_do_not_import_each_others_libraries(room: str) -> None:
    for path in sources(room):
        for module in imports_of(path):
            assert not is_within(module, KNOWS_NOT[room]), f"{path.relative_to(ROOT)}: {module}"


def test_only_the_engine_imports_model_libraries() -> None:
    for path in sources(*ROOMS, *FILES):
        if package_of(module_of(path)) != ENGINE:
            for module in imports_of(path):
                assert not is_within(module, HEAVY), f"{path.relative_to(ROOT)}: {module}"


def test_no_module_imports_itself_through_others() -> None:
    modules = {module_of(path): path for path in sources(*ROOMS, *FILES, "training")}
    graph = {name: at_import(path, modules) - {name} for name, path in modules.items()}
    finished: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name not in finished:
            for other in sorted(graph[name]):
                visit(other, (*trail, name))
            finished.add(name)

    for name in graph:
        visit(name, ())


def at_import(path: Path, modules: dict[str, Path]) -> set[str]:
    """What a file imports while it is imported itself: not in functions, not for types only."""
    found: set[str] = set()

    def collect(statements: list[ast.stmt]) -> None:
        for node in statements:
            match node:
                case ast.Import():
                    found.update(alias.name for alias in node.names)
                case ast.ImportFrom():
                    for alias in node.names:
                        whole = f"{node.module}.{alias.name}"
                        found.add(whole if whole in modules else node.module or "")
                case ast.If() if "TYPE_CHECKING" not in ast.unparse(node.test):
                    collect([*node.body, *node.orelse])
                case ast.Try():
                    collect([*node.body, *(s for h in node.handlers for s in h.body)])

    collect(ast.parse(path.read_text(encoding="utf-8")).body)
    return found & set(modules)


def test_a_model_is_a_card_and_never_an_if() -> None:
    ids = [yaml.safe_load(p.read_text())["id"] for p in (ROOT / "presets/models").glob("*.yaml")]
    named = re.compile("|".join(rf"""==\s*["']{re.escape(i)}["']""" for i in ids))
    for path in sources(*ROOMS, "app"):
        assert not named.search(path.read_text(encoding="utf-8")), path


# -- what must not be there ----------------------------------------------------------------------


def test_files_are_short_enough_to_be_one_idea() -> None:
    long = {  # 400 is the aim
        str(path.relative_to(ROOT)): count
        for path in ours()
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 450
    }
    assert not long


def test_app_is_only_the_composition_root() -> None:
    assert len((ROOT / "app.py").read_text(encoding="utf-8").splitlines()) <= 135


def test_our_own_code_is_never_faked() -> None:
    mocks = ("unittest" + ".mock", "pytest" + "_mock", "mo" + "ck")
    for path in sources("tests"):
        for module in imports_of(path):
            assert not is_within(module, mocks), f"{path.relative_to(ROOT)}: {module}"


def test_weights_are_safetensors_and_code_is_never_remote() -> None:
    for path in sources(*ROOMS, "app"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"trust_remote_code|custom_pipeline|torch\.load\(", text), path
        if "from_pretrained(" in text:
            assert "use_safetensors" in text, path
    kinds = {path.suffix for path in (ROOT / "presets").rglob("*") if path.is_file()}
    assert not kinds & {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack"}


SAME_RECIPE = "training/world and training/storybook are two recipes with the same parts"

SHARED_CLASS_NAMES = {
    "Place": SAME_RECIPE,
    "RenderedClip": SAME_RECIPE,
    "Subject": SAME_RECIPE,
    "Task": "their OpenAPI components are named after their modules: api/compat.py keeps it",
}
"""Class names that stand for two things, and why."""

SHARED_STEMS = {
    "captions": SAME_RECIPE,
    "errors": "the closed list of codes, and how the web layer renders it",
    "files": "the web layer's responses for the media layer's files",
    "places": SAME_RECIPE,
    "preview": "the dataclass that every package may import, and the thread that draws it",
    "render": SAME_RECIPE,
    "schemas": "one protocol each: OpenAI's, and our own",
    "subjects": SAME_RECIPE,
    "videos": "api/openai serves what media/videos.py reads",
}
"""File names that stand for two things, and why."""


def test_a_class_name_stands_for_one_thing() -> None:
    found = duplicate_classes(named_sources())
    assert not {name: found[name] for name in found.keys() - SHARED_CLASS_NAMES.keys()}


def test_a_file_name_stands_for_one_thing() -> None:
    found = duplicate_stems(named_sources())
    assert not {name: found[name] for name in found.keys() - SHARED_STEMS.keys()}


def test_no_model_is_known_by_name() -> None:
    """What a model is, its card says. The shipped ones are models as any other."""
    names = re.compile(r"\bpocket", re.IGNORECASE)
    for path in [*sources(*ROOMS, *FILES), *(ROOT / "ui" / "static").rglob("*.*")]:
        if path.suffix in {".py", ".js", ".css", ".html"}:
            assert not names.search(path.read_text(encoding="utf-8")), path


def test_weights_can_be_pushed_to_a_space_as_they_are() -> None:
    """Every file without LFS, every model within what a clone may cost, and all of them too."""
    models = [folder for folder in (ROOT / "presets").iterdir() if folder.is_dir()]
    sizes = [[p.stat().st_size for p in folder.rglob("*.safetensors")] for folder in models]
    assert all(size < 9_000_000 for folder in sizes for size in folder)
    assert all(sum(folder) < 40_000_000 for folder in sizes)
    assert sum(sum(folder) for folder in sizes) < 60_000_000


def test_no_bare_except_and_no_print_in_the_rooms() -> None:
    for path in sources("pipelines", "media", "jobs", "ui", "api"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.ExceptHandler(type=None) | ast.Call(func=ast.Name(id="print")):
                    raise AssertionError(f"{path.relative_to(ROOT)}:{node.lineno}")


def test_what_is_imported_is_required() -> None:
    """Nothing works only because another package happens to bring it."""
    listed = {
        re.split(r"[\[<>=;! ]", line)[0].lower().replace("-", "_")
        for file in ("requirements.txt", "requirements-scale.txt")
        for line in (ROOT / file).read_text().splitlines()
        if line and not line.startswith("#")
    }
    listed_as = {
        "PIL": "pillow",
        "yaml": "pyyaml",
        "dotenv": "python_dotenv",
        "c2pa": "c2pa_python",
    }
    own = {*ROOMS, *FILES, "training"}
    refused_without = {"imwatermark"}  # the setting that needs it says so
    for path in sources(*ROOMS, *FILES):
        for module in imports_of(path):
            name = module.split(".")[0]
            if name in own | refused_without or name in sys.stdlib_module_names:
                continue
            wanted = listed_as.get(name, name).lower().replace("-", "_")
            assert wanted in listed, f"{path.relative_to(ROOT)}: {name}"
