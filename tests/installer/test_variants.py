"""Which build of PyTorch a computer is offered, and what is found of its cards."""

import sys
from pathlib import Path

import pytest
from underpaint.installer.plan import REQUIREMENTS, pins, plan_for
from underpaint.installer.variants import VARIANTS, Build, Hardware, choose, find_hardware
from underpaint.protocol.client import Home
from underpaint.protocol.errors import InstallImpossible

NVIDIA, AMD = {"nvidia": "GeForce RTX 4090, driver 580.95"}, {"amd": "rocminfo is there"}


def computer(system: str, machine: str = "x86_64", **cards: str) -> Hardware:
    return Hardware(system=system, machine=machine, **cards)


@pytest.mark.parametrize(
    ("hardware", "index", "build", "noted"),
    [
        (computer("linux", **NVIDIA), False, Build.CUDA, ""),
        (computer("linux", **NVIDIA), True, Build.CUDA, ""),
        (computer("linux", nvidia="GTX 1080, driver 535.1"), False, Build.CUDA, "580 or newer"),
        (computer("linux", nvidia="its driver is loaded"), False, Build.CUDA, ""),
        (computer("linux", **AMD), True, Build.ROCM, ""),
        (computer("linux", **AMD), False, Build.CPU, "wants the ROCm build"),
        (computer("linux"), False, Build.CPU, "comes with NVIDIA's libraries"),
        (computer("linux"), True, Build.CPU, "The processor paints"),
        (computer("win32", **NVIDIA), True, Build.CUDA, ""),
        (computer("win32", **NVIDIA), False, Build.CPU, "this installation won't use it"),
        (computer("win32", **AMD), True, Build.CPU, "has none for this system"),
        (computer("win32"), False, Build.CPU, "No graphics card was found"),
        (computer("darwin", "arm64"), False, Build.MPS, ""),
    ],
)
def test_a_computer_is_offered_what_fits_it(hardware: Hardware, index: bool, build: Build, noted: str) -> None:
    choice = choose(hardware, torch_index=index)
    assert choice.variant.build is build
    assert noted in " ".join(choice.notes)
    assert bool(noted) == bool(choice.notes)


@pytest.mark.parametrize(
    ("hardware", "wanted", "why"),
    [
        (computer("darwin", "x86_64"), None, "Intel"),
        (computer("linux"), Build.ROCM, "--torch-index"),
        (computer("win32"), Build.CUDA, "--torch-index"),
        (computer("win32"), Build.MPS, "no PyTorch for Apple silicon"),
        (computer("freebsd14"), None, "no PyTorch for processors"),
    ],
)
def test_what_there_is_not_is_said(hardware: Hardware, wanted: Build | None, why: str) -> None:
    with pytest.raises(InstallImpossible, match=why):
        choose(hardware, wanted=wanted)


def test_a_wish_counts_more_than_a_card() -> None:
    assert choose(computer("linux", **NVIDIA), wanted=Build.CPU).variant.build is Build.CPU


def test_what_stays_out_are_pinned_names() -> None:
    for variant in VARIANTS:
        everything, kept = pins(REQUIREMENTS), pins(REQUIREMENTS, variant.leaves_out)
        assert set(kept) <= set(everything)
        assert {line.split("==")[0] for line in kept} >= {"torch", "torchvision", "diffusers", "uvicorn"}
        for name in variant.leaves_out:
            assert any(line.startswith(name) for line in everything), name


def test_the_plan_says_sizes_and_place_before_anything_is_done(tmp_path: Path) -> None:
    plan = plan_for(Home(tmp_path / "home"), hardware=computer("linux"), torch_index="")
    said = "\n".join(plan.lines)
    for words in (
        "for processors",
        str(tmp_path / "home" / "environment"),
        "To download: 2.4 GB",
        "Installed: 5.3 GB",
        "Free: ",
    ):
        assert words in said
    assert "up to 10.1 GB" in said
    assert not (tmp_path / "home").exists()


def test_with_a_folder_of_wheels_nothing_is_fetched(tmp_path: Path) -> None:
    plan = plan_for(
        Home(tmp_path), hardware=computer("linux", **AMD), wheels=tmp_path, torch_index="https://index.invalid"
    )
    assert plan.pip_options == ("--no-index", "--find-links", str(tmp_path))
    assert plan.torch_index == ""
    assert plan.build is Build.ROCM
    assert "To download: nothing" in "\n".join(plan.lines)


def test_the_index_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERPAINT_TORCH_INDEX", "https://index.invalid/cpu")
    plan = plan_for(Home(tmp_path), hardware=computer("linux"))
    assert plan.torch_index == "https://index.invalid/cpu"
    assert not any(line.startswith("nvidia") for line in pins(plan.requirements, plan.leaves_out))


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for the driver's tool")
@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("echo 'NVIDIA H200, 580.95.05'", "NVIDIA H200, driver 580.95.05"),
        ("echo 'Failed to initialize NVML' >&2; exit 9", ""),
    ],
)
def test_an_nvidia_card_is_asked_of_its_driver(tmp_path: Path, script: str, found: str) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    names = {"nvidia-smi": str(tool)}
    assert find_hardware(root=tmp_path, which=names.get).nvidia == found


def test_drivers_are_seen_without_their_tools(tmp_path: Path) -> None:
    def nothing(_name: str) -> None:
        return None

    assert find_hardware(root=tmp_path, which=nothing).nvidia == ""
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    (tmp_path / "proc/driver/nvidia/version").write_text("580")
    assert find_hardware(root=tmp_path, which=nothing).nvidia == "its driver is loaded"
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/kfd").touch()
    assert find_hardware(root=tmp_path, which=nothing).amd == ""
    (tmp_path / "opt/rocm").mkdir(parents=True)
    assert find_hardware(root=tmp_path, which=nothing).amd == "/opt/rocm is there"
