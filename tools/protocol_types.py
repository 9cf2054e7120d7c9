"""Write the part of docs/protocol.md that lists the types, from their definitions. `--check` only compares."""

import argparse
import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "protocol.md"
MODULES = ("version", "jobs", "events", "request", "models", "sources", "options", "geometry", "arrays", "errors")
_ERRORS = ("base", "requests", "scenes", "backends", "models", "jobs")
BEGIN, END = "<!-- types: written by tools/protocol_types.py -->", "<!-- end of the types -->"


def main(arguments: list[str] | None = None) -> int:
    """Bring the document up to date; with --check, say whether it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, and change nothing")
    options = parser.parse_args(arguments)
    text = DOCUMENT.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    new = f"{head}{BEGIN}\n\n{types()}\n{END}{tail}"
    if options.check:
        return 0 if new == text else 1
    DOCUMENT.write_text(new, encoding="utf-8")
    return 0


def types() -> str:
    """A section for each module, an entry for each type in it."""
    return "\n".join(_section(name) for name in MODULES)


def _section(module: str) -> str:
    place = ROOT / "protocol" / module
    files = [place.with_suffix(".py")] if not place.is_dir() else [place / f"{part}.py" for part in _ERRORS]
    source = "\n".join(file.read_text(encoding="utf-8") for file in files)
    lines = source.splitlines()
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    entries = [_errors(classes)] if module == "errors" else []
    entries += [_entry(node, lines) for node in classes if module != "errors" or node.name == "ErrorInfo"]
    shown = f"{module}.py" if not place.is_dir() else f"{module}/"
    return f"### `protocol/{shown}`\n\n" + "\n".join(entry for entry in entries if entry)


def _entry(node: ast.ClassDef, lines: list[str]) -> str:
    fields = list(_fields(node, lines))
    if not fields:
        return ""
    said = (ast.get_docstring(node) or "").partition("\n")[0]
    head = f"**{node.name}**" + (f": {said}" if said else "")
    return "\n".join((head, "", "| field | type | default | |", "|---|---|---|---|", *fields, ""))


def _fields(node: ast.ClassDef, lines: list[str]) -> Iterator[str]:
    enum = any(isinstance(base, ast.Name) and base.id == "StrEnum" for base in node.bases)
    for part in node.body:
        if isinstance(part, ast.AnnAssign) and not ast.unparse(part.annotation).startswith("ClassVar"):
            default = "" if part.value is None else f"`{ast.unparse(part.value)}`"
            kind = ast.unparse(part.annotation).strip('"')
            yield _row(f"`{ast.unparse(part.target)}`", f"`{kind}`", default, _comment(lines[_end(part) - 1]))
        elif enum and isinstance(part, ast.Assign):
            yield _row(f"`{ast.literal_eval(part.value)}`", "", "", _comment(lines[_end(part) - 1]))


def _errors(classes: list[ast.ClassDef]) -> str:
    """The codes that cross the wire, with the sentence that each becomes."""
    rows = [
        _row(f"`{said['code']}`", node.name, said.get("sentence", ""))
        for node in classes
        if "code" in (said := _constants(node))
    ]
    return "\n".join(("| code | exception | sentence |", "|---|---|---|", *rows, ""))


def _constants(node: ast.ClassDef) -> dict[str, str]:
    return {
        ast.unparse(part.targets[0]): str(ast.literal_eval(part.value))
        for part in node.body
        if isinstance(part, ast.Assign) and isinstance(part.value, ast.Constant)
    }


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _end(part: ast.stmt) -> int:
    return part.end_lineno or part.lineno


def _comment(line: str) -> str:
    return line.partition("  # ")[2].strip()


if __name__ == "__main__":
    sys.exit(main())
