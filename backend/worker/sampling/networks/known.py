"""Which of the networks that diffusers' classes can be configured to be our forwards run."""

from collections.abc import Iterable
from typing import Any, cast

from .....protocol.errors import ModelBroken

_DOWN = ("DownBlock2D", "CrossAttnDownBlock2D")
_UP = ("UpBlock2D", "CrossAttnUpBlock2D")
_KNOWN: dict[str, tuple[object, ...]] = {  # a value that isn't there or None is always known
    "down_block_types": _DOWN,
    "up_block_types": _UP,
    "mid_block_type": ("UNetMidBlock2DCrossAttn",),
    "addition_embed_type": ("text_time",),
    "attention_type": ("default",),
    "center_input_sample": (False,),
    "class_embed_type": (),
    "cross_attention_norm": (),
    "dual_cross_attention": (False,),
    "encoder_hid_dim_type": (),
    "num_class_embeds": (),
    "only_cross_attention": (False,),
    "resnet_skip_time_act": (False,),
    "resnet_time_scale_shift": ("default",),
    "time_embedding_act_fn": (),
    "time_embedding_type": ("positional",),
}


def check_known(module: Any) -> None:
    """Raise ModelBroken for a UNet or ControlNet with parts that would be left out."""
    config = module.config
    for key, known in _KNOWN.items():
        for value in _each(config.get(key)):
            if value is not None and value not in known:
                name = config.get("_name_or_path") or type(module).__name__
                raise ModelBroken(model=name, reason=f"its config.json says {key}: {value}, which can't be run yet")


def _each(value: Any) -> Iterable[Any]:
    return cast("Iterable[Any]", value) if isinstance(value, list | tuple) else (value,)
