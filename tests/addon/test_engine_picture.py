"""The picture that was painted is the picture that is shown, saved and kept; known pictures go through F12."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
import numpy as np
import pytest
from underpaint.addon import engine, images
from underpaint.addon.generation import Outcome, build_request
from underpaint.protocol.arrays import UInt8Array, encode, reference
from underpaint.protocol.request import ControlKind

WIDTH, HEIGHT = 128, 96


def colour_chart() -> UInt8Array:
    """Every grey, every pure ramp, and noise; no symmetry, so that a flip shows."""
    chart = np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    ramp = np.arange(0, 256, 2, dtype=np.uint8)
    for channel in range(3):
        chart[channel * 8 : channel * 8 + 8] = 0
        chart[channel * 8 : channel * 8 + 8, :, channel] = ramp
    chart[24:32] = ramp[:, None]
    chart[32:40] = ramp[::-1, None] + 1
    return chart


MAPS = {
    ControlKind.DEPTH: np.full((HEIGHT, WIDTH, 3), 64, np.uint8),
    ControlKind.NORMAL: np.full((HEIGHT, WIDTH, 3), (128, 64, 255), np.uint8),
    ControlKind.OPENPOSE: np.full((HEIGHT, WIDTH, 3), (0, 255, 85), np.uint8),
}


@pytest.fixture
def chart(monkeypatch: pytest.MonkeyPatch) -> UInt8Array:
    """Has the engine receive the colour chart where the backend's picture would come in."""
    picture = colour_chart()

    def known(connection: Any, settings: Any, capture: Any, **_: Any) -> Outcome:
        settings = settings.for_people(1)
        request = build_request(settings, capture, lambda array: reference(array, encode(array)))
        return Outcome(
            pictures=(picture,),
            maps=dict(MAPS),
            request=request,
            job=SimpleNamespace(id="0" * 32, result=None),
            timings=(),
        )

    monkeypatch.setattr(engine, "generate", known)
    monkeypatch.setattr(engine.client, "ensure_running", lambda: SimpleNamespace(close=lambda: None))
    return picture


@pytest.fixture
def rendered(tmp_path: Path) -> Iterator[Any]:
    """Renders a scene and gives back the saved file's bytes, (height, width, 4), row 0 at the top."""
    count = 0

    def render(scene: Any, mode: str = "RGB") -> UInt8Array:
        nonlocal count
        count += 1
        scene.render.filepath = str(tmp_path / f"{count}.png")
        scene.render.image_settings.file_format, scene.render.image_settings.color_mode = "PNG", mode
        bpy.ops.render.render(write_still=True, scene=scene.name)
        return saved(Path(scene.render.filepath))

    return render


def saved(path: Path) -> UInt8Array:
    image = bpy.data.images.load(str(path))
    image.colorspace_settings.name = "Non-Color"
    width, height = image.size
    values = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(values)
    bpy.data.images.remove(image)
    return np.rint(values.reshape(height, width, 4)[::-1] * 255).astype(np.uint8)


def difference(one: UInt8Array, other: UInt8Array) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def test_a_saved_render_is_the_picture_under_standard(scene: Any, chart: UInt8Array, rendered: Any) -> None:
    assert difference(rendered(scene)[..., :3], chart) == 0
    scene.render.dither_intensity = 1.0  # Blender's default
    assert difference(rendered(scene)[..., :3], chart) <= 1


@pytest.mark.parametrize("view", ["AgX", "Filmic", "Standard"])
def test_the_image_datablock_is_exact_under_any_view(scene: Any, chart: UInt8Array, rendered: Any, view: str) -> None:
    scene.view_settings.view_transform = view
    shown = rendered(scene)[..., :3]
    assert (difference(shown, chart) > 10) == (view != "Standard")
    (image,) = images.results()
    values = np.empty(WIDTH * HEIGHT * 4, np.float32)
    image.pixels.foreach_get(values)
    kept = np.rint(values.reshape(HEIGHT, WIDTH, 4)[::-1] * 255).astype(np.uint8)
    np.testing.assert_array_equal(kept[..., :3], chart)
    assert (kept[..., 3] == 255).all()


def test_a_transparent_film_keeps_the_subject_alone(scene: Any, chart: UInt8Array, rendered: Any) -> None:
    assert (rendered(scene, "RGBA")[..., 3] == 255).all()
    scene.render.film_transparent = True
    cut = rendered(scene, "RGBA")
    subject = cut[..., 3] == 255
    assert 0.05 < subject.mean() < 0.5
    assert set(np.unique(cut[..., 3])) == {0, 255}
    assert difference(cut[subject][:, :3], chart[subject]) == 0


