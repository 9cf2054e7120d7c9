"""A model folder is understood, or refused for the right reason, before any weight is loaded."""

import json
import shutil
from pathlib import Path

import pytest
from underpaint.backend.worker.families import FamilyId
from underpaint.backend.worker.models import embedded
from underpaint.backend.worker.models.inspection import check_match, inspect_checkpoint, inspect_controlnet
from underpaint.protocol.errors import ModelBroken, ModelMismatch, ModelMissing
from underpaint.protocol.request import ControlKind


@pytest.fixture
def copy(models: Path, tmp_path: Path) -> Path:
    """A copy of the embedded checkpoint, to be damaged."""
    return Path(shutil.copytree(embedded.checkpoint(models), tmp_path / "copy"))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_families(models: Path) -> None:
    assert inspect_checkpoint(embedded.checkpoint(models), "").family.id is FamilyId.SD15
    assert inspect_checkpoint(models / "sdxl", "sdxl").family.id is FamilyId.SDXL


def test_stable_diffusion_2_is_told_by_the_width_of_its_text(copy: Path) -> None:
    edit(copy / "unet" / "config.json", cross_attention_dim=1024)
    assert inspect_checkpoint(copy, "copy").family.id is FamilyId.SD2


def test_the_key_changes_with_the_files(copy: Path) -> None:
    before = inspect_checkpoint(copy, "copy")
    assert inspect_checkpoint(copy, "copy").key == before.key
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert inspect_checkpoint(copy, "copy").key != before.key


def test_half_precision_twins_are_found(copy: Path) -> None:
    plain = copy / "unet" / "diffusion_pytorch_model.safetensors"
    plain.rename(plain.with_name("diffusion_pytorch_model.fp16.safetensors"))
    assert inspect_checkpoint(copy, "copy").weights["unet"].variant == "fp16"


def test_a_truncated_file_is_named(copy: Path) -> None:
    weights = copy / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ModelBroken, match=r"vae/diffusion_pytorch_model\.safetensors has .* cut off"):
        inspect_checkpoint(copy, "copy")


