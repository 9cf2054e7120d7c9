"""The blocks that UNets and ControlNets are made of, followed from diffusers 0.42.1 (`unet_2d_blocks.py`,
`resnet.py`, `transformer_2d.py`, `attention.py`, `AttnProcessor2_0` in `attention_processor.py`).

Shapes: an image is (rows, channels, height, width), tokens are (rows, height * width, channels).
"""

from collections.abc import Callable, Sequence
from typing import Any

from ...third_party import torch
from .text import Pair, TextKeys, heads

ResnetTimes = Callable[[Any], Any]  # a resnet's share of the time embedding, (1 or rows, channels, 1, 1)


def down(block: Any, hidden: Any, times: ResnetTimes, text: TextKeys) -> tuple[Any, list[Any]]:
    """A block of the way down: its output, and what it hands across."""
    skips: list[Any] = []
    attentions = _attentions(block)
    for number, one in enumerate(block.resnets):
        hidden = resnet(one, hidden, times)
        if attentions:
            hidden = transformer(attentions[number], hidden, text)
        skips.append(hidden)
    for downsampler in block.downsamplers or ():
        hidden = downsampler(hidden)
        skips.append(hidden)
    return hidden, skips


def middle(block: Any, hidden: Any, times: ResnetTimes, text: TextKeys) -> Any:
    """The block between the ways down and up."""
    hidden = resnet(block.resnets[0], hidden, times)
    for attention, one in zip(block.attentions, block.resnets[1:], strict=True):
        hidden = resnet(one, transformer(attention, hidden, text), times)
    return hidden


def up(block: Any, hidden: Any, skips: list[Any], size: Any, times: ResnetTimes, text: TextKeys) -> Any:
    """A block of the way up. Takes what it needs from the end of `skips`.

    `size` (height, width) is what it must grow to; None doubles it.
    """
    attentions = _attentions(block)
    for number, one in enumerate(block.resnets):
        hidden = resnet(one, torch().cat([hidden, widened(skips.pop(), hidden.shape[0])], dim=1), times)
        if attentions:
            hidden = transformer(attentions[number], hidden, text)
    for upsampler in block.upsamplers or ():
        hidden = upsampler(hidden, size)
    return hidden


def resnet(block: Any, hidden: Any, times: ResnetTimes) -> Any:
    """A `ResnetBlock2D` whose share of the time embedding is already projected."""
    inner = block.conv1(block.nonlinearity(block.norm1(hidden)))
    inner = block.norm2(added(inner, times(block)))
    inner = block.conv2(block.nonlinearity(inner))
    if block.conv_shortcut is not None:
        hidden = block.conv_shortcut(hidden)
    output = added(hidden, inner)
    return output if block.output_scale_factor == 1 else output / block.output_scale_factor


def transformer(module: Any, hidden: Any, text: TextKeys) -> Any:
    """A `Transformer2DModel` over an image."""
    height, width = hidden.shape[-2:]
    normed = module.norm(hidden)
    tokens = module.proj_in(_tokens(normed)) if module.use_linear_projection else _tokens(module.proj_in(normed))
    for block in module.transformer_blocks:
        tokens = _transformer_block(block, tokens, text)
    if module.use_linear_projection:
        return added(_image(module.proj_out(tokens), height, width), hidden)
    return added(module.proj_out(_image(tokens, height, width)), hidden)


def added(one: Any, other: Any) -> Any:
    """Their sum. Where one has half the rows, they stand for both halves of the other."""
    rows = max(one.shape[0], other.shape[0])
    return _broadcast(one, rows) + _broadcast(other, rows)


def widened(tensor: Any, rows: int) -> Any:
    """A tensor with that many rows, of one that has them or half of them."""
    if tensor.shape[0] == rows:
        return tensor
    return torch().cat([tensor, tensor])


def _broadcast(tensor: Any, rows: int) -> Any:
    return tensor if tensor.shape[0] == 1 else widened(tensor, rows)


def _attentions(block: Any) -> Sequence[Any]:
    return getattr(block, "attentions", ())  # blocks without cross-attention have no such list


def _tokens(image: Any) -> Any:
    rows, channels, height, width = image.shape
    return image.permute(0, 2, 3, 1).reshape(rows, height * width, channels)


def _image(tokens: Any, height: int, width: int) -> Any:
    rows, _, channels = tokens.shape
    return tokens.reshape(rows, height, width, channels).permute(0, 3, 1, 2).contiguous()


def _transformer_block(block: Any, tokens: Any, text: TextKeys) -> Any:
    normed = block.norm1(tokens)
    attention = block.attn1
    own = Pair(
        key=_close(heads(attention, attention.to_k(normed))), value=_close(heads(attention, attention.to_v(normed)))
    )
    tokens = _attend(attention, normed, (own,)) + tokens
    tokens = added(_attend(block.attn2, block.norm2(tokens), text.pairs(block.attn2)), tokens)
    return block.ff(block.norm3(tokens)) + tokens


def _close(tensor: Any) -> Any:
    """A head's tokens one after another on a CPU: its attention then takes 4 to 8 % less time for the same numbers."""
    return tensor.contiguous() if tensor.is_cpu else tensor


def _attend(attention: Any, tokens: Any, pairs: Sequence[Pair]) -> Any:
    """Look up the tokens' queries in every pair of keys and values; the results add up.

    Here both halves of classifier-free guidance part: keys of text have a row for each.
    """
    attended: Any = None
    query = heads(attention, attention.to_q(tokens))
    query = widened(query, pairs[0].key.shape[0])
    for pair in pairs:
        found = torch().nn.functional.scaled_dot_product_attention(query, pair.key, pair.value)
        if pair.scale != 1:
            found = found * pair.scale
        attended = found if attended is None else attended + found
    attended = attended.transpose(1, 2).reshape(query.shape[0], tokens.shape[1], -1)
    output = attention.to_out[0](attended)
    return output if attention.rescale_output_factor == 1 else output / attention.rescale_output_factor
