"""Control images through hint encoders, kept by their content."""

import gc

import numpy as np
import pytest
import torch
from tiny_models import tiny_controlnet, tiny_unet
from underpaint.backend.worker.sampling.hints import ControlImage, HintCache, control_tensor

UNET = tiny_unet("sd15")
BYTES = 32 * 8 * 8 * 4  # of an embedding of 64 x 64 pixels


def picture(seed: int, height: int = 64, width: int = 64) -> ControlImage:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def embedding(cache: HintCache, net: object, image: ControlImage, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return cache.embedding(net, image, device=torch.device("cpu"), dtype=dtype)


def test_an_image_is_encoded_once_for_each_net_and_number_format() -> None:
    cache, net, other = HintCache(), tiny_controlnet(UNET, 1), tiny_controlnet(UNET, 2)
    first = embedding(cache, net, picture(1))
    assert first.shape == (1, 32, 8, 8)
    assert embedding(cache, net, picture(1)) is first  # another array with the same content
    assert cache.encoded == 1
    assert not torch.equal(embedding(cache, other, picture(1)), first)
    assert not torch.equal(embedding(cache, net, picture(2)), first)
    assert embedding(cache, net, picture(1).astype(np.float32) / 255).shape == first.shape
    assert embedding(cache, net.to(torch.bfloat16), picture(1), torch.bfloat16).dtype == torch.bfloat16
    assert cache.encoded == 5


def test_the_same_bytes_in_another_shape_are_another_image() -> None:
    cache, net, image = HintCache(), tiny_controlnet(UNET, 1), picture(1, 64, 32)
    assert embedding(cache, net, image).shape == (1, 32, 8, 4)
    assert embedding(cache, net, image.reshape(32, 64, 3)).shape == (1, 32, 4, 8)


def test_at_most_so_many_bytes_are_kept_and_the_oldest_go() -> None:
    cache, net = HintCache(capacity_bytes=2 * BYTES), tiny_controlnet(UNET, 1)
    for seed in (1, 2, 1, 3):  # 2 is the one not asked for the longest
        embedding(cache, net, picture(seed))
    assert (cache.encoded, cache.held_bytes) == (3, 2 * BYTES)
    embedding(cache, net, picture(1))
    assert cache.encoded == 3
    embedding(cache, net, picture(2))
    assert (cache.encoded, cache.held_bytes) == (4, 2 * BYTES)


def test_an_image_too_large_to_keep_is_encoded_all_the_same() -> None:
    cache, net = HintCache(capacity_bytes=BYTES - 1), tiny_controlnet(UNET, 1)
    assert torch.equal(embedding(cache, net, picture(1)), embedding(cache, net, picture(1)))
    assert (cache.encoded, cache.held_bytes) == (2, 0)


def test_what_a_net_made_goes_with_it() -> None:
    cache, net, other = HintCache(), tiny_controlnet(UNET, 1), tiny_controlnet(UNET, 2)
    embedding(cache, net, picture(1))
    embedding(cache, other, picture(1))
    del net
    gc.collect()
    assert cache.held_bytes == BYTES
    embedding(cache, tiny_controlnet(UNET, 3), picture(1))  # perhaps where the first one was
    assert cache.encoded == 3
    cache.clear()
    assert cache.held_bytes == 0
    embedding(cache, other, picture(1))
    assert cache.encoded == 4


@pytest.mark.parametrize("transposed", [False, True])
def test_bytes_become_zero_to_one_and_floats_stay(transposed: bool) -> None:
    image = picture(1)
    if transposed:
        image = image.transpose(1, 0, 2)  # not contiguous
    tensor = control_tensor(image, device="cpu", dtype=torch.float32)
    assert tensor.shape == (1, 3, 64, 64)
    assert torch.equal(tensor[0, :, 5, 9], torch.from_numpy(image[5, 9].copy()).float() / 255)
    holes = np.full((8, 8, 3), -1, np.float32)
    assert torch.equal(control_tensor(holes, device="cpu", dtype=torch.float32), torch.full((1, 3, 8, 8), -1.0))
