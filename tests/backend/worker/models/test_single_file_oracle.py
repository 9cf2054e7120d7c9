"""Modules from single files against those that diffusers' own from_single_file makes of them."""

from pathlib import Path
from typing import Any

import diffusers
import pytest
import single_files
import torch
import transformers
from underpaint.backend.worker.models import layouts, shapes
from underpaint.backend.worker.models.inspection import inspect_checkpoint, inspect_controlnet
from underpaint.backend.worker.models.layouts import Piece
from underpaint.backend.worker.models.loading import checkpoint_sources, controlnet_source
from underpaint.backend.worker.models.weights import recipe_shapes
from underpaint.protocol.models import FamilyId

_L = ("text_encoder", "CLIPTextModel")
FAMILIES = {
    FamilyId.SD15: (_L,),
    FamilyId.SD2: (_L,),
    FamilyId.SDXL: (_L, ("text_encoder_2", "CLIPTextModelWithProjection")),
}


def same(ours: Any, theirs: Any) -> None:
    found, expected = ours.state_dict(), theirs.state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("family", ["sd15", "sd2", "sdxl"])
def test_unet_and_vae(family: single_files.Family, tmp_path: Path) -> None:
    folder = tmp_path / family
    file = single_files.save(
        single_files.ldm_checkpoint(family, single_files.build_folder(family, folder)), tmp_path / "a.safetensors"
    )
    sources = checkpoint_sources(inspect_checkpoint(file, "a"))
    for kind, name in (("UNet2DConditionModel", "unet"), ("AutoencoderKL", "vae")):
        theirs = getattr(diffusers, kind).from_single_file(str(file), config=str(folder), subfolder=name)
        same(sources[name].load(torch.float32), theirs)


def test_a_controlnet(tmp_path: Path) -> None:
    net = single_files.net("sd15")
    net.save_pretrained(tmp_path / "net")
    file = single_files.save(single_files.ldm_unet(net), tmp_path / "a.safetensors")
    theirs = diffusers.ControlNetModel.from_single_file(str(file), config=str(tmp_path / "net"))
    same(controlnet_source(inspect_controlnet(file, "a")).load(torch.float32), theirs)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_the_published_models_of_full_size_are_told_from_their_shapes_alone(family: FamilyId) -> None:
    """Without weights: every name, every shape, and every setting that the shipped configs have."""

    def told(tensors: dict[str, Any], recipe: dict[str, Piece], module: Any) -> dict[str, tuple[int, ...]]:
        header = {key: {"dtype": "F16", "shape": list(tensor.shape)} for key, tensor in tensors.items()}
        found = recipe_shapes(recipe, header)
        wanted = {name.removeprefix("text_model."): tuple(entry.shape) for name, entry in module.named_parameters()}
        assert found == wanted
        return found

    with torch.device("meta"):
        unet_config = shapes.shipped_config(family, "unet/config.json")
        unet = diffusers.UNet2DConditionModel.from_config(unet_config)
        vae = diffusers.AutoencoderKL.from_config(shapes.shipped_config(family, "vae/config.json"))
        net = diffusers.ControlNetModel.from_unet(unet, load_weights_from_unet=False)
        names = single_files.ldm_unet(unet)
        found = told(names, layouts.ldm_unet(names), unet)
        assert shapes.unet_family(found) is family
        assert {"use_linear_projection": False, **unet_config} == {
            "use_linear_projection": False, **shapes.unet_config(found, family)
        }  # fmt: skip
        names = single_files.ldm_unet(net)
        config = shapes.controlnet_config(told(names, layouts.ldm_unet(names), net), family)
        assert {key: net.config[key] for key in config if key[0] != "_"} == {
            key: tuple(value) if isinstance(value, list) and isinstance(net.config[key], tuple) else value
            for key, value in config.items() if key[0] != "_"
        }  # fmt: skip
        names = single_files.ldm_vae(vae)
        assert shapes.vae_config(told(names, layouts.ldm_vae(names), vae), family) == shapes.shipped_config(
            family, "vae/config.json"
        )
        for encoder, class_name in FAMILIES[family]:
            text_config = shapes.shipped_config(family, f"{encoder}/config.json")
            text = getattr(transformers, class_name)(transformers.CLIPTextConfig(**text_config))
            names = single_files.open_clip(text)
            recipe = layouts.open_clip(names, layers=text_config["num_hidden_layers"], projects=encoder.endswith("2"))
            assert shapes.text_config(told(names, recipe, text), family, encoder) == text_config


def test_sd2_listens_to_all_layers_but_the_last() -> None:
    keys = [f"transformer.resblocks.{layer}.ln_1.weight" for layer in range(24)]
    assert len(layouts.open_clip(keys, layers=23, projects=False)) == 23


def test_a_folder_is_loaded_as_diffusers_and_transformers_load_it(tmp_path: Path) -> None:
    single_files.build_folder("sdxl", tmp_path / "sdxl")
    sources = checkpoint_sources(inspect_checkpoint(tmp_path / "sdxl", "sdxl"))
    for name, source in sources.items():
        library = transformers if name.startswith("text") else diffusers
        theirs = getattr(library, source.class_name).from_pretrained(tmp_path / "sdxl" / name)
        ours = source.load(torch.float32)
        same(ours, theirs)
        assert dict(ours.named_buffers()).keys() == dict(theirs.named_buffers()).keys()
        for key, buffer in theirs.named_buffers():
            assert torch.equal(dict(ours.named_buffers())[key], buffer)
        if name.startswith("text"):
            assert ours.config._attn_implementation == theirs.config._attn_implementation
