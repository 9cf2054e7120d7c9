"""What single files may be stored as, what they say of themselves, and what they are refused for."""

import json
import math
import os
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import single_files
import torch
from safetensors.torch import load_file, save_file
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.library.headers import read_header
from underpaint.backend.worker.jobs import JobRunner
from underpaint.backend.worker.models import weights
from underpaint.backend.worker.models.inspection import inspect_checkpoint, inspect_controlnet
from underpaint.backend.worker.models.loading import checkpoint_sources
from underpaint.backend.worker.models.parametrization import scheduler_config
from underpaint.protocol.errors import AdapterMismatch, ModelBroken, ModelError, ModelMismatch, ModelPickled
from underpaint.protocol.geometry import Extent
from underpaint.protocol.models import FamilyId
from underpaint.protocol.request import Control, ControlKind, Embedding, GenerateRequest, Lora, Precision
from worker_runner import Job, make_runner
from worker_scene import depth_pass

SIZE = Extent(width=64, height=64)
Paint = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with "sd15" as a folder and a file, and "sdxl" as a file."""
    folder = tmp_path_factory.mktemp("kinds")
    for family in ("sd15", "sdxl"):
        parts = single_files.build_folder(family, folder / family)
        single_files.save(single_files.ldm_checkpoint(family, parts), folder / f"{family}.safetensors")
    return folder


@pytest.fixture(scope="module")
def tensors(home: Path) -> dict[str, torch.Tensor]:
    return load_file(home / "sd15.safetensors")


@pytest.fixture(scope="module")
def painter(home: Path, blobs: BlobStore) -> JobRunner:
    return make_runner(blobs, home)


@pytest.fixture
def ask(painter: JobRunner, blobs: BlobStore) -> Callable[..., Job]:
    def asked(checkpoint: object = "sd15.safetensors", **changes: Any) -> Job:
        fields: dict[str, Any] = {
            "prompt": "a cat",
            "size": SIZE,
            "steps": 1,
            "precision": Precision.FLOAT32,
            **changes,
        }
        return Job(painter, GenerateRequest(checkpoint=str(checkpoint), **fields))

    return asked


@pytest.fixture
def paint(ask: Callable[..., Job], blobs: BlobStore) -> Paint:
    return lambda *arguments, **changes: blobs.read_array(ask(*arguments, **changes).run().images[0])


@pytest.fixture
def refused(ask: Callable[..., Job], painter: JobRunner) -> Callable[..., str]:
    """Run a job that fails before anything loads; gives its sentence."""

    def run(*arguments: Any, error: type[ModelError] = ModelBroken, **changes: Any) -> str:
        painter.residents.clear()
        job = ask(*arguments, **changes)
        with pytest.raises(error) as caught:
            job.run()
        assert painter.residents.held_bytes == 0
        assert not [entry for entry in job.progress if entry.text.startswith("Loading")]
        return str(caught.value)

    return run


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2])
def test_weights_are_cast_from_what_they_are_stored_as(
    dtype: torch.dtype, tensors: dict[str, torch.Tensor], tmp_path: Path, paint: Paint
) -> None:
    def cast(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    stored = single_files.save({key: cast(tensor) for key, tensor in tensors.items()}, tmp_path / "a.safetensors")
    again = {key: cast(tensor).float() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
    assert np.array_equal(paint(stored), paint(single_files.save(again, tmp_path / "b.safetensors")))


def test_a_folder_may_hold_its_weights_in_any_precision_variant_or_number_of_files(
    home: Path, tmp_path: Path, paint: Paint
) -> None:
    expected = paint("sd15")
    folder = tmp_path / "sd15"
    shutil.copytree(home / "sd15", folder)
    (only,) = (folder / "unet").glob("*.safetensors")
    tensors = load_file(only)
    only.rename(only.with_name("diffusion_pytorch_model.non_ema.safetensors"))  # where nothing else is there
    assert np.array_equal(paint(folder), expected)
    shutil.rmtree(folder / "vae")
    single_files.vae("sd15").save_pretrained(folder / "vae", variant="fp16", max_shard_size="200KB")
    assert len(list((folder / "vae").glob("*fp16-*.safetensors"))) > 1
    assert np.array_equal(paint(folder), expected)
    shards = sorted((folder / "vae").glob("*.safetensors"))
    shards[1].rename(tmp_path / "away")
    with pytest.raises(ModelBroken, match=shards[1].name):
        paint(folder)
    (tmp_path / "away").rename(shards[1])
    stored = {key: tensor.to(torch.float8_e4m3fn) for key, tensor in tensors.items()}
    save_file(stored, folder / "unet" / "diffusion_pytorch_model.safetensors")  # before "non_ema"
    eight = paint(folder)
    save_file({key: tensor.float() for key, tensor in stored.items()}, folder / "unet" / only.name)
    assert np.array_equal(eight, paint(folder))
    assert not np.array_equal(eight, expected)


def test_a_folder_that_nobody_may_read_or_that_leads_to_itself(
    home: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    folder = tmp_path / "sd15"
    shutil.copytree(home / "sd15", folder)
    shutil.rmtree(folder / "unet")
    (folder / "unet").symlink_to(folder / "unet")
    assert "unet/config.json can't be read (Too many levels of symbolic links)" in refused(folder)
    (folder / "unet").unlink()
    shutil.copytree(home / "sd15" / "unet", folder / "unet")
    (folder / "unet").chmod(0)
    try:
        if not os.access(folder / "unet", os.R_OK):  # an administrator may read everything
            assert "can't be read (Permission denied)" in refused(folder)
    finally:
        (folder / "unet").chmod(0o755)


def test_the_running_average_is_left_alone_where_the_weights_are_there(
    tensors: dict[str, torch.Tensor], tmp_path: Path, paint: Paint
) -> None:
    prefix = "model.diffusion_model."
    ema = {
        "model_ema.diffusion_model" + key.removeprefix(prefix).replace(".", ""): torch.zeros_like(tensor)
        for key, tensor in tensors.items()
        if key.startswith(prefix)
    }
    assert np.array_equal(paint(single_files.save({**tensors, **ema}, tmp_path / "a.safetensors")), paint())


SCHEDULES: dict[str, tuple[str, dict[str, torch.Tensor], dict[str, str], dict[str, Any]]] = {
    "plain": ("sd15", {}, {}, {"prediction_type": "epsilon"}),
    "v by a tensor": ("sdxl", {"v_pred": torch.zeros(0)}, {}, {"prediction_type": "v_prediction"}),
    "v and zero SNR": (
        "sdxl", {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}, {},
        {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"},
    ),
    "zero SNR of SD 1.5": (
        "sd15", {"ztsnr": torch.zeros(0)}, {}, {"rescale_betas_zero_snr": True, "_class_name": "DDIMScheduler"},
    ),
    "modelspec": ("sd15", {}, {"modelspec.prediction_type": "v"}, {"prediction_type": "v_prediction"}),
    "modelspec says noise": ("sd15", {}, {"modelspec.prediction_type": "epsilon"}, {"prediction_type": "epsilon"}),
    "kohya": ("sd15", {}, {"ss_v_parameterization": "True"}, {"prediction_type": "v_prediction"}),
}  # fmt: skip


@pytest.mark.parametrize("case", SCHEDULES)
def test_what_a_file_says_of_its_noise(case: str, home: Path, tmp_path: Path) -> None:
    family, marks, metadata, expected = SCHEDULES[case]
    file = tmp_path / "a.safetensors"
    save_file({**load_file(home / f"{family}.safetensors"), **marks}, file, metadata)
    config = inspect_checkpoint(file, "a").scheduler_config
    assert expected.items() <= config.items()


def test_a_flag_of_zero_snr_changes_the_picture(tensors: dict[str, torch.Tensor], tmp_path: Path, paint: Paint) -> None:
    file = single_files.save({**tensors, "ztsnr": torch.zeros(0)}, tmp_path / "a.safetensors")
    assert not np.array_equal(paint(file), paint())


def test_sd2_that_predicts_v_is_told_by_its_settings_or_by_a_bias(tmp_path: Path) -> None:
    parts = single_files.build_folder("sd2", tmp_path / "sd2")
    made = single_files.ldm_checkpoint("sd2", parts)
    file = single_files.save(made, tmp_path / "a.safetensors")

    def predicts() -> str:
        return inspect_checkpoint(file, "a").scheduler_config["prediction_type"]

    assert predicts() == "epsilon"
    bias = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"
    config = file.with_suffix(".yaml")
    config.write_text('model:\n  params:\n    parameterization: "v"\n')
    assert predicts() == "v_prediction"
    config.unlink()
    for spread, expected in ((0.02, "epsilon"), (0.2, "v_prediction")):
        for dtype in (torch.float32, torch.float16, torch.bfloat16):
            values = (torch.linspace(-1, 1, 320) * spread * 3**0.5).to(dtype)
            single_files.save({**made, bias: values}, file)
            found = scheduler_config(file, read_header(file, "a"), FamilyId.SD2, "a")
            assert found["prediction_type"] == expected


def test_a_vae_in_the_place_of_the_checkpoints_own(home: Path, tmp_path: Path, paint: Paint) -> None:
    other = single_files.vae("sd15", seed=77)
    other.save_pretrained(tmp_path / "vae")
    bare = single_files.save(single_files.ldm_vae(other), tmp_path / "bare.safetensors")
    under = {f"first_stage_model.{key}": tensor for key, tensor in single_files.ldm_vae(other).items()}
    prefixed = single_files.save({**under, "loss.logvar": torch.zeros(1)}, tmp_path / "prefixed.safetensors")
    diffusers_names = single_files.save(other.state_dict(), tmp_path / "names.safetensors")
    pictures = [paint(vae=str(vae)) for vae in (tmp_path / "vae", bare, prefixed, diffusers_names)]
    for picture in pictures[1:]:
        assert np.array_equal(picture, pictures[0])
    assert not np.array_equal(pictures[0], paint())
    assert np.array_equal(paint(vae="sd15"), paint())  # a checkpoint's is meant


def test_a_file_without_its_vae_paints_with_another(
    tensors: dict[str, torch.Tensor], tmp_path: Path, paint: Paint, refused: Callable[..., str]
) -> None:
    kept = {key: tensor for key, tensor in tensors.items() if not key.startswith("first_stage_model.")}
    file = single_files.save(kept, tmp_path / "a.safetensors")
    assert "a.safetensors was saved without its VAE" in refused(file)
    assert np.array_equal(paint(file, vae="sd15"), paint())


def test_a_vae_of_another_family_is_refused(home: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    single_files.vae("sdxl").save_pretrained(tmp_path / "vae")
    for vae in (tmp_path / "vae", home / "sdxl", home / "sdxl.safetensors"):
        sentence = refused(vae=str(vae), error=AdapterMismatch)
        assert "made for Stable Diffusion XL, the checkpoint" in sentence
        assert str(vae) in sentence
    net = single_files.save(single_files.net("sd15").state_dict(), tmp_path / "net.safetensors")
    assert "net.safetensors is a ControlNet" in refused(vae=str(net))


def control(blobs: BlobStore, net: Path) -> Control:
    return Control(kind=ControlKind.DEPTH, source=depth_pass(blobs, SIZE), controlnet=str(net))


def test_files_that_are_something_else_say_what(
    home: Path, tmp_path: Path, blobs: BlobStore, refused: Callable[..., str]
) -> None:
    net = single_files.save(single_files.ldm_unet(single_files.net("sd15")), tmp_path / "net.safetensors")
    vae = single_files.save(single_files.ldm_vae(single_files.vae("sd15")), tmp_path / "vae.safetensors")
    key = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    lora = single_files.save(
        {f"{key}.lora_down.weight": torch.zeros(4, 320), f"{key}.lora_up.weight": torch.zeros(320, 4)},
        tmp_path / "lora.safetensors",
    )
    for file, words in ((net, "a ControlNet"), (vae, "a VAE"), (lora, "a LoRA")):
        assert f"{file.name} is {words}" in refused(file)
    for file, words in ((home / "sd15.safetensors", "a checkpoint"), (vae, "a VAE"), (lora, "a LoRA")):
        assert f"{file.name} is {words}" in refused(controls=(control(blobs, file),))
    odd = single_files.save({"a.b.weight": torch.zeros(3, 3, 3)}, tmp_path / "odd.safetensors")
    assert "odd.safetensors is not a checkpoint" in refused(odd)


def test_nets_of_other_families_are_refused(tmp_path: Path, blobs: BlobStore, refused: Callable[..., str]) -> None:
    net = single_files.save(single_files.ldm_unet(single_files.net("sdxl")), tmp_path / "net.safetensors")
    assert "Stable Diffusion XL" in refused(controls=(control(blobs, net),), error=ModelMismatch)
    union = single_files.save(single_files.union(6).state_dict(), tmp_path / "union.safetensors")
    assert "Stable Diffusion XL" in refused(controls=(control(blobs, union),), error=ModelMismatch)
    flux = {
        "controlnet_x_embedder.weight": torch.zeros(64, 64), "x_embedder.weight": torch.zeros(64, 64),
        "transformer_blocks.0.attn.to_q.weight": torch.zeros(64, 64), "controlnet_blocks.0.weight": torch.zeros(64, 64),
        "single_transformer_blocks.0.attn.to_q.weight": torch.zeros(64, 64),
        "transformer_blocks.0.norm1.linear.weight": torch.zeros(64, 64),
    }  # fmt: skip
    file = single_files.save(flux, tmp_path / "flux.safetensors")
    assert "Flux" in refused(controls=(control(blobs, file),), error=ModelError)


def test_parts_that_are_missing_are_named(
    tensors: dict[str, torch.Tensor], tmp_path: Path, refused: Callable[..., str]
) -> None:
    without = {
        "cond_stage_model.": "saved without its text encoder",
        "model.diffusion_model.input_blocks.1.0.in_layers.2": "lacks 'down_blocks.0.resnets.0.conv1.weight'",
    }
    for prefix, words in without.items():
        kept = {key: tensor for key, tensor in tensors.items() if not key.startswith(prefix)}
        assert words in refused(single_files.save(kept, tmp_path / f"{len(words)}.safetensors"))
    added = {**tensors, "model.diffusion_model.surprise.weight": torch.zeros(1)}
    assert "'surprise.weight'" in refused(single_files.save(added, tmp_path / "added.safetensors"))


def test_a_tensor_that_no_shape_tells_of_is_missed_when_it_loads(
    tensors: dict[str, torch.Tensor], tmp_path: Path, ask: Callable[..., Job]
) -> None:
    key = "model.diffusion_model.middle_block.0.out_layers.3.weight"
    file = single_files.save({k: v for k, v in tensors.items() if k != key}, tmp_path / "a.safetensors")
    with pytest.raises(ModelBroken, match=r"a\.safetensors lacks mid_block.resnets.0.conv2.weight"):
        ask(file).run()
    for wrong, words in ((torch.zeros(3), "in the shape 3"), (tensors[key].to(torch.int8), "as I8")):
        file = single_files.save({**tensors, key: wrong}, tmp_path / f"{wrong.dtype}.safetensors")
        with pytest.raises(ModelBroken, match=words):
            ask(file).run()


def test_a_controlnet_that_looks_at_averages_is_told_by_its_name_or_settings(tmp_path: Path) -> None:
    made = single_files.ldm_unet(single_files.net("sd15"))
    for name, pools in (("control_v11e_sd15_shuffle", True), ("control_v11p_sd15_canny", False)):
        config = inspect_controlnet(single_files.save(made, tmp_path / f"{name}.safetensors"), name).config
        assert bool(config.get("global_pool_conditions")) is pools
    (tmp_path / "mine.yaml").write_text("control_stage_config:\n  global_average_pooling: True\n")
    assert inspect_controlnet(single_files.save(made, tmp_path / "mine.safetensors"), "mine").config[
        "global_pool_conditions"
    ]


def test_a_file_that_changes_while_it_loads(
    tensors: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = single_files.save(tensors, tmp_path / "a.safetensors")
    sources = checkpoint_sources(inspect_checkpoint(file, "mine"))
    real, whole = weights._tensor, file.read_bytes()

    def cut(*arguments: Any) -> Any:
        with file.open("r+b") as stream:
            stream.truncate(len(whole) // 3)
        return real(*arguments)

    monkeypatch.setattr(weights, "_tensor", cut)
    with pytest.raises(ModelBroken, match=r"a\.safetensors became shorter while it was read"):
        sources["vae"].load(torch.float32)
    monkeypatch.undo()
    with pytest.raises(ModelBroken, match=r"a\.safetensors changed while it was loaded"):
        sources["vae"].load(torch.float32)
    file.write_bytes(whole)

    def touch(*arguments: Any) -> Any:
        file.touch()
        return real(*arguments)

    sources = checkpoint_sources(inspect_checkpoint(file, "mine"))
    monkeypatch.setattr(weights, "_tensor", touch)
    with pytest.raises(ModelBroken, match=r"changed while it was loaded\. Wait until"):
        sources["vae"].load(torch.float32)


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (b"", ModelBroken, "is empty"),
        (b"\x80\x02}q\x00.", ModelPickled, "underpaint convert"),
        (b"PK\x03\x04" + bytes(600), ModelPickled, "underpaint convert"),
        (b"<!DOCTYPE html><html>" + bytes(600), ModelBroken, "web page"),
        (struct.pack("<Q", 1 << 62) + b"{}", ModelBroken, "no safetensors file, or is cut off"),
        (struct.pack("<Q", 2) + b"{}", ModelBroken, "holds no tensors"),
        (struct.pack("<Q", 23) + json.dumps({"a": {"dtype": "F32"}}).encode(), ModelBroken, "no readable header"),
    ],
)  # fmt: skip
def test_files_that_are_no_models(
    content: bytes, error: type[ModelError], words: str, tmp_path: Path, blobs: BlobStore, refused: Callable[..., str]
) -> None:
    file = tmp_path / "odd.safetensors"
    file.write_bytes(content)
    for changes in ({"checkpoint": file}, {"vae": str(file)}, {"controls": (control(blobs, file),)}):
        sentence = refused(error=error, **changes)
        assert words in sentence
        assert "odd.safetensors" in sentence


def test_a_file_cut_off(home: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    whole = (home / "sd15.safetensors").read_bytes()
    file = tmp_path / "cut.safetensors"
    file.write_bytes(whole[: len(whole) // 2])
    assert "cut off or damaged; fetch it again" in refused(file)


def test_a_link_to_itself(tmp_path: Path, refused: Callable[..., str]) -> None:
    link = tmp_path / "loop.safetensors"
    link.symlink_to(link)
    assert "no such file or folder" in refused(link, error=ModelError)


def test_relatives_that_are_built_alike_are_refused(tmp_path: Path, home: Path, refused: Callable[..., str]) -> None:
    made = load_file(home / "sdxl.safetensors")
    label = "model.diffusion_model.label_emb.0.0.weight"
    to_text = {key: tensor for key, tensor in made.items() if key.endswith("attn2.to_k.weight")}

    def file(width: int, pooled: int) -> Path:
        texts = {key: torch.zeros(len(tensor), width) for key, tensor in to_text.items()}
        changed = {**made, **texts, label: torch.zeros(len(made[label]), pooled)}
        return single_files.save(changed, tmp_path / f"{width}-{pooled}.safetensors")

    assert "SDXL's refiner" in refused(file(1280, 2560))
    assert "unCLIP" in refused(file(1024, 2048))
    assert "don't belong together" in refused(file(96, made[label].shape[1]))
    assert "don't belong together" in refused(file(128, 6 * 256 + 8))


def test_a_lora_and_a_textual_inversion_work_on_a_file_as_on_its_folder(tmp_path: Path, paint: Paint) -> None:
    key = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    made = {f"{key}.lora_down.weight": torch.randn(4, 32), f"{key}.lora_up.weight": torch.randn(32, 4)}
    lora = Lora(lora=str(single_files.save(made, tmp_path / "lora.safetensors")))
    word = single_files.save({"emb_params": torch.randn(2, 64)}, tmp_path / "word.safetensors")
    changes = {"loras": (lora,), "embeddings": (Embedding(embedding=str(word), token="word"),), "prompt": "a word, cat"}
    picture = paint(**changes)
    assert np.array_equal(picture, paint("sd15", **changes))
    for name in changes:
        assert not np.array_equal(picture, paint(**{key: value for key, value in changes.items() if key != name}))


def test_whatever_shapes_a_file_claims_it_is_taken_or_refused_in_words(home: Path, tmp_path: Path) -> None:
    chance = random.Random(5)
    whole = {key: tuple(tensor.shape) for key, tensor in load_file(home / "sd15.safetensors").items()}
    file, ends = tmp_path / "odd.safetensors", set[str]()
    for _ in range(60):
        claimed = dict(whole)
        for key in chance.sample(sorted(claimed), chance.choice([1, 3, 20])):
            shape = claimed.pop(key)
            odd = tuple(chance.choice([0, 1, 3, 64]) for _ in range(chance.randrange(6)))
            match chance.randrange(4):
                case 0:
                    claimed[key] = odd
                case 1:
                    claimed[key] = shape[:-1]
                case 2:
                    claimed[key.replace(chance.choice("0123."), chance.choice(["9999", "", "x"]), 1)] = shape
        sparse(file, claimed)
        try:
            inspect_checkpoint(file, "odd")
            ends.add("taken")
        except ModelBroken as error:
            ends.add("refused by name" if "odd.safetensors" in str(error) else f"{error}")
    assert ends == {"taken", "refused by name"}


def sparse(file: Path, claimed: dict[str, tuple[int, ...]]) -> None:
    """A file of zeros that takes no room on most disks."""
    header: dict[str, Any] = {}
    place = 0
    for key, shape in claimed.items():
        end = place + math.prod(shape)
        header[key] = {"dtype": "U8", "shape": shape, "data_offsets": [place, end]}
        place = end
    text = json.dumps(header).encode()
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        stream.truncate(8 + len(text) + place)
