"""The oracle: diffusers' own pipelines, as their users call them, over the same modules.

What no stock pipeline can do (a weight curve, a plain net beside a union, guess mode for one of two nets, a window
for one of a union's images) is stepped through `ByHand`: a stock pipeline all the same, whose MultiControlNetModel
calls stock nets one by one, and adds up what they say.
"""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from diffusers.models.controlnets.multicontrolnet_union import MultiControlNetUnionModel
from parity_jobs import Job, Net
from parity_spying import OnStep, float64_arithmetic, recorded_decoding, spied
from PIL import Image
from underpaint.backend.worker.sampling.schedulers import make_scheduler, step_options

_TEXT_CLASSES = {
    "text_encoder": transformers.CLIPTextModel,
    "text_encoder_2": transformers.CLIPTextModelWithProjection,
}


@dataclass(frozen=True, kw_only=True)
class Painted:
    """What a run made."""

    latents: torch.Tensor  # (pictures, 4, height / 8, width / 8), as the VAE is given them
    pictures: np.ndarray  # (pictures, height, width, 3) uint8


class Stock:
    """Stock pipelines over a models folder, in one precision."""

    def __init__(self, models: Path, dtype: torch.dtype = torch.float32) -> None:
        self.models = models
        self.dtype = dtype
        self._checkpoints: dict[str, dict[str, Any]] = {}
        self._nets: dict[str, Any] = {}
        self._painted: dict[Job, Painted] = {}

    def parts(self, checkpoint: str) -> dict[str, Any]:
        """The components, as a pipeline's keyword arguments."""
        if checkpoint not in self._checkpoints:
            folder = self.models / checkpoint
            parts: dict[str, Any] = {}
            for name, part_class in _TEXT_CLASSES.items():
                if (folder / name).is_dir():
                    parts[name] = part_class.from_pretrained(folder / name)
                    tokenizer = name.replace("text_encoder", "tokenizer")
                    parts[tokenizer] = transformers.CLIPTokenizer.from_pretrained(folder / tokenizer)
            parts["unet"] = diffusers.UNet2DConditionModel.from_pretrained(folder / "unet")
            parts["vae"] = diffusers.AutoencoderKL.from_pretrained(folder / "vae")
            for part in parts.values():
                if isinstance(part, torch.nn.Module):
                    part.to(self.dtype).eval().requires_grad_(False)
            self._checkpoints[checkpoint] = parts
        return self._checkpoints[checkpoint]

    def net(self, name: str) -> Any:
        """A ControlNet of either class."""
        if name not in self._nets:
            union = name.endswith(("union", "promax"))
            net_class = diffusers.ControlNetUnionModel if union else diffusers.ControlNetModel
            self._nets[name] = net_class.from_pretrained(self.models / name).to(self.dtype).eval().requires_grad_(False)
        return self._nets[name]

    def remembered(self, job: Job) -> Painted:
        """What `paint` makes of a job, made once."""
        if job not in self._painted:
            self._painted[job] = self.paint(job)
        return self._painted[job]

    def paint(
        self,
        job: Job,
        *,
        by_hand: bool = False,
        on_step: OnStep | None = None,
        prompts: Sequence[str] = (),
    ) -> Painted:
        """Run the pipeline; pictures that are painted one by one are runs of their own, as a user would make them."""
        pairs = tuple(zip(prompts or job.prompts, job.seeds, strict=True))
        groups = [pairs] if job.batch >= job.pictures else [(pair,) for pair in pairs]
        runs = [self._run(job, group, by_hand, on_step) for group in groups]
        return Painted(
            latents=torch.cat([run.latents for run in runs]), pictures=np.concatenate([run.pictures for run in runs])
        )

    @torch.inference_mode()
    def _run(self, job: Job, pictures: Sequence[tuple[str, int]], by_hand: bool, on_step: OnStep | None) -> Painted:
        scheduler = scheduler_for(job, self.models)
        pipeline = self.pipeline(job, scheduler, by_hand=by_hand)
        decoded: list[torch.Tensor] = []
        with contextlib.ExitStack() as stack:
            stack.enter_context(recorded_decoding(decoded))
            if self.dtype == torch.float64:
                stack.enter_context(float64_arithmetic(scheduler))
            if on_step is not None:
                stack.enter_context(spied(pipeline, on_step))
            images = pipeline(**self.arguments(job, pictures, pipeline), output_type="np", return_dict=False)[0]
        levels = (images * 255).round().astype(np.uint8)  # as the image processor makes pictures of arrays
        scaling = pipeline.vae.config.scaling_factor
        return Painted(latents=torch.cat(decoded) * scaling, pictures=levels)

    def pipeline(self, job: Job, scheduler: Any, *, by_hand: bool = False) -> Any:
        """The stock pipeline for a job."""
        parts = dict(self.parts(job.checkpoint), scheduler=scheduler)
        if job.xl:
            parts["add_watermarker"] = False
        else:
            parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        union = False
        if job.nets:
            by_hand = by_hand or not is_stock(job)
            union = job.nets[0].mode is not None and not by_hand
            parts["controlnet"] = self._controlnet(job, by_hand)
        pipeline = getattr(diffusers, _pipeline_name(job, union))(**parts)
        pipeline.set_progress_bar_config(disable=True)
        if isinstance(parts.get("controlnet"), ByHand):
            pipeline.controlnet.pipeline = pipeline
        return pipeline

    def _controlnet(self, job: Job, by_hand: bool) -> Any:
        nets = [self.net(net.folder) for net in job.nets]
        if by_hand:
            return ByHand(nets, job.nets, self.dtype)
        if job.nets[0].mode is None:
            return nets[0] if len(nets) == 1 else diffusers.MultiControlNetModel(nets)
        one = len({net.folder for net in job.nets}) == 1
        return nets[0] if one else MultiControlNetUnionModel(nets)

    def arguments(self, job: Job, pictures: Sequence[tuple[str, int]], pipeline: Any) -> dict[str, Any]:
        """The call's arguments, as somebody writes them who uses the pipeline."""
        count = len(pictures)
        arguments: dict[str, Any] = {
            "prompt": [prompt for prompt, _ in pictures],
            "negative_prompt": [job.negative] * count if job.negative else None,
            "num_inference_steps": job.steps,
            "guidance_scale": job.guidance,
            **step_options(job.scheduler),
            "generator": [torch.Generator().manual_seed(seed) for _, seed in pictures],
            "width": job.size[0],
            "height": job.size[1],
        }
        if job.task != "text":
            image, mask = start_image(job.size), start_mask(job.size)
            arguments |= {"image": [Image.fromarray(image)] * count, "strength": job.strength}
            if job.task == "inpaint":
                arguments["mask_image"] = Image.fromarray(mask)
            elif not job.nets:  # as large as the image
                del arguments["width"], arguments["height"]
        if job.nets:
            arguments |= self._control_arguments(job, pipeline)
        return arguments

    def _control_arguments(self, job: Job, pipeline: Any) -> dict[str, Any]:
        union = "Union" in type(pipeline).__name__
        listed = union or isinstance(pipeline.controlnet, diffusers.MultiControlNetModel)
        images: Any = [Image.fromarray(control_image(index, job.size)) for index in range(len(job.nets))]
        scales: Any = [net.scale for net in job.nets]
        starts: Any = [net.start for net in job.nets]
        ends: Any = [net.end for net in job.nets]
        if not listed:
            images, scales, starts, ends = images[0], scales[0], starts[0], ends[0]
        name = "image" if job.task == "text" and not union else "control_image"
        arguments: dict[str, Any] = {
            name: images,
            "controlnet_conditioning_scale": scales,
            "control_guidance_start": starts,
            "control_guidance_end": ends,
            "guess_mode": all(net.guess for net in job.nets) and not isinstance(pipeline.controlnet, ByHand),
        }
        if union:
            arguments["control_mode"] = [net.mode for net in job.nets]
        return arguments


