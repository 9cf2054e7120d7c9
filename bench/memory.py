"""Hard budgets on a GPU: what each rung of the ladder takes and costs; and the working sets that plans assume.

    .venvs/main/bin/python bench/memory.py                  # needs a GPU with CUDA or ROCm
    .venvs/main/bin/python bench/memory.py --working-sets   # needs nothing: counted on torch's meta device

With a budget torch refuses every byte above it (`set_per_process_memory_fraction`), so what comes through has kept it.
The models are full-size with random weights, written to a temporary folder (16 GB) unless --folder keeps them.
"""

import argparse
import gc
import os
import sys
import tempfile
import time
import weakref
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "backend" / "worker"))
sys.path.insert(0, str(ROOT / "bench"))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

BUDGETS_GIB = (None, 12, 8, 6, 4, 3, 2)
SIDES = {"sd15": 512, "sdxl": 1024}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--working-sets", action="store_true")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--kinds", nargs="*", choices=SIDES, default=list(SIDES))
    parser.add_argument("--folder", type=Path, help="keep the models here, or find them here")
    options = parser.parse_args()
    if options.working_sets:
        working_sets()
        return 0
    import torch

    if not torch.cuda.is_available():
        print("There is no GPU that torch can use on this machine, so no budget was tried and nothing measured.")
        return 1
    with tempfile.TemporaryDirectory(prefix="underpaint-memory-") as temporary:
        for kind in options.kinds:
            budgets(torch, kind, options.folder or Path(temporary), options.steps)
    return 0


# ---- budgets


