"""CLIP image encoders as ComfyUI keeps them: one file, whose shapes say what it is."""

from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny_adapters import tiny_clip
from underpaint.backend.worker.models.image_encoder import encoder_source, inspect_encoder
from underpaint.protocol.errors import ModelBroken


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As wide as ViT-H, for that tells its heads and its activation, and as small as can be otherwise."""
    where = tmp_path_factory.mktemp("clip")
    config = transformers.CLIPVisionConfig(
        hidden_size=1280,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=16,
        image_size=28,
        patch_size=14,
        projection_dim=24,
        hidden_act="gelu",
    )
    transformers.CLIPVisionModelWithProjection(config).half().save_pretrained(where / "image_encoder")
    tensors = load_file(where / "image_encoder" / "model.safetensors")
    positions = torch.arange(5).expand(1, -1).contiguous()  # older files hold it
    save_file({**tensors, "vision_model.embeddings.position_ids": positions}, where / "CLIP-ViT-H-14.safetensors")
    return where


def test_a_single_file_sees_what_its_folder_sees(folder: Path) -> None:
    pixels = torch.randn(1, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    infos = [inspect_encoder(folder / name, name) for name in ("image_encoder", "CLIP-ViT-H-14.safetensors")]
    assert {(info.embedding_width, info.token_width) for info in infos} == {(24, 1280)}
    one, other = (encoder_source(info).load(torch.float32) for info in infos)
    assert one.config.to_dict()["num_hidden_layers"] == other.config.to_dict()["num_hidden_layers"] == 2
    with torch.inference_mode():
        seen, again = (module(pixels, output_hidden_states=True) for module in (one, other))
    assert torch.equal(seen.image_embeds, again.image_embeds)
    assert torch.equal(seen.hidden_states[-2], again.hidden_states[-2])
    places = {encoder_source(info).place for info in infos}
    assert len(places) == 2


def test_an_empty_one_has_every_tensor_and_no_memory(folder: Path) -> None:
    source = encoder_source(inspect_encoder(folder / "CLIP-ViT-H-14.safetensors", "clip"))
    empty, whole = source.empty(torch.float16), source.load(torch.float16)
    assert all(tensor.is_meta for tensor in empty.parameters())
    assert {key: tensor.shape for key, tensor in empty.state_dict().items()} == {
        key: tensor.shape for key, tensor in whole.state_dict().items()
    }
    assert not any(tensor.is_meta for tensor in (*whole.parameters(), *whole.buffers()))


def test_a_file_of_an_unknown_width_is_sent_to_its_folder(tmp_path: Path) -> None:
    module = transformers.CLIPVisionModelWithProjection(tiny_clip())
    save_file(module.state_dict(), tmp_path / "small.safetensors")
    with pytest.raises(ModelBroken, match=r"32 wide.*config\.json"):
        inspect_encoder(tmp_path / "small.safetensors", "small")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelBroken, match="no CLIP image encoder"):
        inspect_encoder(tmp_path / "other.safetensors", "other")
