"""The cells of `make families`: whatever a family is claimed to do, done once by a real job runner, without a network.

A cell's figure is reported whether it is claimed or not; `tools/families.py` holds claims against them.
"""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SIZE, Cell
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.worker.families import FAMILIES, Family, FamilyId, Feature
from underpaint.backend.worker.jobs import JobRunner
from underpaint.protocol import png_text, record
from underpaint.protocol.arrays import ArrayRef, UInt8Array
from underpaint.protocol.request import Control, ControlKind, GenerateRequest, Lora, Start
from underpaint.protocol.sources import ReadyMap
from worker_runner import Job, make_runner

Asked = Callable[..., GenerateRequest]
KINDS = (ControlKind.DEPTH, ControlKind.CANNY, ControlKind.OPENPOSE)
MANY = 3  # controls that are tried of a family that takes any number

CHECKPOINTS = {FamilyId.SD15: "sd15", FamilyId.SD2: "sd21"}  # the others' are named as the family is
NETS = {
    FamilyId.SD15: ("sd15-a", "sd15-b", "sd15-c"),
    FamilyId.SD2: ("sd21-a", "sd21-b", "sd21-c"),
    FamilyId.SDXL: ("sdxl-a", "sdxl-b", "sdxl-c"),
    FamilyId.SD3: ("sd3-depth", "sd3-canny", "sd3-depth"),
    FamilyId.FLUX: ("flux-union", "flux-canny", "flux-union"),
    FamilyId.QWEN_IMAGE: ("qwen-union", "qwen-union", "qwen-union"),
    FamilyId.Z_IMAGE: ("z-union",),
}

pytestmark = pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.id)


@pytest.fixture(scope="module")
def painter(models: Path, blobs: BlobStore) -> JobRunner:
    """A runner over a folder that holds the families with UNets as well."""
    from parity_models import build

    build(models)
    return make_runner(blobs, models)


@pytest.fixture
def paint(painter: JobRunner, blobs: BlobStore, asked: Asked) -> Callable[..., UInt8Array]:
    """A family's picture, which has to be one: of the right size, and neither black nor flat."""

    def painted(family: Family, **changes: Any) -> UInt8Array:
        fields: dict[str, Any] = {"checkpoint": CHECKPOINTS.get(family.id, str(family.id)), **changes}
        image = blobs.read_array(Job(painter, asked(**fields)).run().images[0])
        assert (image.shape, image.dtype) == ((SIZE.height, SIZE.width, 3), np.uint8)
        assert image.std() > 3
        return image

    return painted


Paint = Callable[..., UInt8Array]


def test_tells_what_it_claims(family: Family, figure: Callable[[dict[str, object]], None]) -> None:
    figure({"family": family.id, "title": family.title, "claims": sorted(family.features)})
    assert family.features >= {Feature.FOLDER, Feature.TEXT_TO_IMAGE}


def test_loads_from_a_folder(family: Family, cell: Cell, paint: Paint) -> None:
    with cell(family.id, Feature.FOLDER):
        paint(family, steps=2)


def test_paints_from_text(family: Family, cell: Cell, paint: Paint) -> None:
    with cell(family.id, Feature.TEXT_TO_IMAGE):
        first = paint(family)
        np.testing.assert_array_equal(paint(family), first)
        assert (paint(family, prompt="the red chair of the room") != first).any()
        assert (paint(family, seed=8) != first).mean() > 0.5


def test_paints_from_a_picture(family: Family, cell: Cell, paint: Paint, picture: ArrayRef, blobs: BlobStore) -> None:
    with cell(family.id, Feature.IMAGE_TO_IMAGE):
        noise = paint(family)
        weak = paint(family, steps=4, start=Start(image=picture, strength=0.25))
        strong = paint(family, steps=4, start=Start(image=picture, strength=1.0))
        assert (weak != noise).mean() > 0.5
        assert (weak != strong).mean() > 0.5
        kept = paint(family, start=Start(image=picture, strength=0.0))
        np.testing.assert_array_equal(kept, blobs.read_array(picture))


def test_inpaints(
    family: Family, cell: Cell, paint: Paint, picture: ArrayRef, mask: ArrayRef, blobs: BlobStore
) -> None:
    with cell(family.id, Feature.INPAINT):
        image = paint(family, start=Start(image=picture, mask=mask, strength=0.9))
        before, painted = blobs.read_array(picture), blobs.read_array(mask) > 0
        np.testing.assert_array_equal(image[~painted], before[~painted])
        assert (image[painted] != before[painted]).mean() > 0.5