def is_stock(job: Job) -> bool:
    """Whether a stock pipeline does what the job asks for."""
    nets = job.nets
    unions = [net for net in nets if net.mode is not None]
    if any(net.curve for net in nets) or len({net.guess for net in nets}) > 1:
        return False
    if len(nets) > 1 and any(net.folder.endswith("pool") for net in nets):
        return False  # decided for all nets by the first
    if not unions:
        return True
    several_in_one = len({net.folder for net in nets}) == 1 and len(nets) > 1
    if job.checkpoint.endswith("inpaint"):
        return False  # diffusers' pipeline takes a UNet of 9 channels for none
    if len(unions) < len(nets) or (several_in_one and any(net.window != (0, 1) for net in nets)):
        return False
    if not several_in_one and len({net.folder for net in nets}) < len(nets):
        return False
    # diffusers gives a union in guess mode two rows of modes for one of latents, which it can't add
    return not (any(net.guess for net in nets) and job.guided)


def _pipeline_name(job: Job, union: bool) -> str:
    prefix = "StableDiffusionXL" if job.xl else "StableDiffusion"
    if not job.nets:
        return prefix + {"text": "", "image": "Img2Img", "inpaint": "Inpaint"}[job.task] + "Pipeline"
    middle = "ControlNetUnion" if union else "ControlNet"
    return prefix + middle + {"text": "", "image": "Img2Img", "inpaint": "Inpaint"}[job.task] + "Pipeline"


