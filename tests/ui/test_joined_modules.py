"""Modules become one script that does the same, or there is no script at all."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from ui import assets
from ui.joined_modules import join_later_modules, join_modules

MODULES = {
    "main.js": """import { count, double as twice } from "./sub/numbers.js";
import make from "./make.js";
export { Thing } from "./sub/thing.js";

export const result = [twice(count()), make("x"), count()];
export async function later() {
  return await result;
}
""",
    "sub/numbers.js": """import { start } from "../start.js";
let total = start;
/** @type {import("./types.d.ts").Count} */
export const count = () => (total += 1);
export function double(number) {
  return 2 * number;
}
""",
    "sub/thing.js": """import {
  count,
} from "./numbers.js";
export class Thing {
  number = count();
}
""",
    "start.js": "const n=40;export{n as start};\n",
    "make.js": "var total='own';export default function(text){return text+total}\n",
}


def run(tmp_path: Path, script: str) -> object:
    (tmp_path / "joined.mjs").write_text(script, encoding="utf-8")
    (tmp_path / "run.mjs").write_text(
        'import { Thing, later, result } from "./joined.mjs";\n'
        "console.log(JSON.stringify([result, await later(), new Thing().number]));\n"
    )
    done = subprocess.run(
        ["node", tmp_path / "run.mjs"], capture_output=True, check=True, text=True
    )
    return json.loads(done.stdout)


def test_the_joined_script_does_what_the_modules_did(tmp_path: Path) -> None:
    """Each module runs once, before those that import it, with names of its own."""
    result = [82, "xown", 42]
    assert run(tmp_path, join_modules(MODULES, "main.js")) == [result, result, 43]


LATER = {
    "main.js": """import { count } from "./sub/numbers.js";
export const open = async () => [count(), (await import("./rooms/room.js")).enter(), count()];
""",
    "rooms/room.js": """import { count } from "../sub/numbers.js";
import make from "../make.js";
const style = new URL("./room.css", import.meta.url);
export const enter = () => [count(), make("x"), style.pathname.split("/").pop()];
""",
}


def test_a_script_that_is_loaded_later_shares_the_modules_of_the_first(tmp_path: Path) -> None:
    found, later = MODULES | LATER, {"rooms/room.js": "room.mjs"}
    first = join_modules(found, "main.js", later)
    assert "rooms/room.js" not in first
    room = join_later_modules(found, "main.js", "rooms/room.js", later)
    assert "sub/numbers.js\n" not in room
    (tmp_path / "main.js").write_text(first, encoding="utf-8")
    (tmp_path / "room.mjs").write_text(room, encoding="utf-8")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "run.mjs").write_text(
        'import { open } from "./main.js";\nconsole.log(JSON.stringify(await open()));\n'
    )
    done = subprocess.run(
        ["node", tmp_path / "run.mjs"], capture_output=True, check=True, text=True
    )
    assert json.loads(done.stdout) == [41, [42, "xown", "room.css"], 43]


def test_modules_that_import_each_other_are_not_joined() -> None:
    circle = {
        "main.js": 'import { a } from "./a.js";\n',
        "a.js": 'import { b } from "./b.js";\nexport const a = 1;\n',
        "b.js": 'import { a } from "./a.js";\nexport const b = 2;\n',
    }
    with pytest.raises(ValueError, match=r"main.js -> a.js -> b.js -> a.js"):
        join_modules(circle, "main.js")


@pytest.mark.parametrize(
    "line",
    [
        'import "./start.js";',
        'import * as all from "./start.js";',
        'import fs from "fs";',
        'const later = () => import("./start.js");',
        "const here = import.meta.url;",
        'export * from "./start.js";',
        "export let total = 1;",
        "await Promise.resolve();",
    ],
)
def test_a_form_that_is_not_known_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"main\.js"):
        join_modules(MODULES | {"main.js": f"{line}\n"}, "main.js")


def test_the_page_s_own_modules_can_be_joined() -> None:
    found = assets.modules()
    script = join_modules(found, assets.MAIN, assets.LATER)
    parts = script.count("(() => {")
    for entry in assets.LATER:
        later = join_later_modules(found, assets.MAIN, entry, assets.LATER)
        assert later.startswith('import { $shared } from "./main.js";')
        parts += later.count("(() => {")
    assert parts >= len(found)
    assert script.splitlines()[-1].startswith("export const {")
