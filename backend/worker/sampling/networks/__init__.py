"""UNets and ControlNets of diffusers, run by forwards of our own.

diffusers' modules hold the weights and the leaves (convolutions, linear layers, norms) are always called as
modules, so LoRA layers and offloading hooks work as they do in diffusers. What is our own is the order in
which they run, and what is kept from one evaluation to the next: `times` and `text`.

A tensor with one row for each picture stands for both halves of classifier-free guidance for as long as they
are the same, which they are until the text comes in. `parts` widens it where they part.
"""

from .controlnet import PlainNet
from .given import Given
from .images import ImageKeys, PromptKeys
from .known import check_known
from .residuals import Residuals, add_residuals
from .text import TextKeys
from .times import Times
from .unet import Unet
from .union import Shown, UnionNet

__all__ = [
    "Given",
    "ImageKeys",
    "PlainNet",
    "PromptKeys",
    "Residuals",
    "Shown",
    "TextKeys",
    "Times",
    "Unet",
    "UnionNet",
    "add_residuals",
    "check_known",
]