class ByHand(diffusers.MultiControlNetModel):
    """Stock nets called one by one with weights of their own for each step."""

    def __init__(self, nets: Sequence[Any], controls: Sequence[Net], dtype: torch.dtype) -> None:
        torch.nn.Module.__init__(self)
        self.nets = [SimpleNamespace(config=SimpleNamespace(global_pool_conditions=False)) for _ in nets]
        self.stock = list(nets)
        self.controls = tuple(controls)
        self.pipeline: Any = None  # whose steps these are
        self.calls = 0
        self._dtype = dtype

    @property
    def dtype(self) -> torch.dtype:
        return self._dtype

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def forward(
        self,
        sample: torch.Tensor,
        timestep: Any,
        encoder_hidden_states: torch.Tensor,
        controlnet_cond: Sequence[torch.Tensor],
        conditioning_scale: Sequence[float],
        added_cond_kwargs: dict[str, torch.Tensor] | None = None,
        **_: Any,
    ) -> Any:
        """The sum of the nets' residuals; of a net in guess mode, and of one that pools, for the second half alone."""
        index, self.calls = self.calls, self.calls + 1
        weights = [
            scale * curve_factor(net.curve, index, self.pipeline.num_timesteps)
            for scale, net in zip(conditioning_scale, self.controls, strict=True)
        ]
        rows = sample.shape[0]
        guided = self.pipeline.do_classifier_free_guidance
        found: list[Any] = []
        done: set[int] = set()
        for number, (net, control) in enumerate(zip(self.stock, self.controls, strict=True)):
            if number in done or weights[number] == 0:
                continue
            members = [number]
            if control.mode is not None:  # a union takes all of its images at once
                members = [
                    other for other, member in enumerate(self.stock)
                    if member is net and weights[other] != 0 and self.controls[other].guess == control.guess
                ]  # fmt: skip
            done.update(members)
            half = guided and (control.guess or net.config.global_pool_conditions)
            first = rows // 2 if half else 0
            arguments: dict[str, Any] = {
                "encoder_hidden_states": encoder_hidden_states[first:],
                "added_cond_kwargs": None if added_cond_kwargs is None
                else {key: value[first:] for key, value in added_cond_kwargs.items()},
                "guess_mode": control.guess,
                "return_dict": False,
            }  # fmt: skip
            if control.mode is None:
                arguments |= {
                    "controlnet_cond": controlnet_cond[number][first:],
                    "conditioning_scale": weights[number],
                }
            else:
                modes = [self.controls[member].mode for member in members]
                types = sample.new_zeros(rows - first, net.config.num_control_type)
                types[:, modes] = 1
                arguments |= {
                    "controlnet_cond": [controlnet_cond[member][first:] for member in members],
                    "conditioning_scale": [weights[member] for member in members],
                    "control_type": types,
                    "control_type_idx": modes,
                }
            down, mid = net(sample[first:], timestep, **arguments)
            residuals = [*down, mid]
            if half:
                residuals = [torch.cat([torch.zeros_like(residual), residual]) for residual in residuals]
            found.append(residuals)
        if not found:
            return None, None
        total = found[0]
        for more in found[1:]:
            total = [one + other for one, other in zip(total, more, strict=True)]
        return total[:-1], total[-1]


def curve_factor(curve: Sequence[tuple[float, float]], index: int, total: int) -> float:
    """The curve at an evaluation: straight between its points, level beyond them."""
    if not curve:
        return 1.0
    places, factors = zip(*curve, strict=True)
    return float(np.interp(index / (total - 1) if total > 1 else 0.0, places, factors))


# ------------------------------------------------------------------------------------------------ what is shown


def control_image(index: int, size: tuple[int, int]) -> np.ndarray:
    """(height, width, 3) uint8: shapes that differ from one control to the next."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    image = np.stack([x * 255 // width, y * 255 // height, (x * (index + 2) + y * 3) % 256], axis=-1)
    image[(x - width * (index + 1) / 4) ** 2 + (y - height / 2) ** 2 < (height / 5) ** 2] = (255, 40 * index, 20)
    return image.astype(np.uint8)


def start_image(size: tuple[int, int]) -> np.ndarray:
    """(height, width, 3) uint8: what image to image and inpainting begin with."""
    return np.ascontiguousarray(255 - control_image(3, size)[:, ::-1])


def start_mask(size: tuple[int, int]) -> np.ndarray:
    """(height, width) uint8: 255 is painted anew. Its edges lie within latent pixels."""
    width, height = size
    mask = np.zeros((height, width), np.uint8)
    mask[height // 5 : height * 4 // 5, width // 3 : width - 5] = 255
    return mask


def scheduler_for(job: Job, models: Path) -> Any:
    """The stock scheduler of a job, with the checkpoint's own config."""
    config = json.loads((models / job.checkpoint / "scheduler" / "scheduler_config.json").read_text())
    return make_scheduler(job.scheduler, config, job.sigmas)
