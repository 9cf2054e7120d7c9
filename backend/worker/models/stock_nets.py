"""ControlNets of the families that diffusers' own pipelines paint, told from their config.json. No torch."""

from typing import Any

from ..families import FAMILIES, Family

_BY_CLASS = {family.stock.net_class: family for family in FAMILIES.values() if family.stock is not None}
# What shapes a net's tokens and the text it attends to. A net that has no such number doesn't depend on it.
_SHAPES = (
    "num_attention_heads",
    "attention_head_dim",
    "dim",
    "n_heads",
    "joint_attention_dim",
    "pooled_projection_dim",
)
_WIDTHS = ("num_attention_heads", "n_heads")


def family_of(config: dict[str, Any]) -> Family | None:
    """The family of such a ControlNet; None for any other, such as those of Stable Diffusion 1.5, 2 and XL."""
    return _BY_CLASS.get(str(config.get("_class_name")))


def modes(config: dict[str, Any]) -> int:
    """How many kinds of control a union net tells apart; 0 for a plain one, and for a union that wants no mode."""
    return int(config.get("num_mode") or 0)


def fills_holes(family: Family, config: dict[str, Any]) -> bool:
    """Whether the net takes a mask besides the control image."""
    stock = family.stock
    return stock is not None and bool(stock.fills_key) and int(config.get(stock.fills_key) or 0) > stock.fills_above


def agrees(net: dict[str, Any], transformer: dict[str, Any]) -> bool:
    """Whether what the net gives has the transformer's shape."""
    return all(net.get(key) is None or transformer.get(key) is None or net[key] == transformer[key] for key in _SHAPES)


def describe(family: Family, config: dict[str, Any]) -> str:
    """The family's name with what tells its sizes apart: SD 3.5 medium has 24 heads, large 38."""
    heads = next((config[key] for key in _WIDTHS if config.get(key)), None)
    text = config.get("joint_attention_dim")
    return f"{family.title} with {heads} attention heads" + (f" and {text} wide text" if text else "")
