"""LoRAs in the weights, beside diffusers' pipelines with peft."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from lora_files import fused, lora, stock, unet_layers, write_diffusers, write_kohya
from safetensors.torch import load_file, save_file
from underpaint.backend.worker.memory.keepers import OnDisk
from underpaint.backend.worker.models import adapters
from underpaint.backend.worker.models.inspection import CheckpointInfo, inspect_checkpoint
from underpaint.backend.worker.models.loading import checkpoint_sources

CLOSE = {"rtol": 0.0, "atol": 1e-5}


@pytest.fixture(scope="module")
def sd15(models: Path) -> CheckpointInfo:
    return inspect_checkpoint(next((models / "embedded").iterdir()), "")


@pytest.fixture(scope="module")
def sdxl(models: Path) -> CheckpointInfo:
    return inspect_checkpoint(models / "sdxl", "sdxl")


def predict(unet: Any, info: CheckpointInfo) -> Any:
    """What a UNet says of one noisy latent."""
    generator = torch.Generator().manual_seed(0)
    width = info.unet_config["cross_attention_dim"]
    extra = {}
    if info.family.pooled_text:
        wide = unet.config.projection_class_embeddings_input_dim - 6 * unet.config.addition_time_embed_dim
        extra = {"text_embeds": torch.randn(1, wide, generator=generator), "time_ids": torch.full((1, 6), 64.0)}
    with torch.inference_mode():
        return unet(
            torch.randn(1, 4, 16, 16, generator=generator),
            500,
            torch.randn(1, 77, width, generator=generator),
            added_cond_kwargs=extra,
            return_dict=False,
        )[0]


def read(encoder: Any) -> Any:
    """What a text encoder says of one text."""
    ids = torch.arange(77)[None] + 200
    ids[0, 20:] = 513
    with torch.inference_mode():
        return encoder(ids)[0]


def agree(ours: Mapping[str, Any], theirs: Any, info: CheckpointInfo) -> None:
    torch.testing.assert_close(predict(ours["unet"], info), predict(theirs.unet, info), **CLOSE)
    for name, _, _ in info.family.text_encoders:
        torch.testing.assert_close(read(ours[name]), read(getattr(theirs, name)), **CLOSE)


CASES = [
    ("sd15", "kohya"),
    ("sd15", "peft"),
    ("sd15", "diffusers"),
    ("sdxl", "kohya"),
    ("sdxl", "sgm"),
    ("sdxl", "peft"),
]


@pytest.mark.parametrize(("family", "layout"), CASES)
def test_every_layout_does_what_it_does_in_diffusers(
    family: str, layout: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    info = request.getfixturevalue(family)
    first = lora(info, tmp_path / "first.safetensors", layout)
    theirs = stock(info)
    plain = predict(theirs.unet, info)
    theirs.load_lora_weights(load_file(first), adapter_name="first")
    for weight in (0.7, -0.5):
        theirs.set_adapters(["first"], [weight])
        ours = fused(info, (first, weight, None))
        agree(ours, theirs, info)
    assert (predict(theirs.unet, info) - plain).abs().max() > 0.01  # so that the test can fail


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`")  # peft, of the second
@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_two_at_once_and_a_weight_of_its_own_for_the_text(
    family: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    info = request.getfixturevalue(family)
    first = lora(info, tmp_path / "first.safetensors", "kohya", conv=True)
    second = lora(info, tmp_path / "second.safetensors", "peft", seed=10)
    theirs = stock(info)
    theirs.load_lora_weights(load_file(first), adapter_name="first")
    theirs.load_lora_weights(load_file(second), adapter_name="second")
    encoders = [name for name, _, _ in info.family.text_encoders]
    theirs.set_adapters(
        ["first", "second"],
        [{"unet": 0.7, **dict.fromkeys(encoders, 0.2)}, {"unet": -0.5, **dict.fromkeys(encoders, 0.9)}],
    )
    agree(fused(info, (first, 0.7, 0.2), (second, -0.5, 0.9)), theirs, info)


def test_half_precision_is_rounded_once(sd15: CheckpointInfo, tmp_path: Path) -> None:
    """The sum is taken in float32, of weights and LoRAs in whatever format they are."""
    pipeline = stock(sd15)
    parts = unet_layers(pipeline.unet, conv=True)
    file = write_kohya(tmp_path / "a.safetensors", {"lora_unet_": parts}, dtype=torch.bfloat16)
    ours = fused(sd15, (file, 0.7, None), dtype=torch.float16)["unet"]
    for name, halves in parts.items():
        base = pipeline.unet.get_submodule(name).weight  # float16 on disk
        down, up = (half.bfloat16().double().flatten(1) for half in (halves.down, halves.up))
        exact = base.double() + 0.7 * 2 / 4 * (up @ down).reshape(base.shape)
        found = ours.get_submodule(name).weight
        assert found.dtype is torch.float16
        difference = (found.double() - exact).abs()
        assert bool((difference <= exact.abs() * 2**-11 * 1.01 + 1e-7).all())


def test_what_counts_for_nothing_is_left_away_and_what_is_removed_leaves_nothing(
    sd15: CheckpointInfo, tmp_path: Path
) -> None:
    file = lora(sd15, tmp_path / "a.safetensors", "kohya")
    assert adapters.choose([(str(file), 0.0, None)], sd15, models=tmp_path) == ()
    assert adapters.choose([(str(file), 0.5, None), (str(file), -0.5, None)], sd15, models=tmp_path) == ()
    (only_text,) = adapters.choose([(str(file), 0.0, 1.0)], sd15, models=tmp_path)
    plain = checkpoint_sources(sd15)
    sources = adapters.with_loras(plain, [only_text])
    assert sources["unet"] is plain["unet"]
    assert sources["text_encoder"].weights.stamp != plain["text_encoder"].weights.stamp
    again = {name: source.load(torch.float32) for name, source in plain.items()}
    fused(sd15, (file, 0.7, None))
    for name, source in plain.items():
        for key, value in source.load(torch.float32).state_dict().items():
            assert torch.equal(value, again[name].state_dict()[key])


def test_weights_that_come_from_disk_for_each_turn_come_with_their_loras(sd15: CheckpointInfo, tmp_path: Path) -> None:
    """The way of offloading that reads a file again, into a module that is empty in between."""
    file = lora(sd15, tmp_path / "a.safetensors", "kohya")
    expected = fused(sd15, (file, 0.7, None))["unet"].state_dict()
    choices = adapters.choose([(str(file), 0.7, None)], sd15, models=tmp_path)
    source = adapters.with_loras(checkpoint_sources(sd15), choices)["unet"]
    keeper = OnDisk(source.empty(torch.float32), "cpu", lambda: source.load(torch.float32))
    for _ in range(2):
        keeper.fetch()
        found = keeper.module.state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], value) for key, value in expected.items())
        keeper.drop()
        assert all(weight.is_meta for weight in keeper.module.parameters())


def test_the_stamp_tells_file_and_weight(sd15: CheckpointInfo, tmp_path: Path) -> None:
    file = lora(sd15, tmp_path / "a.safetensors", "kohya")
    other = lora(sd15, tmp_path / "b.safetensors", "kohya", seed=5)

    def stamp(*wanted: tuple[str, float, float | None]) -> object:
        return adapters.with_loras(checkpoint_sources(sd15), adapters.choose(wanted, sd15, models=tmp_path))[
            "unet"
        ].weights.stamp

    stamps = [
        stamp(),
        stamp((str(file), 0.5, None)),
        stamp((str(file), 0.6, None)),
        stamp((str(other), 0.5, None)),
        stamp((str(file), 0.5, None), (str(other), 0.5, None)),
    ]
    assert len(set(stamps)) == len(stamps)
    assert stamp((str(file), 0.5, 0.1)) == stamp((str(file), 0.5, 0.2))  # the UNet is the same
    assert stamp((str(file), 0.25, None), (str(file), 0.25, None)) == stamps[1]


# ---------------------------------------------------------------------------------------------- LyCORIS


def lycoris(info: CheckpointInfo, file: Path, sort: str) -> tuple[Path, dict[str, Any]]:
    """A file of one of LyCORIS' kinds for the UNet, and what each layer is to add at weight 1, by its formula."""
    generator = torch.Generator().manual_seed(3)
    tensors: dict[str, Any] = {}
    expected: dict[str, Any] = {}

    def draw(*shape: int) -> Any:
        return torch.randn(shape, generator=generator) * 0.2

    for name in unet_layers(stock(info).unet, conv=True):
        weight = stock_weight(info, name)
        out, inside, kernel = weight.shape[0], weight.shape[1], weight.shape[2:]
        stem, rank, alpha = f"lora_unet_{name.replace('.', '_')}", 4, 2.0
        flat = inside * kernel.numel()
        if sort == "loha":
            parts = {
                "w1_a": draw(out, rank),
                "w1_b": draw(rank, flat),
                "w2_a": draw(out, rank),
                "w2_b": draw(rank, flat),
            }
            tensors |= {f"{stem}.hada_{role}": value for role, value in parts.items()}
            change = (parts["w1_a"] @ parts["w1_b"]) * (parts["w2_a"] @ parts["w2_b"]) * alpha / rank
        elif sort == "lokr":
            parts = {"w1": draw(2, 2), "w2_a": draw(out // 2, rank), "w2_b": draw(rank, flat // 2)}
            tensors |= {f"{stem}.lokr_{role}": value for role, value in parts.items()}
            second = (parts["w2_a"] @ parts["w2_b"]).reshape(out // 2, inside // 2, *kernel)
            change = torch.zeros(out, inside, *kernel)
            for row in range(2):
                for column in range(2):
                    rows = slice(row * out // 2, (row + 1) * out // 2)
                    columns = slice(column * inside // 2, (column + 1) * inside // 2)
                    change[rows, columns] = parts["w1"][row, column] * second
            change *= alpha / rank
        elif sort == "tucker" and kernel:
            parts = {"down": draw(rank, inside, 1, 1), "mid": draw(rank, rank, *kernel), "up": draw(out, rank, 1, 1)}
            tensors |= {f"{stem}.lora_{role}.weight": value for role, value in parts.items()}
            change = torch.nn.functional.conv2d(  # of each input by itself: what the three layers do one after another
                torch.eye(inside).reshape(inside, inside, 1, 1), parts["down"]
            )
            change = torch.nn.functional.conv_transpose2d(change, parts["mid"].transpose(0, 1).flip(0, 1).flip(0, 1))
            change = torch.nn.functional.conv2d(change, parts["up"]).transpose(0, 1) * alpha / rank
        else:
            continue
        tensors[f"{stem}.alpha"] = torch.tensor(alpha)
        expected[name] = change.reshape(weight.shape)
    save_file({key: value.contiguous() for key, value in tensors.items()}, file)
    return file, expected


_BASE: dict[str, Any] = {}


def stock_weight(info: CheckpointInfo, name: str) -> Any:
    if not _BASE:
        _BASE["unet"] = stock(info).unet
    return _BASE["unet"].get_submodule(name).weight


@pytest.mark.parametrize("sort", ["loha", "lokr", "tucker"])
def test_lycoris_kinds_add_what_their_formulas_say(sort: str, sd15: CheckpointInfo, tmp_path: Path) -> None:
    file, expected = lycoris(sd15, tmp_path / "a.safetensors", sort)
    ours = fused(sd15, (file, 0.7, None))["unet"]
    assert expected
    for name, change in expected.items():
        torch.testing.assert_close(
            ours.get_submodule(name).weight, stock_weight(sd15, name) + 0.7 * change, rtol=0, atol=1e-6
        )


def test_a_dora_of_diffusers_is_what_peft_makes_of_it(sd15: CheckpointInfo, tmp_path: Path) -> None:
    theirs = stock(sd15)
    file = write_diffusers(tmp_path / "a.safetensors", {"unet": unet_layers(theirs.unet, conv=True, alpha=None)})
    tensors = load_file(file)
    for key in [key for key in tensors if key.endswith(".lora_A.weight")]:
        name = key.removeprefix("unet.").removesuffix(".lora_A.weight")
        lengths = theirs.unet.get_submodule(name).weight.flatten(1).norm(dim=1)
        shape = (-1,) if theirs.unet.get_submodule(name).weight.ndim == 2 else (1, -1, 1, 1)
        magnitude = (lengths * torch.linspace(0.8, 1.2, len(lengths))).reshape(shape)
        tensors[key.replace(".lora_A.weight", ".lora_magnitude_vector")] = magnitude.detach().contiguous()
    save_file(tensors, file)
    theirs.load_lora_weights(load_file(file), adapter_name="a")
    theirs.set_adapters(["a"], [0.7])
    agree(fused(sd15, (file, 0.7, None)), theirs, sd15)


def test_a_dora_of_lycoris_gives_each_output_its_length(sd15: CheckpointInfo, tmp_path: Path) -> None:
    unet = stock(sd15).unet
    parts = unet_layers(unet, conv=True)
    extra: dict[str, Any] = {}
    for name in parts:
        weight = unet.get_submodule(name).weight
        lengths = weight.flatten(1).norm(dim=1) * 1.1
        extra[f"lora_unet_{name.replace('.', '_')}.dora_scale"] = lengths.reshape(-1, *[1] * (weight.ndim - 1)).detach()
    file = write_kohya(tmp_path / "a.safetensors", {"lora_unet_": parts}, extra=extra)
    ours = fused(sd15, (file, 1.0, None))["unet"]
    for name, halves in parts.items():
        weight = unet.get_submodule(name).weight
        direction = weight + 0.5 * (halves.up.flatten(1) @ halves.down.flatten(1)).reshape(weight.shape)
        lengths = ours.get_submodule(name).weight.flatten(1).norm(dim=1)
        torch.testing.assert_close(lengths, weight.flatten(1).norm(dim=1) * 1.1, rtol=1e-4, atol=1e-5)
        turned = torch.nn.functional.cosine_similarity(
            ours.get_submodule(name).weight.flatten(1), direction.flatten(1), dim=1
        )
        torch.testing.assert_close(turned, torch.ones_like(turned), rtol=1e-4, atol=1e-5)
