"""Noise schedulers by their protocol names."""

from typing import Any

from ....protocol.request import Scheduler
from ..third_party import diffusers

TITLES: dict[Scheduler, str] = {
    Scheduler.UNIPC: "UniPC",
    Scheduler.DPMPP_2M: "DPM++ 2M",
    Scheduler.EULER: "Euler",
    Scheduler.EULER_ANCESTRAL: "Euler a",
    Scheduler.DDIM: "DDIM",
    Scheduler.HEUN: "Heun",
    Scheduler.PNDM: "PNDM",
    Scheduler.LMS: "LMS",
}


def make_scheduler(scheduler: Scheduler, checkpoint_config: dict[str, Any]) -> Any:
    """A fresh scheduler with the checkpoint's own noise schedule."""
    config = {key: value for key, value in checkpoint_config.items() if key != "_class_name"}
    return getattr(diffusers(), scheduler.value).from_config(config)