def test_follows_controls(family: Family, cell: Cell, paint: Paint, picture: ArrayRef, blobs: BlobStore) -> None:
    count = family.most_controls or MANY
    with cell(family.id, Feature.CONTROLS, "any" if family.most_controls is None else str(count)):
        pixels = blobs.read_array(picture)
        controls = tuple(
            Control(
                kind=kind,
                source=ReadyMap(image=blobs.write_array(np.ascontiguousarray(np.roll(pixels, 9 * index, axis=1)))),
                controlnet=net,
            )
            for index, (kind, net) in enumerate(zip(KINDS, NETS[family.id], strict=False))
        )
        assert len(controls) == count
        pictures = [paint(family, controls=controls[:used]) for used in range(count + 1)]
        for fewer, more in itertools.pairwise(pictures):
            assert (fewer != more).any()  # each of them counts


def test_takes_a_lora(family: Family, cell: Cell, paint: Paint, models: Path, tmp_path: Path) -> None:
    with cell(family.id, Feature.LORA):
        file = tmp_path / "style.safetensors"
        if family.stock is not None:
            from family_models import build_lora

            build_lora(models, family.id, file)
        else:
            from lora_files import lora
            from underpaint.backend.worker.models.inspection import inspect_checkpoint

            name = CHECKPOINTS.get(family.id, str(family.id))
            lora(inspect_checkpoint(models / name, name), file, "kohya")
        plain, with_lora = paint(family), paint(family, loras=(Lora(lora=str(file), weight=0.8),))
        assert (plain != with_lora).any()
        np.testing.assert_array_equal(paint(family), plain)


def test_shows_previews(family: Family, cell: Cell, painter: JobRunner, asked: Asked) -> None:
    if Feature.PREVIEWS not in family.features:
        assert (family.latent_rgb, family.tiny_decoder) == ((), "")
        return
    with cell(family.id, Feature.PREVIEWS):
        job = Job(painter, asked(checkpoint=CHECKPOINTS.get(family.id, str(family.id))))
        job.run()
        assert [preview.shape for preview in job.previews] == [(SIZE.height // 8, SIZE.width // 8, 3)] * 3
        assert job.previews[-1].std() > 1


def test_loads_from_a_single_file(family: Family, cell: Cell, blobs: BlobStore, asked: Asked, tmp_path: Path) -> None:
    """The file holds the folder's weights by other programs' names, and paints what the folder paints."""
    if Feature.SINGLE_FILE not in family.features:
        return
    import single_files

    with cell(family.id, Feature.SINGLE_FILE):
        parts = single_files.build_folder(family.id.value, tmp_path / "folder")
        file = single_files.save(single_files.ldm_checkpoint(family.id.value, parts), tmp_path / "file.safetensors")
        fresh = make_runner(blobs, tmp_path)
        folder, single = (
            blobs.read_array(Job(fresh, asked(checkpoint=str(place))).run().images[0])
            for place in (tmp_path / "folder", file)
        )
        assert single.std() > 3
        np.testing.assert_array_equal(single, folder)


def test_replays_a_picture_from_its_file(
    family: Family, cell: Cell, models: Path, blobs: BlobStore, asked: Asked, painter: JobRunner, picture: ArrayRef
) -> None:
    """From the PNG alone, by a runner that has never seen the job."""
    with cell(family.id, Feature.REPLAY):
        control = Control(kind=KINDS[0], source=ReadyMap(image=picture), controlnet=NETS[family.id][0])
        request = asked(checkpoint=CHECKPOINTS.get(family.id, str(family.id)), controls=(control,))
        result = Job(painter, request).run()
        png = png_text.with_texts(
            _png(blobs.read_array(result.images[0])), record.texts(request, result, job_id="1" * 32)
        )
        found = record.read(png)
        assert found is not None
        assert {model.reference for model in found.models} >= {control.controlnet, request.checkpoint}
        again = Job(make_runner(blobs, models), replace(record.replay(found).request)).run()
        assert again.images == result.images
        assert {model.sha256 for model in again.models} == {model.sha256 for model in found.models}


def _png(image: UInt8Array) -> bytes:
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()
