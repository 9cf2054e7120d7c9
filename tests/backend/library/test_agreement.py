"""What the list says of a model is what the worker does with it: real modules, tiny, in their real layouts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import family_models
import pytest
import single_files
from safetensors.torch import load_file
from underpaint.backend.library.entries import FROM_FILES
from underpaint.backend.library.index import Index
from underpaint.backend.worker.conditioning.unions import UNIONS, UnionId
from underpaint.backend.worker.families import FAMILIES, Feature
from underpaint.backend.worker.models.inspection import inspect_checkpoint, inspect_controlnet, inspect_family
from underpaint.protocol.errors import ModelError
from underpaint.protocol.models import FamilyId, ModelEntry, ModelKind

UNET_FAMILIES: dict[single_files.Family, FamilyId] = {
    "sd15": FamilyId.SD15,
    "sd2": FamilyId.SD2,
    "sdxl": FamilyId.SDXL,
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with every sort of model that the worker reads, and some that it doesn't."""
    models = tmp_path_factory.mktemp("agreement") / "models"
    for name in UNET_FAMILIES:
        parts = single_files.build_folder(name, models / "folders" / name)
        whole = single_files.ldm_checkpoint(name, parts)
        single_files.save(whole, models / "files" / f"{name}.safetensors")
        for part in ("cond_stage_model.", "conditioner."):
            bare = {key: tensor for key, tensor in whole.items() if not key.startswith(part)}
            if len(bare) < len(whole):
                single_files.save(bare, models / "files" / f"{name} bare.safetensors")
        net = single_files.net(name)
        net.save_pretrained(models / "nets" / name)
        named = {f"control_model.{key}": tensor for key, tensor in single_files.ldm_unet(net).items()}
        single_files.save(named, models / "files" / f"{name} net.safetensors")
        parts["vae"].save_pretrained(models / "vaes" / name)
    single_files.build_folder("sd15", models / "folders" / "inpaint", in_channels=9)
    for modes in (6, 8):
        single_files.union(modes).save_pretrained(models / "nets" / f"union {modes}")
    family_models.build_all(models / "stock")
    flux = load_file(models / "stock" / "flux" / "transformer" / "diffusion_pytorch_model.safetensors")
    single_files.save(flux, models / "files" / "flux.safetensors")
    net = load_file(models / "stock" / "flux-depth" / "diffusion_pytorch_model.safetensors")
    single_files.save(net, models / "files" / "flux net.safetensors")
    return models


@pytest.fixture(scope="module")
def listed(home: Path) -> dict[str, ModelEntry]:
    """The list, by references."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_CACHE", str(home.parent / "hub"))
        index = Index(home, home.parent / "models.json")
        index.look()
    return {entry.reference: entry for entry in index.page().models}


def test_the_worker_takes_what_the_list_offers_and_refuses_what_it_warns_of(
    home: Path, listed: dict[str, ModelEntry]
) -> None:
    inspect: dict[ModelKind, Callable[[Path, str], Any]] = {
        ModelKind.CHECKPOINT: inspect_checkpoint,
        ModelKind.CONTROLNET: inspect_controlnet,
    }
    taken = {entry.reference: "" for entry in listed.values() if entry.kind in inspect}
    for reference in taken:
        try:
            inspect[listed[reference].kind](home / reference, reference)
        except ModelError as error:
            taken[reference] = str(error)
    assert len(taken) > 30
    assert not any(entry.sha256 for entry in listed.values())  # nothing was painted with any of them
    assert {reference for reference, refused in taken.items() if refused} == {
        reference for reference in taken if listed[reference].problem
    }, [(reference, refused, listed[reference].problem) for reference, refused in taken.items()]
    assert sum(map(bool, taken.values())) == 5


def test_the_family_is_the_one_that_the_worker_paints_with(home: Path, listed: dict[str, ModelEntry]) -> None:
    for reference, entry in listed.items():
        if entry.kind is ModelKind.CHECKPOINT and not entry.problem:
            assert entry.family is inspect_family(home / reference, reference).id, reference


@pytest.mark.parametrize("name", family_models.NETS)
def test_nets_of_transformers_are_told_by_their_keys(listed: dict[str, ModelEntry], name: str) -> None:
    entry = listed[f"stock/{name}"]
    assert (entry.kind, entry.family, entry.problem) == (ModelKind.CONTROLNET, family_models.NETS[name][0], "")


def test_every_kind_is_told(listed: dict[str, ModelEntry]) -> None:
    kinds = {
        "folders": ModelKind.CHECKPOINT,
        "nets": ModelKind.CONTROLNET,
        "vaes": ModelKind.VAE,
    }
    for reference, entry in listed.items():
        place = reference.partition("/")[0]
        if place in kinds:
            assert entry.kind is kinds[place], reference
            assert entry.precision == "float32"
            assert entry.size_bytes > 1000
    assert listed["folders/inpaint"].traits == ("inpainting",)
    assert listed["stock/schnell"].traits == ("schnell",)
    assert "dev" in listed["stock/flux"].traits
    assert listed["vaes/sdxl"].family is FamilyId.SDXL
    assert listed["nets/sdxl"].family is FamilyId.SDXL
    assert {kind.value for kind in UNIONS[UnionId.XINSIR].modes} == set(listed["nets/union 6"].control_kinds)
    assert {kind.value for kind in UNIONS[UnionId.XINSIR_PROMAX].modes} == set(listed["nets/union 8"].control_kinds)
    assert {kind.value for kind in UNIONS[UnionId.FLUX_INSTANTX].modes} == set(listed["stock/flux-union"].control_kinds)


def test_the_families_whose_files_are_read_are_those_that_the_worker_claims() -> None:
    assert {row.id for row in FAMILIES.values() if Feature.SINGLE_FILE in row.features} == set(FROM_FILES)
