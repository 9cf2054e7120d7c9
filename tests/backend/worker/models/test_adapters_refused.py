"""What of LoRAs is refused, by headers alone where these tell, and as they load where only values do."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from lora_files import fused, lora, stock, text_layers, unet_layers, write_kohya
from safetensors.torch import save_file
from underpaint.backend.worker.models import adapters
from underpaint.backend.worker.models.inspection import CheckpointInfo, inspect_checkpoint
from underpaint.backend.worker.models.loading import checkpoint_sources
from underpaint.protocol.errors import AdapterMismatch, ModelBroken, ModelMissing, ModelPickled


@pytest.fixture(scope="module")
def sd15(models: Path) -> CheckpointInfo:
    return inspect_checkpoint(next((models / "embedded").iterdir()), "")


def refused(info: CheckpointInfo, file: Path | str, error: type[Exception], models: Path, *words: str) -> None:
    with pytest.raises(error) as caught:
        adapters.choose([(str(file), 1.0, None)], info, models=models)
    for word in words:
        assert word in str(caught.value)


def header_only(file: Path, tensors: Mapping[str, tuple[int, ...]]) -> Path:
    """A file of zeros."""
    save_file({key: torch.zeros(shape, dtype=torch.float16) for key, shape in tensors.items()}, file)
    return file


def pair(stem: str, inside: int, out: int) -> dict[str, tuple[int, ...]]:
    return {f"{stem}.lora_down.weight": (2, inside), f"{stem}.lora_up.weight": (out, 2)}


OTHERS = {
    "Stable Diffusion XL": pair("lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k", 2048, 640),
    "Flux.1": pair("lora_unet_double_blocks_0_img_attn_qkv", 3072, 9216),
    "Stable Diffusion 2": pair("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k", 1024, 320),
}


@pytest.mark.parametrize("title", OTHERS)
def test_a_lora_for_another_family_is_refused_by_its_header(title: str, sd15: CheckpointInfo, tmp_path: Path) -> None:
    file = header_only(tmp_path / "other.safetensors", OTHERS[title])
    refused(sd15, file, AdapterMismatch, tmp_path, title, "Stable Diffusion 1.5", "other.safetensors")


def test_an_sdxl_lora_whose_text_encoder_would_fit_is_refused_too(sd15: CheckpointInfo, tmp_path: Path) -> None:
    """Its first text encoder is SD 1.5's own."""
    extra = {key: torch.zeros(shape) for key, shape in OTHERS["Stable Diffusion XL"].items()}
    encoder = stock(sd15).text_encoder
    file = write_kohya(tmp_path / "a.safetensors", {"lora_te1_": text_layers(encoder)}, extra=extra)
    refused(sd15, file, AdapterMismatch, tmp_path, "Stable Diffusion XL")


def test_a_lora_of_which_text_encoders_alone_would_count_is_refused(sd15: CheckpointInfo, tmp_path: Path) -> None:
    """Its text encoder is SD 1.5's, its denoiser no one's that is known."""
    extra = {f"lora_unet_some_other_net.lora_{half}.weight": torch.zeros(2, 2) for half in ("down", "up")}
    file = write_kohya(tmp_path / "a.safetensors", {"lora_te_": text_layers(stock(sd15).text_encoder)}, extra=extra)
    refused(sd15, file, ModelBroken, tmp_path, "none of its layers is known")


def test_layers_that_fit_nothing_are_counted(sd15: CheckpointInfo, tmp_path: Path) -> None:
    parts = unet_layers(stock(sd15).unet)
    extra = {key: torch.zeros(shape) for key, shape in pair("lora_unet_no_such_layer_1", 4, 4).items()}
    extra["lora_unet_mid_block_half.lora_up.bias"] = torch.zeros(3)
    file = write_kohya(tmp_path / "a.safetensors", {"lora_unet_": parts}, extra=extra)
    (choice,) = adapters.choose([(str(file), 1.0, None)], sd15, models=tmp_path)
    assert choice.left_out == 2
    assert f"2 of the {len(parts) + 2} layers" in choice.note
    none = header_only(tmp_path / "none.safetensors", pair("lora_unet_no_such_layer", 4, 4))
    refused(sd15, none, ModelBroken, tmp_path, "none of its layers is known")


