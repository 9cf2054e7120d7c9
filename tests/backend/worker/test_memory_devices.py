"""What there is to compute with: limits of containers, number formats that work, GPUs by what torch says of them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
from underpaint.backend.worker.memory import devices, precision
from underpaint.backend.worker.memory.plan import Backend

GIB = 1 << 30


def test_this_machine() -> None:
    machine = devices.machine()
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        assert machine.backend is not Backend.CPU
        assert 0 < machine.free_bytes <= machine.total_bytes
        return
    assert (machine.device, machine.backend, machine.shared, machine.full_name) == ("cpu", Backend.CPU, True, "cpu")
    assert 0 < machine.free_bytes <= machine.total_bytes <= psutil.virtual_memory().total
    assert machine.formats[0] == "float32"
    assert "bfloat16" in machine.formats
    assert machine.flops >= machine.flops_float32 > 1e9


def test_what_is_held_counts_as_free_and_never_makes_more_than_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_main_memory", lambda: (8 * GIB, 3 * GIB))
    assert devices._cpu(torch, 0).free_bytes == 3 * GIB
    assert devices._cpu(torch, 2 * GIB).free_bytes == 5 * GIB
    assert devices._cpu(torch, 20 * GIB).free_bytes == 8 * GIB


# ---- containers


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_control_groups_version_2(tmp_path: Path) -> None:
    write(tmp_path, {
        "proc/self/cgroup": "0::/user/job\n",
        "sys/fs/cgroup/user/memory.max": f"{4 * GIB}\n",
        "sys/fs/cgroup/user/memory.current": f"{3 * GIB}\n",
        "sys/fs/cgroup/user/memory.stat": f"anon 5\ninactive_file {GIB}\n",
        "sys/fs/cgroup/user/job/memory.max": "max\n",
        "sys/fs/cgroup/user/job/memory.current": f"{GIB}\n",
    })  # fmt: skip
    assert devices.cgroup_limits(tmp_path) == [(4 * GIB, 2 * GIB)]


def test_control_groups_version_1(tmp_path: Path) -> None:
    write(tmp_path, {
        "proc/self/cgroup": "5:cpu,cpuacct:/job\n4:memory:/job\n0::/\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{(1 << 63) - 4096}\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{GIB}\n",
        "sys/fs/cgroup/memory/job/memory.limit_in_bytes": f"{2 * GIB}\n",
        "sys/fs/cgroup/memory/job/memory.usage_in_bytes": f"{GIB}\n",
        "sys/fs/cgroup/memory/job/memory.stat": "total_inactive_file 1024\n",
    })  # fmt: skip
    assert devices.cgroup_limits(tmp_path) == [(2 * GIB, GIB - 1024)]


def test_inside_a_container_the_own_group_is_at_the_top(tmp_path: Path) -> None:
    write(tmp_path, {
        "proc/self/cgroup": "0::/docker/0123\n",
        "sys/fs/cgroup/memory.max": f"{2 * GIB}\n",
        "sys/fs/cgroup/memory.current": f"{GIB}\n",
    })  # fmt: skip
    assert devices.cgroup_limits(tmp_path) == [(2 * GIB, GIB)]


def test_a_kernel_without_control_groups(tmp_path: Path) -> None:
    assert devices.cgroup_limits(tmp_path) == []


@pytest.mark.skipif(not Path("/proc/self/cgroup").exists(), reason="this system has no control groups")
def test_a_limit_bounds_total_and_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "cgroup_limits", lambda _: [(2 * GIB, GIB), (1 << 40, 0)])
    total, free = devices._main_memory()
    assert total == 2 * GIB
    assert free <= GIB


# ---- number formats


@pytest.fixture
def fresh() -> None:
    """No answer is remembered before or after."""
    precision.formats.cache_clear()


def test_a_format_that_overflows_is_not_trusted(monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    """As float16 convolutions of some cards without tensor cores do."""
    convolve = torch.nn.functional.conv2d

    def broken(picture: torch.Tensor, *rest: Any, **more: Any) -> torch.Tensor:
        found = convolve(picture, *rest, **more)
        return found * float("inf") if picture.dtype is torch.float16 else found

    monkeypatch.setattr(torch.nn.functional, "conv2d", broken)
    assert precision.formats("cpu") == ("float32", "bfloat16")
    precision.formats.cache_clear()


def test_a_format_that_is_off_or_has_no_kernel_is_not_trusted(monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    attend, multiply = torch.nn.functional.scaled_dot_product_attention, torch.nn.functional.linear

    def off(query: torch.Tensor, *rest: Any) -> torch.Tensor:
        return attend(query, *rest) * (0.9 if query.dtype is torch.bfloat16 else 1)

    def missing(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        if values.dtype is torch.float16:
            raise RuntimeError("\"addmm_impl_cpu_\" not implemented for 'Half'")
        return multiply(values, weight)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", off)
    monkeypatch.setattr(torch.nn.functional, "linear", missing)
    assert precision.formats("cpu") == ("float32",)
    precision.formats.cache_clear()


def test_running_out_of_memory_is_no_verdict_on_a_format(monkeypatch: pytest.MonkeyPatch, fresh: None) -> None:
    """It would change what every later picture is computed in."""

    def full(*_: Any, **__: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.nn.functional, "conv2d", full)
    with pytest.raises(torch.OutOfMemoryError):
        precision.formats("cpu")


# ---- GPUs, by what torch would say of them


def gpu(*, major: int, hip: str | None) -> Any:
    return SimpleNamespace(
        version=SimpleNamespace(hip=hip),
        cuda=SimpleNamespace(
            mem_get_info=lambda _: (5 * GIB, 8 * GIB),
            memory_reserved=lambda _: GIB,
            get_device_properties=lambda _: SimpleNamespace(
                name="Card", major=major, multi_processor_count=46, clock_rate=1_700_000
            ),
        ),
    )


@pytest.mark.parametrize(
    ("hip", "backend"), [(None, Backend.CUDA), ("6.2", Backend.ROCM)]
)  # fmt: skip
def test_a_gpu(monkeypatch: pytest.MonkeyPatch, hip: str | None, backend: Backend) -> None:
    monkeypatch.setattr(precision, "formats", lambda _: ("float16", "float32"))
    machine = devices._cuda(gpu(major=8, hip=hip), 0)
    assert (machine.backend, machine.full_name, machine.shared) == (backend, "cuda:0 Card", False)
    assert (machine.total_bytes, machine.free_bytes) == (8 * GIB, 6 * GIB)  # torch's own reserve is free to it
    assert devices._cuda(gpu(major=8, hip=hip), 64 * GIB).host_free_bytes > 64 * GIB
    assert 2e13 < machine.flops < 1e14
    old = devices._cuda(gpu(major=6, hip=hip), 0)
    assert old.flops == old.flops_float32 < machine.flops


def test_metal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "formats", lambda _: ("float16", "float32"))
    monkeypatch.setattr(devices, "_main_memory", lambda: (16 * GIB, 9 * GIB))
    metal = SimpleNamespace(recommended_max_memory=lambda: 11 * GIB, driver_allocated_memory=lambda: GIB)
    machine = devices._mps(SimpleNamespace(mps=metal), 0)
    assert (machine.total_bytes, machine.free_bytes, machine.shared) == (11 * GIB, 10 * GIB, True)
