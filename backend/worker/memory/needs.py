"""What a picture takes: weights, working set and arithmetic, from shapes alone. No torch here.

The working sets were measured as the most bytes of live tensors during a forward pass of the full-size models on
torch's meta device (`bench/memory.py --working-sets` repeats it), attention's own left out, which no kernel
in use writes out. They grow exactly with the area and the rows of the batch. Per latent pixel and row:

    UNet of SD 1.5    8,321 values = 26.0 x 320 (the first level's feed-forward, with the skips that are held)
    UNet of SDXL      5,042 values             (the same at its second level, 640 wide, a quarter of the pixels)
    with ControlNets  +660, +200               (residuals are being added to the skips)
    a ControlNet      7,681 and 4,883
    the skips         1,640, both families     (held once more for the sum of the nets' residuals)

`21 x widest + skips` gives 8,360 and 5,000. Decoding with the VAE takes 768 values a pixel, three times the width
of its next to last level, and encoding 640.
"""

import re
from dataclasses import dataclass

from ....protocol.geometry import Extent
from .plan import Group

LATENT_PX = 8  # a latent's side in pixels
TEXT_TOKENS = 77

_WORD = re.compile(r"\w+|[^\w\s]")
_LETTERS = 6  # of a token, hardly ever fewer where a word has several
_CHUNK = 75 - 20  # tokens; as many may move to the next chunk for a comma's sake


def text_chunks(prompt: str) -> int:
    """How many chunks CLIP reads a prompt in, guessed from above without a tokenizer; 1 at least."""
    tokens = sum(1 + (len(word) - 1) // _LETTERS for word in _WORD.findall(prompt))
    if tokens < TEXT_TOKENS - 2 and "BREAK" not in prompt:
        return 1
    return prompt.count("BREAK") + max(1, -(-tokens // _CHUNK))


@dataclass(frozen=True, kw_only=True)
class Part:
    """A component's weights."""

    name: str  # "unet", "vae", "text_encoder", or a ControlNet's
    group: Group
    is_net: bool = False
    values: int
    largest_leaf: int  # values of the largest layer
    text_keys: int = 0  # width of all its cross-attention keys, which are kept from step to step
    macs: float = 0.0  # multiplications for each latent pixel of a row
    pair_macs: float = 0.0  # for each pair of latent pixels: self-attention


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a job asks of the memory."""

    title: str  # "SDXL + 2 ControlNets"
    parts: tuple[Part, ...]
    size: Extent  # of a picture
    at_once: Extent | None = None  # what of it is painted at once, in tiles; None is the whole
    image_tokens: int = 0  # of image prompts; the UNet's keys and values of them are kept, too
    pictures: int  # of the job
    batch: int  # pictures at once
    guided: bool  # with classifier-free guidance, which doubles the rows
    evaluations: int  # of the model for each picture
    controls: int  # each keeps its condition embedding
    text_chunks: int = 1  # of the longest prompt, each of TEXT_TOKENS
    width_peak: float  # the widest level with attention: channels x its share of the latent's pixels
    skip_values: float  # of all the UNet's skips, for each latent pixel
    vae_channels: tuple[int, ...]
    float32_vae: bool  # overflows in float16
    fixed_values: float = 0.0  # of the denoiser's working set for a row, whatever the picture's size: a text's tokens
    unfit_formats: tuple[str, ...] = ()  # number formats in which the models overflow
    formats_for: str = ""  # whose models, for a person

    @property
    def latent_px(self) -> int:
        """Latent pixels that are painted at once: of a picture, or of a tile."""
        size = self.at_once or self.size
        return (size.width // LATENT_PX) * (size.height // LATENT_PX)

    @property
    def rows(self) -> int:
        """Of the model's batch."""
        return self.batch * (2 if self.guided else 1)

    @property
    def nets(self) -> int:
        """ControlNets, each counted once."""
        return sum(part.is_net for part in self.parts)

    def group(self, group: Group) -> tuple[Part, ...]:
        """The parts of a group."""
        return tuple(part for part in self.parts if part.group is group)

    def weights(self, group: Group | None = None) -> int:
        """Values of a group's weights; of all without one."""
        return sum(part.values for part in self.parts if group in (None, part.group))

    def denoiser_values(self) -> float:
        """The denoiser's working set, and what it keeps between steps."""
        residuals = self.skip_values if self.nets else 0.0
        row = self.latent_px * (21 * self.width_peak + self.skip_values + residuals)
        # Keys and values of the text, and condition embeddings as wide as the UNet's first level.
        kept = 2 * self.text_chunks * TEXT_TOKENS * sum(part.text_keys for part in self.parts)
        kept += 2 * self.image_tokens * sum(part.text_keys for part in self.parts if not part.is_net)
        embeddings = self.controls * self.latent_px * self.width_peak * self.batch
        return self.rows * (row + kept + self.fixed_values) + embeddings

    def text_values(self) -> float:
        """The text encoders' working set; a guess from above, it is small."""
        return 2 * TEXT_TOKENS * 40_000

    def vae_values(self, tile_px: int | None) -> float:
        """The VAE's working set for one picture, decoding or encoding; in tiles, or at once."""
        widest = max(6 * self.vae_channels[0], 3 * self.vae_channels[min(1, len(self.vae_channels) - 1)])
        pixels = self.size.width * self.size.height
        if tile_px is None:
            return widest * pixels
        return widest * min(pixels, tile_px * tile_px) + 12 * pixels  # and the tiles, their blend, the picture

    def flops(self) -> float:
        """Of one evaluation with every ControlNet."""
        return sum(self.part_flops(part) for part in self.group(Group.DENOISER))

    def part_flops(self, part: Part) -> float:
        """Of one evaluation by one part."""
        return 2 * self.rows * (part.macs * self.latent_px + part.pair_macs * self.latent_px**2)