def test_sizes_that_do_not_fit_are_told(sd15: CheckpointInfo, tmp_path: Path) -> None:
    name = next(iter(unet_layers(stock(sd15).unet)))
    file = header_only(tmp_path / "a.safetensors", pair(f"lora_unet_{name.replace('.', '_')}", 17, 19))
    refused(sd15, file, ModelBroken, tmp_path, name, "another size")
    ranks = pair(f"lora_unet_{name.replace('.', '_')}", 32, 32)
    ranks[next(iter(ranks))] = (3, 32)
    refused(sd15, header_only(tmp_path / "b.safetensors", ranks), ModelBroken, tmp_path, "two ranks")
    half = dict(list(pair(f"lora_unet_{name.replace('.', '_')}", 32, 32).items())[:1])
    refused(sd15, header_only(tmp_path / "c.safetensors", half), ModelBroken, tmp_path, "isn't whole")


@pytest.mark.parametrize(
    ("key", "word"),
    [
        ("lora_unet_x.oft_blocks", "OFT"),
        ("lora_unet_x.on_input", "(IA)^3"),
        ("lora_unet_x.diff", "full"),
        ("lora_unet_x.a1.weight", "GLoRA"),
        ("model.diffusion_model.input_blocks.0.0.weight", "no LoRA"),
    ],
)
def test_other_layouts_are_named(key: str, word: str, sd15: CheckpointInfo, tmp_path: Path) -> None:
    refused(sd15, header_only(tmp_path / "a.safetensors", {key: (2, 2)}), ModelBroken, tmp_path, word)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_refused_as_they_load(
    value: float, sd15: CheckpointInfo, tmp_path: Path
) -> None:
    parts = unet_layers(stock(sd15).unet)
    next(iter(parts.values())).up[0, 0] = value
    file = write_kohya(tmp_path / "a.safetensors", {"lora_unet_": parts})
    with pytest.raises(ModelBroken, match="no numbers"):
        fused(sd15, (file, 1.0, None))


def test_broken_and_missing_files_are_told(sd15: CheckpointInfo, tmp_path: Path) -> None:
    file = lora(sd15, tmp_path / "loras" / "Watercolour.safetensors", "kohya")
    refused(sd15, "watercolor", ModelMissing, tmp_path, "did you mean Watercolour")
    refused(sd15, "something else entirely", ModelMissing, tmp_path, "no LoRA of that name")
    (choice,) = adapters.choose([("Watercolour", 1.0, None)], sd15, models=tmp_path)
    assert choice.file == file.resolve()
    file.write_bytes(file.read_bytes()[:-10])
    refused(sd15, "Watercolour", ModelBroken, tmp_path, "cut off")
    (tmp_path / "loras" / "old.ckpt").write_bytes(b"\x80\x02")
    refused(sd15, "old", ModelPickled, tmp_path, "underpaint convert")


def test_a_file_that_goes_away_or_changes_before_it_loads_is_a_sentence(sd15: CheckpointInfo, tmp_path: Path) -> None:
    file = lora(sd15, tmp_path / "a.safetensors", "kohya")
    choices = adapters.choose([(str(file), 1.0, None)], sd15, models=tmp_path)
    source = adapters.with_loras(checkpoint_sources(sd15), choices)["unet"]
    lora(sd15, file, "kohya", seed=5)
    with pytest.raises(ModelBroken, match=r"a\.safetensors was changed while it was loaded; try again"):
        source.load(torch.float32)
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(ModelBroken, match=r"a\.safetensors"):
        source.load(torch.float32)
    file.unlink()
    with pytest.raises(ModelBroken, match=r"a\.safetensors"):
        source.load(torch.float32)
