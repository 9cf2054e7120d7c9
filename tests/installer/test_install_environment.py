"""The backend's environment, made for real from a folder of tiny wheels: success, failure, cancel, another try."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_wheels import Index, followed, make_plan, make_wheel
from underpaint.installer.install import Installation
from underpaint.installer.plan import Plan, plan_for
from underpaint.installer.variants import Hardware
from underpaint.installer.work import Stage
from underpaint.protocol.client import Home
from underpaint.protocol.client.file_lock import FileLock
from underpaint.protocol.errors import InstallFailed, InstallNeedsSpace


def colour(home: Home) -> str:
    code = "import brushes; print(brushes.colour)"
    return subprocess.run([home.python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_an_environment_is_made_and_a_failure_leaves_it(home: Home, wheels: Path) -> None:
    told = list(followed(Installation(make_plan(home, wheels, "brushes==1.0"))))

    assert [stage for stage in Stage if stage in {progress.stage for progress in told}] == list(Stage)
    assert [progress.fraction for progress in told] == sorted(progress.fraction for progress in told)
    assert any(progress.line == "Unpacking: 1 of 1 packages" for progress in told)
    assert colour(home) == "umber"
    assert "brushes" in (home.logs / "install.log").read_text()
    events = [json.loads(line) for line in (home.logs / "installer.log").read_text().splitlines()]
    assert [line["text"] for line in events] == [*[stage.value for stage in Stage][:3], "ready"]

    with pytest.raises(InstallFailed) as failure:
        list(followed(Installation(make_plan(home, wheels, "brushes==2.0", "no_such_brush==9.9"))))
    assert "no_such_brush" in str(failure.value)
    assert colour(home) == "umber"

    list(followed(Installation(make_plan(home, wheels, "brushes==2.0"))))
    assert colour(home) == "ochre"
    assert sorted(path.name for path in home.folder.glob("environment*")) == ["environment"]


def test_packages_that_cannot_be_imported_are_a_failure(home: Home, wheels: Path) -> None:
    plan = make_plan(home, wheels, "broken_brushes==1.0", modules=("broken_brushes",))
    with pytest.raises(InstallFailed, match=r"libcanvas\.so is missing"):
        list(followed(Installation(plan)))
    assert list(home.folder.glob("environment*")) == []


def test_a_cancelled_installation_ends_its_process_and_can_begin_again(home: Home, wheels: Path) -> None:
    plan = make_plan(home, wheels, "brushes==1.0")
    installation = Installation(plan)
    installation.poll()
    process = installation._process
    with pytest.raises(InstallFailed, match="another program"):
        Installation(plan)

    installation.cancel()

    assert process.poll() is not None
    assert list(home.folder.glob("environment*")) == []
    assert FileLock(home.folder / "install.lock").try_acquire()


def test_what_a_cancelled_download_had_finished_is_not_fetched_again(
    home: Home, wheels: Path, index: Index, tmp_path: Path
) -> None:
    listed = ("large_brushes==1.0", "slow_brushes==1.0")
    cache = ("--cache-dir", str(tmp_path / "cache"))
    plan = make_plan(
        home, wheels, *listed, modules=("slow_brushes",), options=(*index.options, *cache), download_bytes=1_000_000
    )
    installation = Installation(plan)
    told = []
    deadline = time.monotonic() + 60
    while not any("slow_brushes" in progress.line and progress.fraction > 0.5 for progress in told):
        assert time.monotonic() < deadline, told[-1]
        told.append(installation.poll())
        time.sleep(0.02)
    assert "of 1 MB" in told[-1].line  # 0.6, as pip says it
    installation.cancel()
    assert list(home.folder.glob("environment*")) == []
    index.let_go.set()

    list(followed(Installation(plan)))

    assert index.fetched == {"large_brushes-1.0-py3-none-any.whl": 1, "slow_brushes-1.0-py3-none-any.whl": 2}
    assert re.search(r"Using cached \S*large_brushes", plan.log.read_text())


def test_torch_comes_from_the_index_that_was_named(home: Home, wheels: Path, index: Index, tmp_path: Path) -> None:
    """Our two are stood in for by a pin that has their name."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    make_wheel(theirs, "torch", "build = 'cpu'\n", version="2.0+cpu")
    make_wheel(theirs, "torchvision", "", version="1.0")
    own = Index(theirs)
    try:
        plan = make_plan(
            home, wheels, "torch==2.0", "torchvision==1.0", "brushes==1.0", "triton==3.0", options=index.options
        )
        chosen = {name: getattr(plan, name) for name in plan.__dataclass_fields__}
        plan = Plan(
            **chosen | {"torch_index": own.options[-1], "leaves_out": ("triton",), "modules": ("torch", "brushes")}
        )
        list(followed(Installation(plan)))
    finally:
        own.close()
    assert set(own.fetched) == {"torch-2.0+cpu-py3-none-any.whl", "torchvision-1.0-py3-none-any.whl"}
    assert set(index.fetched) == {"brushes-1.0-py3-none-any.whl"}


def test_a_full_disk_is_said_before_anything_is_made(home: Home, wheels: Path) -> None:
    plan = make_plan(home, wheels, "brushes==1.0")
    chosen = {name: getattr(plan, name) for name in plan.__dataclass_fields__} | {"needed_bytes": 1 << 60}
    with pytest.raises(InstallNeedsSpace, match=r"needs 1152921504\.6 GB"):
        Installation(Plan(**chosen))
    assert not plan.building.exists()


def test_a_python_that_is_not_there_is_a_failure_with_its_path(home: Home, wheels: Path, tmp_path: Path) -> None:
    plan = make_plan(home, wheels, "brushes==1.0")
    chosen = {name: getattr(plan, name) for name in plan.__dataclass_fields__} | {"base_python": tmp_path / "gone"}
    with pytest.raises(InstallFailed, match="gone"):
        Installation(Plan(**chosen))


def test_the_shipped_list_is_there_and_pins_everything(home: Home) -> None:
    plan = plan_for(home, hardware=Hardware(system="linux", machine="x86_64"))
    lines = [line.split(";")[0].strip() for line in plan.requirements.read_text().splitlines()]
    packages = [line for line in lines if line and not line.startswith("#")]
    assert all("==" in package for package in packages)
    assert {"torch", "diffusers", "uvicorn"} <= {package.partition("==")[0] for package in packages}
    assert plan.base_python == Path(sys.executable)
    assert not home.folder.exists()