@pytest.mark.parametrize("crop", [False, True])
def test_a_render_region_shows_its_part_of_the_picture(
    scene: Any, chart: UInt8Array, rendered: Any, crop: bool
) -> None:
    render = scene.render
    render.use_border, render.use_crop_to_border = True, crop
    render.border_min_x, render.border_max_x, render.border_min_y, render.border_max_y = 0.25, 0.8, 0.1, 0.55
    shown = rendered(scene, "RGBA")
    part = slice(HEIGHT - int(0.55 * HEIGHT), HEIGHT - int(0.1 * HEIGHT)), slice(int(0.25 * WIDTH), int(0.8 * WIDTH))
    expected = chart[part]
    if not crop:
        outside = np.ones((HEIGHT, WIDTH), bool)
        outside[part] = False
        assert not shown[outside].any()
        shown = shown[part]
    assert shown.shape[:2] == expected.shape[:2]
    assert difference(shown[..., :3], expected) == 0


def test_every_view_layer_shows_the_picture(scene: Any, chart: UInt8Array, rendered: Any) -> None:
    scene.view_layers.new("Second")
    assert difference(rendered(scene)[..., :3], chart) == 0
    scene.view_layers[0].use = False
    assert difference(rendered(scene)[..., :3], chart) == 0


def test_persistent_data_paints_every_frame(scene: Any, chart: UInt8Array, rendered: Any) -> None:
    scene.render.use_persistent_data = True
    rendered(scene)
    chart[:] = 255 - chart
    assert difference(rendered(scene)[..., :3], chart) == 0


def test_freestyle_draws_its_lines_over_the_picture(scene: Any, chart: UInt8Array, rendered: Any) -> None:
    scene.render.use_freestyle = True
    shown = rendered(scene)[..., :3]
    same = (shown == chart).all(axis=-1)
    assert 0.5 < same.mean() < 1.0


def test_the_control_maps_are_passes_of_a_multilayer_file(scene: Any, chart: UInt8Array, tmp_path: Path) -> None:
    settings = scene.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "MULTI_LAYER_IMAGE"
        settings.use_exr_interleave = True
    settings.file_format, settings.color_depth, settings.exr_codec = "OPEN_EXR_MULTILAYER", "32", "NONE"
    scene.render.filepath = str(tmp_path / "passes.exr")
    bpy.ops.render.render(write_still=True)
    channels = exr_channels((tmp_path / "passes.exr").read_bytes())
    layer = scene.view_layers[0].name
    for name, kind in {"Depth": "DEPTH", "Normal": "NORMAL", "Pose": "OPENPOSE"}.items():
        for component, expected in zip("RGB", MAPS[ControlKind[kind]][0, 0], strict=True):
            plane = channels[f"{layer}.Control {name}.{component}"]
            encoded = np.where(plane <= 0.0031308, plane * 12.92, 1.055 * np.abs(plane) ** (1 / 2.4) - 0.055)
            np.testing.assert_allclose(encoded * 255, expected, atol=0.01)
    assert channels[f"{layer}.Depth.Z"].max() == pytest.approx(1e10)
    assert channels[f"{layer}.Depth.Z"].min() < 20


def exr_channels(data: bytes) -> dict[str, np.ndarray]:
    """An uncompressed scan-line EXR of 32-bit floats, by channel."""
    import struct

    names, position = [], 8
    while data[position]:
        end = data.index(0, position)
        attribute = data[position:end].decode()
        kind_end = data.index(0, end + 1)
        (size,) = struct.unpack_from("<i", data, kind_end + 1)
        value = data[kind_end + 5 : kind_end + 5 + size]
        if attribute == "channels":
            at = 0
            while value[at]:
                stop = value.index(0, at)
                assert struct.unpack_from("<i", value, stop + 1)[0] == 2  # 32-bit float
                names.append(value[at:stop].decode())
                at = stop + 17
        position = kind_end + 5 + size
    offsets = struct.unpack_from(f"<{HEIGHT}Q", data, position + 1)
    rows = [np.frombuffer(data, "<f4", len(names) * WIDTH, offset + 8).reshape(len(names), WIDTH) for offset in offsets]
    return dict(zip(names, np.stack(rows, axis=1), strict=True))


def test_material_and_light_panels_stay_under_our_engine() -> None:
    for name in ("MATERIAL_PT_custom_props", "RENDER_PT_format", "CYCLES_MATERIAL_PT_surface", "CYCLES_LIGHT_PT_light"):
        assert "UNDERPAINT" in getattr(bpy.types, name).COMPAT_ENGINES
    assert "UNDERPAINT" not in bpy.types.CYCLES_RENDER_PT_sampling.COMPAT_ENGINES
