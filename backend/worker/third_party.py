"""torch, diffusers and transformers, imported when first asked for.

Two reasons for the detour: importing this package must stay light, and these libraries are typed partly or
not at all. What comes out of here is `Any`, on purpose and in one place; everything else is checked strictly.
"""

import importlib
import os
from typing import Any


def torch() -> Any:
    """The torch module; about 3 s at the first call."""
    return importlib.import_module("torch")


def diffusers() -> Any:
    """The diffusers module; about 5 s at the first call, for it imports torch's compiler."""
    return importlib.import_module("diffusers")


def transformers() -> Any:
    """The transformers module."""
    return importlib.import_module("transformers")


def hub_is_offline() -> bool:
    """Whether the environment keeps huggingface_hub from the network, by its own rule."""
    said = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return said.upper() in ("1", "ON", "YES", "TRUE")
