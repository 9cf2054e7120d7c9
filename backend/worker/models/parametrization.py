"""What a single file's UNet was trained to predict, and on which noise: no shape tells it.

In this order: the empty tensors "v_pred" and "ztsnr" that trainers put into files for other programs to see; the
metadata (https://github.com/Stability-AI/ModelSpec, and those of kohya's trainer); the settings that A1111 wants beside
SD 2's files; and of SD 2 the spread of one bias, which is twice as large in the models that predict v (a finding of
ComfyUI's, with the same limit). Everything else predicts the noise.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from ....protocol.errors import ModelBroken
from ....protocol.models import FamilyId
from ...library.headers import Header, metadata
from .shapes import shipped_config

_V_WORDS = ("v", "v_prediction", "v-prediction", "vpred")
_TELLING_BIAS = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"
_TELLING_SPREAD = 0.09
_V = "v_prediction"


def scheduler_config(file: Path, header: Header, family: FamilyId, name: str) -> dict[str, Any]:
    """The family's scheduler config, with what this file says otherwise. Raises ModelBroken for EDM's models."""
    if any(key.startswith("edm_") for key in header):
        raise ModelBroken(
            model=name,
            reason=f"{file.name} was trained with EDM's noise levels, unknown here; choose a plain checkpoint",
        )
    config = shipped_config(family, "scheduler/scheduler_config.json")
    if _predicts_v(file, header, family):
        config["prediction_type"] = _V
    if _ends_in_noise(header):
        # as https://arxiv.org/abs/2305.08891 has it; trailing, so that the first step is the one from pure noise
        config |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
        if config["_class_name"] == "PNDMScheduler":  # which doesn't know of it
            config = {key: value for key, value in config.items() if key != "skip_prk_steps"}
            config["_class_name"] = "DDIMScheduler"
    return config


def _predicts_v(file: Path, header: Header, family: FamilyId) -> bool:
    if "v_pred" in header:
        return True
    told = metadata(header)
    words = told.get("modelspec.prediction_type", "").lower()
    if words:
        return words in _V_WORDS
    if "ss_v_parameterization" in told:
        return told["ss_v_parameterization"].lower() == "true"
    if told.get("modelspec.architecture", "").endswith("-v"):
        return True
    settings = file.with_suffix(".yaml")
    if settings.is_file():
        text = settings.read_text(encoding="utf-8", errors="replace")[:65536]
        return re.search(r"parameterization:\s*[\"']?v[\"']?\s*$", text, re.MULTILINE) is not None
    if family is not FamilyId.SD2:
        return False
    spread = _spread(file, header, _TELLING_BIAS)
    return spread is not None and spread > _TELLING_SPREAD


def _ends_in_noise(header: Header) -> bool:
    """Whether the last of the noise levels that it was trained on is noise alone (zero-terminal SNR)."""
    told = metadata(header)
    return "ztsnr" in header or told.get("ss_zero_terminal_snr", "").lower() == "true"


def _spread(file: Path, header: Header, key: str) -> float | None:
    """A tensor's standard deviation; None where it isn't there, or is of a type that numpy hasn't."""
    entry = header.get(key)
    if entry is None or entry["dtype"] not in ("F32", "F16", "BF16"):
        return None
    begin, end = entry["data_offsets"]
    with file.open("rb") as stream:
        start = 8 + int.from_bytes(stream.read(8), "little")
        stream.seek(start + begin)
        content = stream.read(end - begin)
    if entry["dtype"] == "BF16":
        values = (np.frombuffer(content, "<u2").astype("<u4") << 16).view("<f4")
    else:
        values = np.frombuffer(content, "<f4" if entry["dtype"] == "F32" else "<f2")
    return float(np.std(values.astype(np.float64)))
