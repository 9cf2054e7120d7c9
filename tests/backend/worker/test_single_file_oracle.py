"""Modules from single files against those that diffusers' own from_single_file makes of them."""

from pathlib import Path
from typing import Any

import diffusers
import pytest
import single_files
import torch
from underpaint.backend.worker.models.inspection import inspect_checkpoint, inspect_controlnet
from underpaint.backend.worker.models.layouts import open_clip
from underpaint.backend.worker.models.loading import checkpoint_sources, controlnet_source


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


def test_sd2_listens_to_all_layers_but_the_last() -> None:
    keys = [f"transformer.resblocks.{layer}.ln_1.weight" for layer in range(24)]
    assert len(open_clip(keys, layers=23, projects=False)) == 23


def test_a_folder_is_loaded_as_diffusers_and_transformers_load_it(tmp_path: Path) -> None:
    import transformers

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
