"""What programs see of the interfaces, briefly: names, order, types, defaults. Run to write
`wire_formats.json` again, after a change that is meant."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from tests.doors import Doors

GOLDEN = Path(__file__).with_name("wire_formats.json")
COMMANDS = ("generate", "render", "serve", "retry-decode", "models", "styles", "worker", "verify",
            "edit")  # fmt: skip


def wire_formats(doors: Doors) -> dict[str, Any]:
    document = doors.http.get("/api/openapi.json").json()
    info = doors.demo.get_api_info()
    return {
        "rest": {
            f"{method.upper()} {path}": {
                "id": operation["operationId"],
                "parameters": [each["name"] for each in operation.get("parameters", [])],
                "bodies": list(operation.get("requestBody", {}).get("content", {})),
            }
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
        },
        "schemas": {
            name: {key: brief(value) for key, value in schema.get("properties", {}).items()}
            for name, schema in document["components"]["schemas"].items()
        },
        "endpoints": {
            path: {
                "parameters": [parameter(each) for each in endpoint["parameters"]],
                "returns": [each["python_type"]["type"] for each in endpoint["returns"]],
            }
            for path, endpoint in info["named_endpoints"].items()
        },
        "options": {command: options(doors, command) for command in COMMANDS},
    }


def parameter(described: Any) -> str:
    shown = f"{described['parameter_name']}: {described['python_type']['type']}"
    has_default = described["parameter_has_default"]
    return f"{shown} = {described['parameter_default']}" if has_default else shown


def brief(schema: dict[str, Any]) -> str:
    """A schema in one line, without its descriptions."""
    kept = {name: value for name, value in schema.items() if name not in ("title", "description")}
    text = json.dumps(kept, ensure_ascii=False)
    return re.sub(r'"(description|title)": "[^"]*",? ?', "", text)


def options(doors: Doors, command: str) -> list[str]:
    """`--steps <int>`, in the order of the help."""
    shown = doors.run(command, "--help").output
    found = re.findall(r"^  (-\S+(?: / -\S+)?(?: (?:<\w+>|[A-Z\[\]:]+))?)(?:  |$)", shown, re.M)
    return [" ".join(each.split()) for each in found]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        doors = Doors(Path(folder))
        text = json.dumps(wire_formats(doors), indent=1, ensure_ascii=False)
        GOLDEN.write_text(text + "\n", encoding="utf-8")
        doors.close()


if __name__ == "__main__":
    main()
