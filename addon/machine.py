"""What the add-on's preferences say of this computer: the memory that painting may take, and the number format.

They belong to the computer and not to a scene, so that a file paints on another one, too.
"""

from typing import Any

import bpy

from ..protocol.request import Precision


def preferences() -> Any:
    """The add-on's preferences; None where it is not enabled as an add-on, as in scripts."""
    addon = bpy.context.preferences.addons.get(__package__.rpartition(".")[0])
    return None if addon is None else addon.preferences


def precision() -> Precision:
    """The number format that the user wants; the backend's own choice where nothing is said."""
    chosen = preferences()
    return Precision.AUTO if chosen is None else Precision[chosen.precision]


def memory_budget_gb() -> float | None:
    """How much of the device's memory painting may take; None for what is free."""
    chosen = preferences()
    return None if chosen is None or not chosen.memory_budget_gb else round(chosen.memory_budget_gb, 3)


def torch_index() -> str:
    """Where the user says that PyTorch's own builds are; "" takes the ordinary ones."""
    chosen = preferences()
    return "" if chosen is None else chosen.torch_index.strip()
