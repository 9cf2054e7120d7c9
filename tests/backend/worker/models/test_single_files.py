"""Single files paint the same picture as the diffusers folder that they were made from, to the bit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import single_files
from single_files import Family
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.worker.jobs import JobRunner
from underpaint.protocol.geometry import Extent
from underpaint.protocol.request import Control, ControlKind, GenerateRequest, Precision, Start
from worker_runner import Job, make_runner
from worker_scene import depth_pass

FAMILIES: tuple[Family, ...] = ("sd15", "sd2", "sdxl")
SIZE = Extent(width=64, height=64)


Parts = dict[str, dict[str, Any]]
Paint = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("single")


@pytest.fixture(scope="module")
def parts(home: Path) -> Parts:
    """The modules of the folders `home / family`, and "sd15-inpaint" among them."""
    made = {family: single_files.build_folder(family, home / family) for family in FAMILIES}
    return made | {"sd15-inpaint": single_files.build_folder("sd15", home / "sd15-inpaint", in_channels=9)}


@pytest.fixture(scope="module")
def painter(home: Path, blobs: BlobStore) -> JobRunner:
    return make_runner(blobs, home)


@pytest.fixture
def paint(painter: JobRunner, blobs: BlobStore) -> Paint:
    """The picture of a small request."""

    def painted(checkpoint: Path, **changes: Any) -> np.ndarray:
        request = GenerateRequest(
            prompt="a photo of a cat, café", negative_prompt="blurry", checkpoint=str(checkpoint), size=SIZE, steps=2,
            seed=7, precision=Precision.FLOAT32, **changes,
        )  # fmt: skip
        return blobs.read_array(Job(painter, request).run().images[0])

    return painted


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_file_paints_what_its_folder_paints(
    family: Family, parts: Parts, home: Path, paint: Paint
) -> None:
    file = single_files.save(single_files.ldm_checkpoint(family, parts[family]), home / f"{family}.safetensors")
    from_folder = paint(home / family)
    assert np.array_equal(paint(file), from_folder)
    assert from_folder.std() > 5  # of 255: there is something to see


def test_an_inpainting_file_fills_the_hole_that_its_folder_fills(
    parts: Parts, home: Path, paint: Paint, blobs: BlobStore
) -> None:
    tensors = single_files.ldm_checkpoint("sd15", parts["sd15-inpaint"])
    file = single_files.save(tensors, home / "sd15-inpaint.safetensors")
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 16:48] = 255
    picture = np.random.default_rng(3).integers(0, 255, (64, 64, 3), np.uint8)
    start = Start(image=blobs.write_array(picture), mask=blobs.write_array(mask), strength=1.0)
    assert np.array_equal(paint(file, start=start), paint(home / "sd15-inpaint", start=start))


@pytest.mark.parametrize(
    ("family", "layout"),
    [("sd15", "ldm"), ("sd2", "ldm"), ("sdxl", "ldm"), ("sd15", "ldm with prefix"), ("sdxl", "diffusers")],
)
def test_a_controlnet_file_steers_as_its_folder(
    family: Family, layout: str, parts: Parts, home: Path, paint: Paint, blobs: BlobStore
) -> None:
    module = single_files.net(family)
    folder = home / f"{family}-net"
    module.save_pretrained(folder)
    tensors = module.state_dict() if layout == "diffusers" else single_files.ldm_unet(module)
    if layout == "ldm with prefix":
        tensors = {f"control_model.{key}": tensor for key, tensor in tensors.items()}
    file = single_files.save(tensors, home / f"{family}-{layout.replace(' ', '-')}-net.safetensors")

    def steered(net: Path) -> np.ndarray:
        control = Control(kind=ControlKind.DEPTH, source=depth_pass(blobs, SIZE), controlnet=str(net))
        return paint(home / family, controls=(control,))

    picture = steered(file)
    assert np.array_equal(picture, steered(folder))
    assert not np.array_equal(picture, paint(home / family))


@pytest.mark.parametrize("modes", [6, 8])
def test_a_union_file_steers_as_its_folder(
    modes: int, parts: Parts, home: Path, paint: Paint, blobs: BlobStore
) -> None:
    module = single_files.union(modes)
    module.save_pretrained(home / f"union{modes}")
    file = single_files.save(module.state_dict(), home / f"union{modes}.safetensors")

    def steered(net: Path) -> np.ndarray:
        control = Control(kind=ControlKind.DEPTH, source=depth_pass(blobs, SIZE), controlnet=str(net))
        return paint(home / "sdxl", controls=(control,))

    assert np.array_equal(steered(file), steered(home / f"union{modes}"))
