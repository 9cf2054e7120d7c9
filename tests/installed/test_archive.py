"""What the zip holds."""

import shutil
import zipfile
from pathlib import Path

import build_extension
import pytest

OURS = {
    "LICENSE",
    "README.md",
    "__init__.py",
    "addon",
    "backend",
    "blender_manifest.toml",
    "constraints",
    "installer",
    "protocol",
}
SHIPPED = "backend/worker/models/shipped"
DATA = {"backend/library/catalogue.json"} | {
    file.relative_to(build_extension.ROOT).as_posix()
    for file in (build_extension.ROOT / SHIPPED).rglob("*")
    if file.is_file()
}
"""What is no code: the catalogue, and the configs and the vocabulary that single files are loaded with."""


def names(archive: Path) -> list[str]:
    with zipfile.ZipFile(archive) as opened:
        return [name for name in opened.namelist() if not name.endswith("/")]


def test_holds_what_runs_in_blender_and_the_backend_and_nothing_else(archive: Path) -> None:
    assert {name.split("/")[0] for name in names(archive)} == OURS
    assert [name for name in names(archive) if name.startswith("constraints/")] == ["constraints/backend.txt"]


def test_holds_source_and_no_third_party_code(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        manifest = opened.read("blender_manifest.toml").decode()
    assert "wheels" not in manifest
    assert {Path(name).suffix for name in names(archive) if name not in DATA} <= {"", ".md", ".py", ".toml", ".txt"}
    assert {Path(name).suffix for name in names(archive) if name in DATA} <= {"", ".gz", ".json", ".md"}
    assert f"{SHIPPED}/clip/LICENSE" in names(archive), "the vocabulary's licence lies beside it"


def test_every_source_file_of_the_rooms_is_in_it(archive: Path) -> None:
    rooms = ("addon", "backend", "installer", "protocol")
    wanted = {
        file.relative_to(build_extension.ROOT).as_posix()
        for room in rooms
        for file in (build_extension.ROOT / room).rglob("*.py")
    }
    assert wanted | DATA == {name for name in names(archive) if name.split("/")[0] in rooms}


def test_no_pin_names_where_it_came_from(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        pins = opened.read("constraints/backend.txt").decode().splitlines()
    assert all("==" in pin.split(";")[0] and "/" not in pin and not pin.startswith("-") for pin in pins)


def test_the_validator_refuses_a_manifest_that_breaks_its_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("__init__.py", "blender_manifest.toml", "LICENSE"):
        shutil.copyfile(build_extension.ROOT / name, tmp_path / name)
    manifest = tmp_path / "blender_manifest.toml"
    manifest.write_text(manifest.read_text().replace('network = "', f'network = "{"long " * 20}'))
    (tmp_path / ".venvs").symlink_to(build_extension.ROOT / ".venvs")
    monkeypatch.setattr(build_extension, "ROOT", tmp_path)
    with pytest.raises(build_extension.BuildFailed, match="no longer than 64 characters"):
        build_extension.build(tmp_path / "dist")