def budgets(torch: Any, kind: str, models: Path, steps: int) -> None:
    """One table: a row for each budget, the first without one."""
    import numpy as np
    from full_size import NETS, build
    from underpaint.backend.blobstore import BlobStore
    from underpaint.protocol.geometry import Extent
    from underpaint.protocol.request import Control, ControlKind, GenerateRequest
    from underpaint.protocol.sources import ReadyMap
    from worker_runner import make_runner

    build(kind, models)
    total = torch.cuda.mem_get_info()[1]
    side = SIDES[kind]
    print(f"\n{kind}, {NETS[kind]} ControlNets, {side} x {side}, {steps} steps, {torch.cuda.get_device_name()}\n")
    print("| budget, GiB | peak reserved, GiB | s | slower | planned | plan |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        blobs, resident = BlobStore(Path(folder)), 0.0
        image = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
        source = ReadyMap(image=blobs.write_array(image))
        for budget in BUDGETS_GIB:
            runner = make_runner(blobs, models)
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.set_per_process_memory_fraction(1.0 if budget is None else min(1.0, budget * 2**30 / total))
            request = GenerateRequest(
                prompt="a room", negative_prompt="blurry", checkpoint=kind, size=Extent(width=side, height=side),
                controls=tuple(
                    Control(kind=ControlKind.TILE, source=source, controlnet=f"{kind}-net{index}")
                    for index in range(NETS[kind])
                ),
                steps=steps, memory_budget_gb=budget,
            )  # fmt: skip
            line, seconds = row(torch, runner, request, budget, resident)
            print(line, flush=True)
            resident = resident or seconds
            runner.clear()
    torch.cuda.set_per_process_memory_fraction(1.0)


def row(torch: Any, runner: Any, request: Any, budget: int | None, resident: float) -> tuple[str, float]:
    """A line of the table, and how long the second of two jobs took; 0 where none came through."""
    from underpaint.protocol.errors import UnderpaintError
    from worker_runner import Job

    torch.cuda.reset_peak_memory_stats()
    name = "none" if budget is None else str(budget)
    try:
        Job(runner, request).run()  # loads
        torch.cuda.synchronize()
        started = time.perf_counter()
        result = Job(runner, request).run()
        torch.cuda.synchronize()
    except UnderpaintError as error:
        return f"| {name} | | | | | {error} |", 0.0
    seconds = time.perf_counter() - started
    peak = torch.cuda.max_memory_reserved() / 2**30
    slower = f"{seconds / resident:.2f}" if resident else "1"
    planned = result.plan.partition("about ")[2].partition(" times")[0] if "slower" in result.plan else "1"
    told = " ".join((result.plan, *result.notes))
    return f"| {name} | {peak:.2f} | {seconds:.2f} | {slower} | {planned} | {told} |", seconds


# ---- working sets


def working_sets() -> None:
    """Most values of live tensors during a forward pass beside the weights, for each latent pixel of a row."""
    import torch
    from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
    from full_size_models import UNETS, VAE
    from torch.nn import functional

    # attention's own matrices, which the kernels in use don't write out
    functional.scaled_dot_product_attention = lambda query, *_, **__: torch.empty_like(query)
    with torch.no_grad(), torch.device("meta"):
        for kind, side in SIDES.items():
            unet = UNet2DConditionModel(**UNETS[kind])
            net = ControlNetModel.from_unet(unet, load_weights_from_unet=False)
            latent = side // 8
            text = torch.empty(2, 77, UNETS[kind]["cross_attention_dim"])
            inputs = (torch.empty(2, 4, latent, latent), torch.empty(2), text)
            more: dict[str, Any] = {}
            if kind == "sdxl":
                more["added_cond_kwargs"] = {"text_embeds": torch.empty(2, 1280), "time_ids": torch.empty(2, 6)}
            alone, _ = most_values(unet, *inputs, **more)
            by_net, (down, middle) = most_values(
                net, *inputs, controlnet_cond=torch.empty(2, 3, side, side), return_dict=False, **more
            )
            residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
            steered, _ = most_values(unet, *inputs, **residuals, **more)
            places = 2 * latent * latent
            skips = sum(tensor.numel() for tensor in (*down, middle))
            print(f"{kind} {side} x {side}: UNet {alone / places:.0f}, with residuals {steered / places:.0f}, "
                  f"ControlNet {by_net / places:.0f}, its residuals {skips / places:.0f} values")  # fmt: skip
        vae = AutoencoderKL(**VAE)
        decoded, _ = most_values(vae.decoder, torch.empty(1, 4, 64, 64))
        encoded, _ = most_values(vae.encoder, torch.empty(1, 3, 512, 512))
        print(f"VAE: decoding {decoded / 512**2:.0f} values a pixel, encoding {encoded / 512**2:.0f}")
        transformer_sets(torch)


def transformer_sets(torch: Any) -> None:
    """The same of the transformer families, for each token of 16 x 16 pixels, in parts of the width."""
    import diffusers

    def flux(tokens: int) -> tuple[dict[str, Any], int]:
        shapes = {
            "hidden_states": (1, tokens, 64), "encoder_hidden_states": (1, 512, 4096), "pooled_projections": (1, 768),
            "timestep": (1,), "guidance": (1,), "img_ids": (tokens, 3), "txt_ids": (512, 3),
        }  # fmt: skip
        return {name: torch.empty(shape) for name, shape in shapes.items()}, 3072

    def flux_net(tokens: int) -> tuple[dict[str, Any], int]:
        given, width = flux(tokens)
        mode = torch.zeros(1, 1, dtype=torch.long)
        return {**given, "controlnet_cond": torch.empty(1, tokens, 64), "controlnet_mode": mode}, width

    def sd3(width: int) -> Any:
        def inputs(tokens: int) -> tuple[dict[str, Any], int]:
            side = 2 * round(tokens**0.5)
            shapes = {
                "hidden_states": (1, 16, side, side), "encoder_hidden_states": (1, 333, 4096),
                "pooled_projections": (1, 2048), "timestep": (1,),
            }  # fmt: skip
            return {name: torch.empty(shape) for name, shape in shapes.items()}, width

        return inputs

    def qwen(tokens: int) -> tuple[dict[str, Any], int]:
        side = round(tokens**0.5)
        shapes = {"hidden_states": (1, tokens, 64), "encoder_hidden_states": (1, 512, 3584), "timestep": (1,)}
        given = {name: torch.empty(shape) for name, shape in shapes.items()}
        return {**given, "img_shapes": [[(1, side, side)]]}, 3072

    def z_image(tokens: int) -> tuple[dict[str, Any], int]:
        side = 2 * round(tokens**0.5)
        picture, text = torch.empty(16, 1, side, side), torch.empty(512, 2560)
        return {"x": [picture], "t": torch.empty(1), "cap_feats": [text]}, 3840

    large = {"caption_projection_dim": 2432, "num_attention_heads": 38, "num_layers": 38, "pos_embed_max_size": 192}
    medium = {"caption_projection_dim": 1536, "num_attention_heads": 24, "num_layers": 24, "pos_embed_max_size": 384}
    both = {"joint_attention_dim": 4096, "pooled_projection_dim": 2048, "qk_norm": "rms_norm"}
    union = {"num_layers": 5, "num_single_layers": 10, "guidance_embeds": True, "num_mode": 10}
    for title, model, inputs in (
        ("Flux.1", diffusers.FluxTransformer2DModel(guidance_embeds=True), flux),
        ("ControlNet of Flux.1, 5 and 10 layers", diffusers.FluxControlNetModel(**union), flux_net),
        ("SD 3.5 large", diffusers.SD3Transformer2DModel(**large, **both), sd3(2432)),
        ("SD 3.5 medium", diffusers.SD3Transformer2DModel(
            **medium, **both, dual_attention_layers=tuple(range(13))), sd3(1536)),
        ("Qwen-Image", diffusers.QwenImageTransformer2DModel(num_layers=4), qwen),
        ("Z-Image", diffusers.ZImageTransformer2DModel(n_layers=4), z_image),
    ):  # fmt: skip
        found: list[float] = []
        for tokens in (1024, 4096):  # what doesn't grow with the picture, such as the text's share, cancels out
            given, width = inputs(tokens)
            found.append(most_values(model, **given, return_dict=False)[0])
        print(f"{title}: {(found[1] - found[0]) / 3072 / width:.1f} x {width} values for each token")
    vae = diffusers.AutoencoderKLQwenImage().requires_grad_(False)
    decoded, _ = most_values(vae.decoder, torch.empty(1, 16, 1, 64, 64))
    print(f"Qwen-Image's VAE: decoding {decoded / 512**2:.0f} values a pixel")


def most_values(module: Any, *inputs: Any, **more: Any) -> tuple[float, Any]:
    """The most values that were live at once beside the module's weights, and what the module gave."""
    from torch import Tensor
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class Count(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.live = self.peak = 0
            self.known = dict.fromkeys((tensor.untyped_storage()._cdata for tensor in module.parameters()), 0)

        def gone(self, key: int) -> None:
            self.live -= self.known.pop(key, 0)

        def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
            out = function(*arguments, **(keywords or {}))
            for tensor in tree_leaves(out):
                storage = tensor.untyped_storage() if isinstance(tensor, Tensor) else None
                if storage is not None and storage._cdata not in self.known:
                    self.known[storage._cdata] = storage.nbytes() // 4
                    self.live += storage.nbytes() // 4
                    weakref.finalize(storage, self.gone, storage._cdata)
            self.peak = max(self.peak, self.live)
            return out

    with Count() as count:
        found = module(*inputs, **more)
    return count.peak, found


if __name__ == "__main__":
    sys.exit(main())
