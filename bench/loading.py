"""Loading a single-file Stable Diffusion 1.5 of full size with random weights, beside a plain read of the same file.

    .venvs/main/bin/python bench/loading.py
    .venvs/main/bin/python bench/loading.py --cases float16:float16 --rounds 9

A case is what the file holds and what the modules compute in. "plain" is safetensors' own `load_file` and a copy of
every tensor into that format: what any program has to do that keeps the model in memory. "ours" goes from the path to
the UNet, the VAE and the text encoder with their weights; "diffusers" is its from_single_file of UNet and VAE with the
same configs: where nothing is cast it leaves the file mapped, and its reading is still to come.
The contestants take turns in one process, with the file in the system's cache; medians, with the least and the most.
The files (2 GB, 4 GB) are written to a temporary place and removed.
"""

import argparse
import gc
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "backend" / "worker"))
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")

LIMIT = 1.3  # times the plain read, at most


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=["float16:float16", "float32:float32", "float16:float32"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-diffusers", action="store_true")
    options = parser.parse_args()
    slow = False
    with tempfile.TemporaryDirectory(prefix="underpaint-loading-") as temporary:
        for stored in dict.fromkeys(case.partition(":")[0] for case in options.cases):
            file = Path(temporary) / "model.safetensors"
            write(file, stored)
            print(f"\n{stored}: {file.stat().st_size / 1e9:.2f} GB")
            for case in options.cases:
                if case.startswith(f"{stored}:"):
                    slow |= compare(file, case.partition(":")[2], options)
            file.unlink()
    return 1 if slow else 0


def compare(file: Path, wanted: str, options: argparse.Namespace) -> bool:
    """Print a case; whether ours takes longer than it may."""
    import torch

    dtype = getattr(torch, wanted)
    contestants: dict[str, Callable[[Path, Any], Any]] = {"plain": plain, "ours": ours}
    if not options.no_diffusers:
        contestants["diffusers"] = stock
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(options.rounds + 1):
        for name, load in contestants.items():
            gc.collect()
            started = time.perf_counter()
            loaded = load(file, dtype)
            if turn:  # the first of each is to warm up
                seconds[name].append(time.perf_counter() - started)
            del loaded
    base = statistics.median(seconds["plain"])
    for name, times in seconds.items():
        middle = statistics.median(times)
        spread = f"({min(times):.2f} to {max(times):.2f})"
        print(f"  to {wanted}: {name:<10} {middle:6.2f} s {spread}  {middle / base:5.2f} x plain")
    return statistics.median(seconds["ours"]) > LIMIT * base


def plain(file: Path, dtype: Any) -> Any:
    from safetensors.torch import load_file

    return {
        key: tensor.to(dtype, copy=True) if tensor.is_floating_point() else tensor.clone()
        for key, tensor in load_file(file).items()
    }


def ours(file: Path, dtype: Any) -> Any:
    from underpaint.backend.worker.models.inspection import inspect_checkpoint
    from underpaint.backend.worker.models.loading import checkpoint_sources

    return {name: source.load(dtype) for name, source in checkpoint_sources(inspect_checkpoint(file, "sd15")).items()}


def stock(file: Path, dtype: Any) -> Any:
    import diffusers
    from underpaint.backend.worker.models.shapes import SHIPPED

    return [
        getattr(diffusers, name).from_single_file(
            str(file), config=str(SHIPPED / "sd15"), subfolder=part, torch_dtype=dtype
        )
        for name, part in (("UNet2DConditionModel", "unet"), ("AutoencoderKL", "vae"))
    ]  # and not the text encoder, which it loads with a whole pipeline alone


def write(file: Path, stored: str) -> None:
    """The tensors that such a file has, filled with small random numbers."""
    import diffusers
    import numpy as np
    import single_files
    import torch
    import transformers
    from underpaint.backend.worker.models.shapes import shipped_config
    from underpaint.protocol.models import FamilyId

    family = FamilyId.SD15
    with torch.device("meta"):
        text = transformers.CLIPTextConfig(**shipped_config(family, "text_encoder/config.json"))
        parts = {
            "unet": diffusers.UNet2DConditionModel.from_config(shipped_config(family, "unet/config.json")),
            "vae": diffusers.AutoencoderKL.from_config(shipped_config(family, "vae/config.json")),
            "text_encoder": transformers.CLIPTextModel(text),
        }
    tensors = single_files.ldm_checkpoint("sd15", parts)
    width, kind = (2, "F16") if stored == "float16" else (4, "F32")
    header: dict[str, Any] = {}
    place = 0
    for key, tensor in tensors.items():
        if tensor.is_floating_point():
            end = place + width * tensor.numel()
            header[key] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [place, end]}
            place = end
    head = json.dumps(header).encode()
    numbers = np.random.default_rng(0).normal(0, 0.02, 1 << 22).astype(stored).tobytes()
    with file.open("wb") as stream:
        stream.write(len(head).to_bytes(8, "little") + head)
        while place:
            place -= stream.write(numbers[: min(place, len(numbers))])


if __name__ == "__main__":
    sys.exit(main())
