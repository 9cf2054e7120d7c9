"""Folders of models as users have them: ComfyUI's, A1111's, and the Hugging Face cache, with small files."""

import json
from pathlib import Path
from typing import Any

import pytest
from full_size_headers import write

LORA = {"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight": (4, 768)}
VAE = {"decoder.conv_in.weight": (8, 4, 3, 3), "encoder.conv_in.weight": (8, 3, 3, 3)}
NET = {
    "controlnet_cond_embedding.conv_in.weight": (16, 3, 3, 3),
    "controlnet_down_blocks.0.weight": (32, 32, 1, 1),
    "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight": (32, 768),
}
CHECKPOINT = {
    "model.diffusion_model.input_blocks.0.0.weight": (32, 4, 3, 3),
    "model.diffusion_model.time_embed.0.weight": (32, 32),
    "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (32, 768),
    "first_stage_model.decoder.conv_in.weight": (8, 4, 3, 3),
    "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": (9, 768),
}
EMBEDDING = {"emb_params": (2, 768)}
UNET = {"conv_in.weight": (32, 4, 3, 3), "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight": (32, 768)}


@pytest.fixture(autouse=True)
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Hugging Face cache of the test's own, which isn't there yet."""
    for name in ("HF_HOME", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Our own folder."""
    folder = tmp_path / "home" / "models"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def comfyui(tmp_path: Path) -> Path:
    """A ComfyUI that is in use."""
    models = tmp_path / "ComfyUI" / "models"
    for place, name, shapes in (
        ("checkpoints", "photo/real v2.safetensors", CHECKPOINT),
        ("checkpoints", "dream.safetensors", CHECKPOINT),
        ("loras", "style/ink.v1.safetensors", LORA),
        ("controlnet", "control_v11p_sd15_canny.safetensors", NET),
        ("vae", "mse.safetensors", VAE),
        ("embeddings", "bad hands.safetensors", EMBEDDING),
    ):
        write(models / place / name, shapes)
    (models / "checkpoints" / "old.ckpt").write_bytes(b"PK\x03\x04")
    (models / "checkpoints" / "put_checkpoints_here").touch()
    (models / "upscale_models").mkdir()
    return tmp_path / "ComfyUI"


@pytest.fixture
def a1111(tmp_path: Path) -> Path:
    """An A1111 that is in use."""
    root = tmp_path / "stable-diffusion-webui"
    write(root / "models" / "Stable-diffusion" / "anything.safetensors", CHECKPOINT)
    write(root / "models" / "Lora" / "people" / "alice.safetensors", LORA)
    write(root / "models" / "LyCORIS" / "bob.safetensors", LORA)
    write(root / "models" / "VAE" / "anime.vae.safetensors", VAE)
    write(root / "extensions" / "sd-webui-controlnet" / "models" / "depth net.safetensors", NET)
    write(root / "embeddings" / "easy.safetensors", EMBEDDING)
    (root / "embeddings" / "hard.pt").write_bytes(b"PK\x03\x04")
    (root / "models" / "Lora" / "people" / "alice.preview.png").write_bytes(b"\x89PNG\r\n\x1a\nalice")
    (root / "models" / "Lora" / "people" / "alice.json").write_text(json.dumps({"activation text": "alice, red hat"}))
    write(root / "venv" / "lib" / "torch" / "not_a_model.safetensors", LORA)
    return root


def pipeline(folder: Path, *, class_name: str = "StableDiffusionPipeline", **unet: Any) -> Path:
    """A checkpoint in diffusers' layout."""
    config = {"_class_name": "UNet2DConditionModel", "in_channels": 4, "cross_attention_dim": 768, **unet}
    write(folder / "unet" / "diffusion_pytorch_model.safetensors", UNET)
    write(folder / "vae" / "diffusion_pytorch_model.safetensors", VAE)
    write(folder / "text_encoder" / "model.safetensors", {"embeddings.token_embedding.weight": (9, 768)})
    (folder / "unet" / "config.json").write_text(json.dumps(config))
    (folder / "model_index.json").write_text(
        json.dumps({"_class_name": class_name, "unet": ["diffusers", "x"], "safety_checker": [None, None]})
    )
    return folder


def component(folder: Path, shapes: dict[str, tuple[int, ...]], **config: Any) -> Path:
    """A part alone in diffusers' layout."""
    write(folder / "diffusion_pytorch_model.safetensors", shapes)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def cached(hub: Path, hub_id: str, files: dict[str, bytes | Path], *, revision: str = "main") -> Path:
    """A repository as huggingface_hub lays its cache out: blobs, links to them, and the name of the revision."""
    from huggingface_hub.file_download import repo_folder_name

    repository = hub / repo_folder_name(repo_id=hub_id, repo_type="model")
    commit = f"{abs(hash((hub_id, revision))):040x}"[:40]
    snapshot = repository / "snapshots" / commit
    (repository / "blobs").mkdir(parents=True, exist_ok=True)
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / revision).write_text(commit)
    for number, (name, content) in enumerate(files.items()):
        blob = repository / "blobs" / f"{number:064x}"
        blob.write_bytes(content.read_bytes() if isinstance(content, Path) else content)
        link = snapshot / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path("../" * (len(link.relative_to(repository).parts) - 1)) / "blobs" / blob.name)
    return snapshot


def files_of(folder: Path) -> dict[str, bytes | Path]:
    """What a folder holds, for `cached`."""
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
