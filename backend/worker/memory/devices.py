"""What there is to compute with, as torch and the operating system tell it."""

import sys
from pathlib import Path
from typing import Any

import psutil

from ..third_party import torch
from . import precision
from .plan import Backend, Machine

# Arithmetic a second of one core, about, measured on an AMD EPYC with AVX-512: float32, and bfloat16 dot products.
_CORE_FLOPS = 75e9
_CORE_FLOPS_BFLOAT16 = 200e9
# Multiply-adds of a streaming multiprocessor in a cycle by compute capability, in float16 with tensor cores and in
# float32, from NVIDIA's CUDA programming guide; what real models reach of it is less.
_SM_FLOPS = {7: (1024, 128), 8: (1024, 256), 9: (4096, 256)}
_REACHED = 0.4
_MPS_FLOPS = 4e12
_UNLIMITED = 1 << 60  # cgroups say "no limit" with a number near 2^63


def machine(*, held_bytes: int = 0) -> Machine:
    """The machine as it is now. `held_bytes` are of models in main memory that could be let go of: they count as free.

    So does torch's own reserve on a GPU, in which are those that could be let go of there.
    """
    library = torch()
    if library.cuda.is_available():
        return _cuda(library, held_bytes)
    if library.backends.mps.is_available():
        return _mps(library, held_bytes)
    return _cpu(library, held_bytes)


def release() -> None:
    """Give memory back that nothing uses: torch's cache on the device, and what the C library kept of the heap."""
    library = torch()
    if library.cuda.is_available():
        library.cuda.empty_cache()
    elif library.backends.mps.is_available():
        library.mps.empty_cache()
    if sys.platform == "linux":
        _trim_heap()


def _cuda(library: Any, held_bytes: int) -> Machine:
    device = "cuda:0"
    free, total = library.cuda.mem_get_info(device)
    properties = library.cuda.get_device_properties(device)
    reserved = library.cuda.memory_reserved(device)
    half, single = _SM_FLOPS.get(properties.major, _SM_FLOPS[7] if properties.major < 7 else _SM_FLOPS[9])
    if properties.major < 7:
        half = single  # no tensor cores
    cycles = properties.multi_processor_count * 1000 * getattr(properties, "clock_rate", 1_500_000) * _REACHED
    hip = getattr(library.version, "hip", None)
    return Machine(
        device=device,
        name=str(properties.name),
        backend=Backend.ROCM if hip else Backend.CUDA,
        total_bytes=int(total),
        free_bytes=int(free + reserved),
        host_free_bytes=_main_memory()[1] + held_bytes,
        formats=precision.formats(device),
        flops=2.0 * half * cycles,
        flops_float32=2.0 * single * cycles,
    )


def _mps(library: Any, held_bytes: int) -> Machine:
    """Metal's memory is main memory; it names the most that it recommends to use."""
    total, free = _main_memory()
    most = int(library.mps.recommended_max_memory())
    ours = max(held_bytes, int(library.mps.driver_allocated_memory()))
    available = min(free + ours, most)
    return Machine(
        device="mps",
        name="",
        backend=Backend.MPS,
        total_bytes=min(total, most),
        free_bytes=available,
        host_free_bytes=available,
        formats=precision.formats("mps"),
        flops=_MPS_FLOPS,
        flops_float32=_MPS_FLOPS,
    )


def _cpu(library: Any, held_bytes: int) -> Machine:
    total, free = _main_memory()
    available = min(free + held_bytes, total)
    quick, cores = has_quick_bfloat16(), int(library.get_num_threads())
    return Machine(
        device="cpu",
        name="",
        backend=Backend.CPU,
        total_bytes=total,
        free_bytes=available,
        host_free_bytes=available,
        formats=precision.formats("cpu"),
        quick_bfloat16=quick,
        flops=cores * (_CORE_FLOPS_BFLOAT16 if quick else _CORE_FLOPS),
        flops_float32=cores * _CORE_FLOPS,
    )


def has_quick_bfloat16() -> bool:
    """Whether the CPU has instructions for bfloat16: AVX512-BF16, AMX, or ARM's. Without them it is emulated."""
    cpu = torch().cpu
    if hasattr(cpu, "get_capabilities"):
        found = cpu.get_capabilities()
        return any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))
    # torch before 2.11; both are private, and there since 2.6
    return bool(cpu._is_avx512_bf16_supported() or cpu._is_amx_tile_supported())


def _main_memory() -> tuple[int, int]:
    """Total and free main memory in bytes, of what this process may have."""
    memory = psutil.virtual_memory()
    total, free = int(memory.total), int(memory.available)
    for limit, used in cgroup_limits(Path("/")) if sys.platform == "linux" else ():
        total, free = min(total, limit), min(free, max(0, limit - used))
    return total, free


def cgroup_limits(root: Path) -> list[tuple[int, int]]:
    """Limit and use in bytes of each control group above this process that has a limit; version 1 and 2.

    `root` is where /proc and /sys lie. A container sees its own group at the top of the tree, whatever path
    /proc names, so that is looked at too.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []  # a kernel without control groups
    found: list[tuple[int, int]] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
        group = top / path.strip("/")
        for folder in {top, *(parent for parent in (group, *group.parents) if parent.is_relative_to(top))}:
            limit, used = (_number(folder / name) for name in names)
            if limit is not None and limit < _UNLIMITED:
                found.append((limit, (used or 0) - _reclaimable(folder)))
    return found


def _reclaimable(folder: Path) -> int:
    """Bytes of a group's use that the kernel takes back when they are wanted: files that were read."""
    try:
        lines = (folder / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    entries = dict(line.split() for line in lines if len(line.split()) == 2)
    return int(entries.get("total_inactive_file", entries.get("inactive_file", 0)))


def _number(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None  # "max" is no limit


def _trim_heap() -> None:
    """glibc keeps what is freed below its top; models are large enough to ask for it back."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
    if trim is not None:
        trim(0)
