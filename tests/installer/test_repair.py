"""Environments that are broken in one way or another, for real, and what becomes of them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_wheels import followed, make_plan
from test_install_environment import colour
from underpaint.installer import repair, uninstall
from underpaint.installer.install import Installation
from underpaint.installer.plan import Plan
from underpaint.protocol.client import Home, ensure_running
from underpaint.protocol.client.file_lock import FileLock
from underpaint.protocol.errors import InstallFailed, UninstallFailed


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Home:
    """A home with an environment that works, to copy: making one takes long."""
    home = Home(tmp_path_factory.mktemp("made"))
    plan = make_plan(home, wheels, "brushes==1.0", "canvas==1.0", modules=("brushes", "canvas"))
    list(followed(Installation(plan)))
    return home


@pytest.fixture
def plan(made: Home, home: Home, wheels: Path) -> Plan:
    """An environment that works, and what it was made with."""
    home.create()
    shutil.copytree(made.environment, home.environment, symlinks=True)
    return make_plan(home, wheels, "brushes==1.0", "canvas==1.0", modules=("brushes", "canvas"))


def packages(home: Home) -> Path:
    (found,) = home.environment.glob("lib/python*/site-packages")
    return found


def test_what_works_is_left_alone(plan: Plan) -> None:
    assert repair.diagnose(plan) == {}
    assert repair.begin(plan) is None


def test_only_the_damaged_package_is_installed_again(plan: Plan, home: Home) -> None:
    (packages(home) / "brushes.py").write_text("colour = ")
    kept = (packages(home) / "canvas.py").stat()

    assert repair.diagnose(plan) == {"brushes": "brushes.py is damaged"}
    work = repair.begin(plan)
    assert isinstance(work, repair.Repair)
    list(followed(work))

    assert colour(home) == "umber"
    assert repair.diagnose(plan) == {}
    after = (packages(home) / "canvas.py").stat()
    assert (after.st_ino, after.st_mtime_ns) == (kept.st_ino, kept.st_mtime_ns)


def test_a_lost_file_a_lost_package_and_a_wrong_version_are_found(plan: Plan, home: Home, wheels: Path) -> None:
    (packages(home) / "canvas.py").unlink()
    assert repair.diagnose(plan) == {"canvas": "canvas.py is gone"}
    pip = [str(home.python), "-m", "pip", "--isolated"]
    subprocess.run([*pip, "uninstall", "--yes", "canvas"], check=True, capture_output=True)
    subprocess.run(
        [*pip, "install", "--no-index", "--find-links", str(wheels), "brushes==2.0"], check=True, capture_output=True
    )
    assert repair.diagnose(plan) == {"brushes": "2.0 where 1.0 is wanted", "canvas": "missing"}
    work = repair.begin(plan)
    assert work is not None
    list(followed(work))
    assert repair.diagnose(plan) == {}
    assert colour(home) == "umber"


def test_what_a_repair_does_not_help_is_made_anew(plan: Plan, home: Home) -> None:
    (packages(home) / "canvas.py").unlink()
    (packages(home) / "brushes").mkdir()  # goes before brushes.py
    (packages(home) / "brushes" / "__init__.py").write_text("raise ImportError('in the way')")
    work = repair.begin(plan)
    assert isinstance(work, repair.Repair)
    with pytest.raises(InstallFailed, match="in the way"):
        list(followed(work))
    assert repair.diagnose(plan) is None
    anew = repair.begin(plan)
    assert isinstance(anew, Installation)
    list(followed(anew))
    assert repair.diagnose(plan) == {}


def test_without_its_python_the_environment_is_made_anew(plan: Plan, home: Home) -> None:
    home.python.unlink()
    assert repair.diagnose(plan) is None
    work = repair.begin(plan)
    assert isinstance(work, Installation)
    list(followed(work))
    assert colour(home) == "umber"


def test_so_it_is_for_another_version_of_the_pins(plan: Plan, home: Home, wheels: Path) -> None:
    newer = make_plan(home, wheels, "brushes==2.0", "canvas==1.0")
    assert repair.diagnose(newer) is None
    work = repair.begin(newer)
    assert work is not None
    list(followed(work))
    assert colour(home) == "ochre"


def test_so_it_is_where_all_files_are_there_and_an_import_fails(plan: Plan, home: Home) -> None:
    (packages(home) / "brushes").mkdir()  # goes before brushes.py
    (packages(home) / "brushes" / "__init__.py").write_text("raise ImportError('in the way')")
    assert repair.diagnose(plan) is None


def test_a_repair_that_fails_says_why_and_keeps_the_rest(plan: Plan, home: Home, wheels: Path) -> None:
    (packages(home) / "canvas.py").unlink()
    chosen = {name: getattr(plan, name) for name in plan.__dataclass_fields__}
    offline = Plan(**chosen | {"pip_options": ("--no-index",)})
    work = repair.begin(offline)
    assert work is not None
    with pytest.raises(InstallFailed, match=r"canvas==1\.0"):
        list(followed(work))
    assert colour(home) == "umber"


def test_uninstalling_takes_the_environment_and_leaves_models_and_queue(plan: Plan, home: Home) -> None:
    plan.building.mkdir()  # left by a crash
    (home.models / "mine.safetensors").write_bytes(b"weights")
    home.database.write_bytes(b"queue")
    freed = uninstall.size(uninstall.environments(home))
    assert freed > 1_000_000
    uninstall.uninstall(home)
    assert list(home.folder.glob("environment*")) == []
    assert home.database.exists()
    uninstall.uninstall(home, with_data=True)
    assert sorted(path.name for path in home.folder.iterdir() if path.suffix != ".lock") == ["models"]
    assert (home.models / "mine.safetensors").read_bytes() == b"weights"
    uninstall.uninstall(home)  # once more does no harm


def test_uninstalling_stops_the_service_first(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERPAINT_BACKEND_PYTHON", sys.executable)
    with ensure_running(home) as connection:
        connection.hello()
        (home.environment / "lib").mkdir(parents=True)
        uninstall.uninstall(home)
    assert FileLock(home.lock_file).try_acquire()
    assert not home.environment.exists()
    assert home.database.exists()


def test_uninstalling_while_it_is_being_installed_is_refused(home: Home) -> None:
    home.create()
    with FileLock(home.folder / "install.lock") as lock:
        assert lock.try_acquire()
        with pytest.raises(UninstallFailed, match="another program is installing it"):
            uninstall.uninstall(home)
