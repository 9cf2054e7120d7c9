"""Previews: what they show, what TAESD makes of them, and that a GPU is never waited for."""

from collections import deque
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from underpaint.backend.worker.families import FAMILIES, FamilyId
from underpaint.backend.worker.sampling import previews, taesd
from underpaint.backend.worker.sampling.previews import Arrivals, Previewer

SD15 = FAMILIES[FamilyId.SD15]


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A hub cache with nothing in it, whatever this computer's has."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    taesd._load.cache_clear()


def _estimate(side: int = 16, pictures: int = 1, channels: int = 4) -> torch.Tensor:
    return torch.randn((pictures, channels, side, side + 8), generator=torch.Generator().manual_seed(3))


def _build(folder: Path, seed: int = 0) -> Any:
    """TAESD as it is laid out, with fewer channels and random weights."""
    torch.manual_seed(seed)
    tiny = diffusers.AutoencoderTiny(encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4)
    tiny.save_pretrained(folder)
    return tiny.eval()


def _decoded(tiny: Any, latents: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        decoded = tiny.decode(latents / tiny.config.scaling_factor).sample[0]
    return ((decoded / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


# ---------------------------------------------------------------------------------------------- linear


SHOWN = [family for family in FAMILIES.values() if family.latent_rgb]


@pytest.mark.parametrize("family", SHOWN, ids=lambda family: family.id)
def test_without_taesd_each_step_shows_the_latents_in_the_familys_colours(family: Any, tmp_path: Path) -> None:
    previewer = Previewer(family, device="cpu", models=tmp_path)
    for index in range(3):
        estimate = _estimate(channels=len(family.latent_rgb)) * (index + 1) / 2
        rgb = np.einsum("chw,cr->hwr", estimate[0].numpy(), np.asarray(family.latent_rgb, np.float32))
        expected = np.floor(np.clip(rgb * 0.5 + 0.5, 0, 1) * 255 + 0.5)
        shown = previewer.show(estimate, index)
        assert shown is not None
        assert (shown.shape, shown.dtype) == ((16, 24, 3), np.uint8)
        assert np.abs(shown - expected).max() <= 1  # where a sum lies on the edge of a byte
        assert np.mean(shown != expected) < 0.01
    assert previewer.notes == ()


def test_the_first_of_several_pictures_is_shown(tmp_path: Path) -> None:
    estimate = _estimate(pictures=3)
    both = Previewer(SD15, device="cpu", models=tmp_path).show(estimate, 0)
    first = Previewer(SD15, device="cpu", models=tmp_path).show(estimate[:1], 0)
    np.testing.assert_array_equal(both, first)


# ---------------------------------------------------------------------------------------------- TAESD


@pytest.mark.parametrize("name", ["taesd", "madebyollin/taesd"])
def test_a_taesd_in_the_models_folder_decodes_the_preview(name: str, tmp_path: Path) -> None:
    tiny, estimate = _build(tmp_path / name), _estimate()
    shown = Previewer(SD15, device="cpu", models=tmp_path).show(estimate, 0)
    assert shown is not None
    assert shown.shape == (128, 192, 3)
    assert np.ptp(shown) > 20  # something is to be seen
    np.testing.assert_array_equal(shown, _decoded(tiny, estimate))


def test_a_taesd_in_the_hubs_cache_is_used(tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--madebyollin--taesdxl"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    tiny = _build(repository / "snapshots" / "abc")
    estimate = _estimate()
    shown = Previewer(FAMILIES[FamilyId.SDXL], device="cpu", models=tmp_path).show(estimate, 0)
    np.testing.assert_array_equal(shown, _decoded(tiny, estimate))
    assert taesd.find(SD15, tmp_path) is None


def test_a_decoder_by_itself_as_its_author_names_it_is_used(tmp_path: Path) -> None:
    tiny, estimate = _build(tmp_path / "elsewhere"), _estimate()
    tensors = {
        f"{int(key.split('.')[1]) + 1}.{key.split('.', 2)[2]}": tensor
        for key, tensor in tiny.decoder.state_dict().items()
    }
    assert {"1.weight", "3.conv.0.weight", "7.weight", "19.bias"} <= tensors.keys()
    (tmp_path / "vae_approx").mkdir()
    save_file(tensors, tmp_path / "vae_approx" / "taesd_decoder.safetensors")
    shown = Previewer(SD15, device="cpu", models=tmp_path).show(estimate, 0)
    np.testing.assert_array_equal(shown, _decoded(tiny, estimate))


def test_new_files_are_read_anew(tmp_path: Path) -> None:
    estimate = _estimate()
    _build(tmp_path / "taesd")
    Previewer(SD15, device="cpu", models=tmp_path).show(estimate, 0)
    (tmp_path / "taesd" / "diffusion_pytorch_model.safetensors").unlink()
    other = _build(tmp_path / "taesd", seed=1)
    shown = Previewer(SD15, device="cpu", models=tmp_path).show(estimate, 0)
    np.testing.assert_array_equal(shown, _decoded(other, estimate))


def test_a_large_picture_is_decoded_by_tiles_without_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _build(tmp_path / "taesd")
    latents = _estimate(side=52)[0]
    decoder = taesd.TinyDecoder(tmp_path / "taesd", device="cpu", dtype=torch.float32)
    with torch.inference_mode():
        whole = decoder.picture(latents).float()
        monkeypatch.setattr(taesd, "_TILE", 24)
        tiled = decoder.picture(latents).float()
        monkeypatch.setattr(taesd, "_MARGIN", 0)
        cut = decoder.picture(latents).float()
    assert tiled.shape == whole.shape == (416, 480, 3)
    assert (tiled - whole).abs().max() <= 1
    assert (cut - whole).abs().max() > 3  # so the margin is what does it


def test_a_preview_larger_than_is_worth_sending_is_halved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny, estimate = _build(tmp_path / "taesd"), _estimate()
    monkeypatch.setattr(previews, "_TAESD_SIDE_PX", 100)
    shown = Previewer(SD15, device="cpu", models=tmp_path).show(estimate, 0)
    assert shown is not None
    means = _decoded(tiny, estimate).reshape(64, 2, 96, 2, 3).mean(axis=(1, 3))
    assert shown.shape == means.shape
    assert np.abs(shown - means).max() <= 0.5


def test_taesd_takes_no_more_than_its_share_of_the_time(tmp_path: Path) -> None:
    _build(tmp_path / "taesd")
    clock = Clock()
    previewer = Previewer(SD15, device="cpu", models=tmp_path, clock=clock)
    estimate = _estimate()
    assert previewer.show(estimate, 0) is not None
    assert previewer.show(estimate, 1) is None
    clock.now += 1000
    assert previewer.show(estimate, 2) is not None
    assert previewer.show(estimate, 0) is not None  # the next picture's first


@pytest.mark.parametrize("damage", ["cut off", "pickled", "no config", "another model"])
def test_a_taesd_that_cannot_be_read_is_noted_and_done_without(damage: str, tmp_path: Path) -> None:
    _build(tmp_path / "taesd")
    weights, config = tmp_path / "taesd" / "diffusion_pytorch_model.safetensors", tmp_path / "taesd" / "config.json"
    match damage:
        case "cut off":
            weights.write_bytes(weights.read_bytes()[:-100])
        case "pickled":
            weights.rename(weights.with_suffix(".bin"))
        case "no config":
            config.unlink()
        case _:
            config.write_text(config.read_text().replace("8,", "16,"))
    previewer = Previewer(SD15, device="cpu", models=tmp_path)
    (note,) = previewer.notes
    assert "TAESD" in note
    shown = previewer.show(_estimate(), 0)
    assert shown is not None
    assert shown.shape == (16, 24, 3)


def test_no_memory_for_taesd_is_no_reason_to_lose_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _build(tmp_path / "taesd")
    previewer = Previewer(SD15, device="cpu", models=tmp_path)

    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(taesd.TinyDecoder, "picture", full)
    shown = previewer.show(_estimate(), 0)
    assert shown is not None
    assert shown.shape == (16, 24, 3)
    assert "memory" in previewer.notes[0]


# ---------------------------------------------------------------------------------------------- a GPU's order


class Device:
    """A GPU's clock and queue: what is recorded is over once the test says so."""

    def __init__(self) -> None:
        self.queue: deque[Any] = deque()

    def now(self) -> Any:
        event = Event()
        self.queue.append(event)
        return event

    def finish(self, pictures: int) -> None:
        for _ in range(2 * pictures):
            self.queue.popleft().over = True


class Event:
    def __init__(self) -> None:
        self.over = False

    def query(self) -> bool:
        return self.over

    def elapsed_time(self, _: "Event") -> float:
        return 250.0  # milliseconds

    def synchronize(self) -> None:
        raise AssertionError("the loop would wait for the device")


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    """Pictures come as from MPS, whose host memory needs no pinning, in the order that the device gets to them."""
    device = Device()
    monkeypatch.setattr(Arrivals, "_now", lambda _: device.now())
    return device


def _previewer(models: Path, clock: Clock) -> Previewer:
    previewer = Previewer(SD15, device="cpu", models=models, clock=clock)
    previewer._arrivals = Arrivals("mps")
    return previewer


def test_a_gpus_pictures_come_when_they_are_done_and_the_newest_only(device: Device, tmp_path: Path) -> None:
    previewer = _previewer(tmp_path, Clock())
    on_the_cpu = Previewer(SD15, device="cpu", models=tmp_path)
    estimates = [_estimate() * factor for factor in (0.5, 1.0, 1.5, 2.0, 2.5)]
    expected = [on_the_cpu.show(estimate, 0) for estimate in estimates]
    assert previewer.show(estimates[0], 0) is None
    assert previewer.show(estimates[1], 1) is None
    assert previewer.show(estimates[2], 2) is None  # two are under way: this one is not made
    device.finish(2)
    np.testing.assert_array_equal(previewer.show(estimates[3], 3), expected[1])
    device.finish(1)
    np.testing.assert_array_equal(previewer.show(estimates[4], 4), expected[3])


def test_a_new_batch_is_not_shown_what_the_one_before_left_behind(device: Device, tmp_path: Path) -> None:
    previewer = _previewer(tmp_path, Clock())
    previewer.show(_estimate(), 5)
    device.finish(1)
    assert previewer.show(_estimate(), 0) is None


def test_what_taesd_took_the_gpu_spaces_its_previews(device: Device, tmp_path: Path) -> None:
    _build(tmp_path / "taesd")
    clock = Clock()
    previewer = _previewer(tmp_path, clock)
    previewer.show(_estimate(), 0)
    clock.now += 1
    device.finish(1)
    assert previewer.show(_estimate(), 1) is not None  # and the next is under way
    clock.now += 1
    device.finish(1)
    assert previewer.show(_estimate(), 2) is not None
    clock.now += 4.5  # of the 5 seconds of which 0.25 are a twentieth
    assert previewer.show(_estimate(), 3) is None
    assert not device.queue
    clock.now += 1
    previewer.show(_estimate(), 4)
    assert device.queue