@pytest.mark.parametrize("content", [b"", b"1234", b"\xff" * 64, (4).to_bytes(8, "little") + b"oops"])
def test_what_is_no_safetensors_file_is_named(copy: Path, content: bytes) -> None:
    (copy / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(content)
    with pytest.raises(ModelBroken, match=r"unet/diffusion_pytorch_model\.safetensors"):
        inspect_checkpoint(copy, "copy")


def test_pickled_weights_are_refused_with_the_way_to_convert_them(copy: Path) -> None:
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(ModelBroken, match="underpaint convert") as caught:
        inspect_checkpoint(copy, "copy")
    assert "unet/diffusion_pytorch_model.bin" in str(caught.value)


def test_missing_parts_are_named(copy: Path) -> None:
    for name, error in (
        ("unet/diffusion_pytorch_model.safetensors", ModelMissing),
        ("tokenizer/vocab.json", ModelBroken),
        ("scheduler/scheduler_config.json", ModelBroken),
        ("unet/config.json", ModelBroken),
        ("model_index.json", ModelBroken),
    ):
        kept = (copy / name).read_bytes()
        (copy / name).unlink()
        with pytest.raises(error, match=name):
            inspect_checkpoint(copy, "copy")
        (copy / name).write_bytes(kept)
    inspect_checkpoint(copy, "copy")


def test_a_missing_shard_is_named(copy: Path) -> None:
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    shards = {"a": "diffusion_pytorch_model-1.safetensors", "b": "diffusion_pytorch_model-2.safetensors"}
    weights.rename(weights.with_name(shards["a"]))
    (copy / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(ModelBroken, match=r"diffusion_pytorch_model-2\.safetensors is missing"):
        inspect_checkpoint(copy, "copy")


def test_unknown_classes_are_refused(copy: Path, models: Path) -> None:
    edit(copy / "model_index.json", _class_name="SanaPipeline")
    with pytest.raises(ModelBroken, match="SanaPipeline"):
        inspect_checkpoint(copy, "copy")
    edit(copy / "model_index.json", _class_name="StableDiffusionPipeline")
    edit(copy / "unet" / "config.json", in_channels=5)
    with pytest.raises(ModelBroken, match="5 channels"):
        inspect_checkpoint(copy, "copy")
    edit(copy / "controlnets" / "depth" / "config.json", _class_name="T2IAdapter")
    with pytest.raises(ModelBroken, match="T2IAdapter, a ControlNetModel or ControlNetUnionModel is needed"):
        inspect_controlnet(copy / "controlnets" / "depth", "depth")


def test_a_checkpoint_for_inpainting_takes_the_plain_one_s_controlnets(copy: Path) -> None:
    assert not inspect_checkpoint(copy, "copy").fills_holes
    edit(copy / "unet" / "config.json", in_channels=9)
    checkpoint = inspect_checkpoint(copy, "copy")
    assert checkpoint.fills_holes
    net = copy / "controlnets" / "depth"
    check_match(checkpoint, inspect_controlnet(net, "depth"))
    edit(net / "config.json", in_channels=9)
    with pytest.raises(ModelBroken, match="takes 9 channels"):
        inspect_controlnet(net, "depth")


@pytest.mark.parametrize(("said", "zeros"), [(None, True), (True, True), (False, False)])
def test_whether_no_negative_prompt_is_zeros_is_the_checkpoint_s_word(
    models: Path, tmp_path: Path, said: bool | None, zeros: bool
) -> None:
    copy = Path(shutil.copytree(models / "sdxl", tmp_path / "sdxl"))
    index: dict[str, object] = {"_class_name": "StableDiffusionXLPipeline"}
    if said is not None:
        index["force_zeros_for_empty_prompt"] = said
    (copy / "model_index.json").write_text(json.dumps(index))
    assert inspect_checkpoint(copy, "").zeros_for_empty == zeros
    assert not inspect_checkpoint(embedded.checkpoint(models), "").zeros_for_empty


def test_a_checkpoint_is_no_controlnet(models: Path) -> None:
    with pytest.raises(ModelBroken, match="it is a checkpoint, and a control needs a ControlNet"):
        inspect_controlnet(models / "sdxl", "sdxl")


def test_damaged_json_is_named(copy: Path) -> None:
    (copy / "unet" / "config.json").write_text("{oops")
    with pytest.raises(ModelBroken, match=r"unet/config\.json is no JSON"):
        inspect_checkpoint(copy, "copy")


def test_a_controlnet_must_fit_the_checkpoint(models: Path) -> None:
    small, large = inspect_checkpoint(embedded.checkpoint(models), ""), inspect_checkpoint(models / "sdxl", "sdxl")
    depth = inspect_controlnet(embedded.controlnet(models, ControlKind.DEPTH), "depth")
    large_depth = inspect_controlnet(models / "sdxl-depth", "sdxl-depth")
    check_match(small, depth)
    check_match(large, large_depth)
    with pytest.raises(ModelMismatch, match=r"Stable Diffusion XL.*Stable Diffusion 1\.5"):
        check_match(small, large_depth)
    with pytest.raises(ModelMismatch, match=r"Stable Diffusion 1\.5.*Stable Diffusion XL"):
        check_match(large, depth)


def test_a_net_that_takes_no_pooled_text_does_not_fit_one_that_does(models: Path, tmp_path: Path) -> None:
    net = Path(shutil.copytree(models / "sdxl-depth", tmp_path / "net"))
    edit(net / "config.json", addition_embed_type=None)
    with pytest.raises(ModelMismatch, match=r"made for Stable Diffusion 1.5, .* is Stable Diffusion XL"):
        check_match(inspect_checkpoint(models / "sdxl", "sdxl"), inspect_controlnet(net, "net"))


def test_two_nets_of_one_family_that_differ_in_shape_say_how(copy: Path) -> None:
    edit(copy / "controlnets" / "depth" / "config.json", block_out_channels=[32, 64, 96, 96])
    depth = inspect_controlnet(copy / "controlnets" / "depth", "depth")
    with pytest.raises(ModelMismatch, match="32-64-96-96"):
        check_match(inspect_checkpoint(copy, "copy"), depth)
