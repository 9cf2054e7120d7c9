"""The backend's environment, made for real from a folder of tiny wheels: success, failure, cancel, repair."""

import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from underpaint.addon.install import Installation, Plan, Progress, Stage
from underpaint.protocol.client import Home
from underpaint.protocol.client.file_lock import FileLock
from underpaint.protocol.errors import InstallFailed, InstallNeedsSpace

_PATIENCE_S = 120


def _wheel(folder: Path, name: str, source: str) -> None:
    """A wheel with one module in it."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    _wheel(folder, "brushes", "colour = 'umber'\n")
    _wheel(folder, "broken_brushes", "raise ImportError('libcanvas.so is missing')\n")
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home with spaces")


def _plan(home: Home, wheels: Path, *requirements: str, modules: tuple[str, ...] = ("brushes",)) -> Plan:
    listed = wheels / f"{'-'.join(requirements)}.txt"
    listed.write_text("".join(f"{line}\n" for line in requirements), encoding="utf-8")
    return Plan(
        home=home,
        requirements=listed,
        pip_options=("--no-index", "--find-links", str(wheels)),
        modules=modules,
        needed_bytes=1_000_000,
    )


def _followed(installation: Installation) -> Iterator[Progress]:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        progress = installation.poll()
        yield progress
        if progress.stage is Stage.READY:
            return
        time.sleep(0.02)
    pytest.fail("the installation does not end")


def _colour(home: Home) -> str:
    code = "import brushes; print(brushes.colour)"
    return subprocess.run([home.python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_an_environment_is_made_fails_leaves_the_old_one_and_is_repaired(home: Home, wheels: Path) -> None:
    told = list(_followed(Installation(_plan(home, wheels, "brushes==1.0"))))

    assert [stage for stage in Stage if stage in {progress.stage for progress in told}] == list(Stage)
    assert [progress.fraction for progress in told] == sorted(progress.fraction for progress in told)
    assert _colour(home) == "umber"
    assert "brushes" in (home.logs / "install.log").read_text()

    with pytest.raises(InstallFailed) as failure:
        list(_followed(Installation(_plan(home, wheels, "brushes==1.0", "no_such_brush==9.9"))))
    assert "no_such_brush" in str(failure.value)
    assert _colour(home) == "umber"

    list(_followed(Installation(_plan(home, wheels, "brushes==1.0"))))
    assert _colour(home) == "umber"
    assert sorted(path.name for path in home.folder.glob("environment*")) == ["environment"]


def test_packages_that_cannot_be_imported_are_a_failure(home: Home, wheels: Path) -> None:
    plan = _plan(home, wheels, "broken_brushes==1.0", modules=("broken_brushes",))
    with pytest.raises(InstallFailed, match=r"libcanvas\.so is missing"):
        list(_followed(Installation(plan)))
    assert not home.environment.exists()


def test_a_cancelled_installation_ends_its_process_and_can_begin_again(home: Home, wheels: Path) -> None:
    plan = _plan(home, wheels, "brushes==1.0")
    installation = Installation(plan)
    installation.poll()
    process = installation._process
    with pytest.raises(InstallFailed, match="another Blender"):
        Installation(plan)

    installation.cancel()

    assert process.poll() is not None
    assert not home.environment.exists()
    assert FileLock(home.folder / "install.lock").try_acquire()


def test_a_full_disk_is_said_before_anything_is_made(home: Home, wheels: Path) -> None:
    plan = Plan(home=home, requirements=_plan(home, wheels, "brushes==1.0").requirements, needed_bytes=1 << 60)
    with pytest.raises(InstallNeedsSpace, match=r"needs 1152921504\.6 GB"):
        Installation(plan)
    assert not plan.building.exists()


def test_a_python_that_is_not_there_is_a_failure_with_its_path(home: Home, wheels: Path, tmp_path: Path) -> None:
    plan = _plan(home, wheels, "brushes==1.0")
    lost = Plan(home=home, base_python=tmp_path / "gone", requirements=plan.requirements, needed_bytes=0)
    with pytest.raises(InstallFailed, match="gone"):
        Installation(lost)


def test_the_shipped_list_is_there_and_pins_everything() -> None:
    plan = Plan(home=Home(Path("unused")))
    lines = [line.split(";")[0].strip() for line in plan.requirements.read_text().splitlines()]
    packages = [line for line in lines if line and not line.startswith("#")]
    assert all("==" in package for package in packages)
    assert {"torch", "diffusers", "uvicorn"} <= {package.partition("==")[0] for package in packages}
    assert plan.base_python == Path(sys.executable)
