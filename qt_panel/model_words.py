"""Models in words. Knows no Qt."""

from ..protocol.models import FamilyId, ModelEntry, ModelKind

FAMILIES: dict[FamilyId, str] = {
    FamilyId.SD15: "SD 1.5",
    FamilyId.SD2: "SD 2",
    FamilyId.SDXL: "SDXL",
    FamilyId.SD3: "SD 3",
    FamilyId.FLUX: "Flux.1",
    FamilyId.QWEN_IMAGE: "Qwen-Image",
    FamilyId.Z_IMAGE: "Z-Image",
}

KINDS: dict[ModelKind, str] = {
    ModelKind.CHECKPOINT: "Checkpoint",
    ModelKind.CONTROLNET: "ControlNet",
    ModelKind.VAE: "VAE",
    ModelKind.LORA: "LoRA",
    ModelKind.EMBEDDING: "Embedding",
    ModelKind.IP_ADAPTER: "IP-Adapter",
    ModelKind.IMAGE_ENCODER: "Image encoder",
    ModelKind.TINY_DECODER: "Preview decoder",
    ModelKind.SAFETY_CHECKER: "Safety checker",
    ModelKind.UNKNOWN: "Unknown",
}

_PRECISIONS = {
    "float32": "fp32",
    "float16": "fp16",
    "bfloat16": "bf16",
    "float8_e4m3fn": "fp8",
    "float8_e5m2": "fp8",
}


def size(count: int) -> str:
    """Bytes as people read them; "" for none."""
    if count <= 0:
        return ""
    if count >= 1e9:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.0f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def details(entry: ModelEntry) -> str:
    """What tells a model from others, in a line."""
    family = "" if entry.family is None else FAMILIES[entry.family]
    precision = _PRECISIONS.get(entry.precision, entry.precision)
    return ", ".join(part for part in (family, *entry.traits, precision, size(entry.size_bytes)) if part)


def tooltip(entry: ModelEntry) -> str:
    """All that is known of a model; of a broken one, why it is."""
    lines = [entry.title or entry.reference, entry.reference, details(entry)]
    if entry.words:
        lines.append(f"Called up by: {', '.join(entry.words)}")
    if entry.licence:
        lines.append(f"Licence: {entry.licence}")
    if entry.problem:
        lines.append(entry.problem)
    return "\n".join(dict.fromkeys(line for line in lines if line))
