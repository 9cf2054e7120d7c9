"""Model files as users have them, small: written with numpy alone."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_DTYPES = {"float16": "F16", "float32": "F32"}


def write_safetensors(file: Path, tensors: Mapping[str, NDArray[np.generic]], **metadata: str) -> Path:
    """A .safetensors file."""
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    data = b""
    for name, tensor in tensors.items():
        end = len(data) + tensor.nbytes
        header[name] = {
            "dtype": _DTYPES[tensor.dtype.name],
            "shape": list(tensor.shape),
            "data_offsets": [len(data), end],
        }
        data += tensor.tobytes()
    text = json.dumps(header).encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return file


def embedded_lora(file: Path, *, seed: int = 0) -> Path:
    """A LoRA in kohya's layout for the embedded checkpoint's first attention, strong enough to be seen."""
    random = np.random.default_rng(seed)
    tensors: dict[str, NDArray[np.generic]] = {}
    for layer, inputs in (("attn1_to_q", 32), ("attn1_to_v", 32), ("attn2_to_k", 64), ("attn2_to_v", 64)):
        stem = f"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_{layer}"
        tensors[f"{stem}.lora_down.weight"] = random.normal(0, 1, (4, inputs)).astype(np.float32)
        tensors[f"{stem}.lora_up.weight"] = random.normal(0, 1, (32, 4)).astype(np.float32)
        tensors[f"{stem}.alpha"] = np.array(4, np.float32)
    return write_safetensors(file, tensors)
