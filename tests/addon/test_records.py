"""What a picture's file says of how it was made, written by Blender itself, and its way back into a scene."""

from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from underpaint.addon import api, images, model_list
from underpaint.protocol import png_text, record
from underpaint.protocol.client import Connection
from underpaint.protocol.geometry import Extent
from underpaint.protocol.models import ModelPage
from underpaint.protocol.request import GenerateRequest, Lora, Scheduler

FOREIGN = """a (red:1.2) barn, <lora:fog:0.5>
Negative prompt: people
Steps: 24, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6, Seed: 77, Size: 128x96, Model hash: 0123456789, \
Model: dreamer, Clip skip: 2, Version: v1.10.1"""


def foreign(path: Path, text: str = FOREIGN) -> Path:
    from underpaint.addon import png

    plain = png.encoded(np.zeros((96, 128, 3), np.uint8))
    path.write_bytes(png_text.with_texts(plain, {"parameters": text}))
    return path


def test_a_picture_saved_from_the_history_brings_its_settings_back(
    scene: Any, backend: Connection, tmp_path: Path
) -> None:
    settings = scene.underpaint
    settings.prompt, settings.steps, settings.seed, settings.scheduler = "Bär am Fluß", 2, 5, "EULER"
    result = api.generate(scene, size=(128, 96), seeds=[5, 6])
    for number, image in enumerate(result.images):
        path = tmp_path / f"{number}.png"
        path.write_bytes(image.packed_file.data)
        found = record.read(path.read_bytes())
        assert found is not None
        assert (found.job_id, found.picture) == (result.job_id, number)
        assert record.alone(found.request, number) == images.request_of(image)
        settings.prompt, settings.steps, settings.seed, settings.scheduler = "other", 9, 1, "DDIM"
        bpy.ops.underpaint.restore_picture(filepath=str(path))
        assert (settings.prompt, settings.steps, settings.seed) == ("Bär am Fluß", 2, 5 + number)
        assert (settings.scheduler, settings.pictures) == ("EULER", 1)


def test_a_rendered_file_says_how_it_was_made(scene: Any, backend: Connection, tmp_path: Path) -> None:
    settings = scene.underpaint
    settings.prompt, settings.steps, settings.seed = "a quay", 2, 3
    scene.render.filepath = str(tmp_path / "frame.png")
    scene.render.image_settings.file_format = "PNG"
    bpy.ops.render.render(write_still=True)
    data = (tmp_path / "frame.png").read_bytes()
    assert png_text.texts(data)["parameters"].startswith("a quay\nSteps: 2, Sampler: UniPC")
    found = record.read(data)
    assert found is not None
    assert (found.request.prompt, found.request.seed, found.request.steps) == ("a quay", 3, 2)
    assert {control.kind.name for control in found.request.controls} == {"DEPTH", "NORMAL"}
    settings.prompt = ""
    bpy.ops.underpaint.restore_picture(filepath=str(tmp_path / "frame.png"))
    assert settings.prompt == "a quay"


def test_the_same_settings_paint_the_same_picture_again(scene: Any, backend: Connection, tmp_path: Path) -> None:
    settings = scene.underpaint
    settings.prompt, settings.steps, settings.seed = "a mill", 2, 11
    first = api.generate(scene, size=(128, 96))
    path = tmp_path / "mill.png"
    path.write_bytes(first.image.packed_file.data)
    settings.prompt, settings.seed = "nothing of the kind", 0
    bpy.ops.underpaint.restore_picture(filepath=str(path))
    assert np.array_equal(api.generate(scene, size=(128, 96)).picture, first.picture)


def test_a_picture_of_another_program_is_understood_and_what_is_missing_is_named(
    scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from test_extras import entry
    from underpaint.protocol.models import ModelKind

    page = ModelPage(models=(entry(ModelKind.LORA, "fog"),), folders=(), scanning=False, revision=1)
    monkeypatch.setattr(model_list, "_page", page)
    told: list[str] = []
    from underpaint.addon import records

    told = records.restore(str(foreign(tmp_path / "theirs.png")), scene)
    settings = scene.underpaint
    assert (settings.steps, settings.seed, settings.guidance_scale) == (24, 77, 6.0)
    assert (settings.scheduler, settings.sigmas) == ("DPMPP_2M", "KARRAS")
    assert (settings.extras.clip_skip, settings.negative_prompt) == (1, "people")
    assert (scene.render.resolution_x, scene.render.resolution_y) == (128, 96)
    assert any("dreamer" in sentence for sentence in told)
    assert not any("fog" in sentence for sentence in told)


def test_the_models_are_asked_for_where_no_list_is_there_yet(
    scene: Any, backend: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from underpaint.addon import records

    monkeypatch.setattr(model_list, "_page", ModelPage(models=(), folders=(), scanning=False, revision=0))
    told = records.restore(str(foreign(tmp_path / "theirs.png")), scene)
    assert {name for name in ("dreamer", "fog") if any(name in sentence for sentence in told)} == {"dreamer", "fog"}
    assert model_list.page().revision


def test_where_nobody_knows_the_models_that_is_said(
    scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from underpaint.addon import records

    monkeypatch.setattr(model_list, "_page", ModelPage(models=(), folders=(), scanning=False, revision=0))
    monkeypatch.setenv("UNDERPAINT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("UNDERPAINT_BACKEND_PYTHON", str(tmp_path / "no python"))
    told = records.restore(str(foreign(tmp_path / "theirs.png")), scene)
    assert any("could not be found out" in sentence for sentence in told)
    assert scene.underpaint.steps == 24


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "can't be read"), (b"", "PNG"), (b"\x89PNG\r\n\x1a\n", "PNG"), ("plain", "doesn't say how it was made")],
)
def test_a_file_that_says_nothing_changes_nothing(scene: Any, tmp_path: Path, content: Any, words: str) -> None:
    from underpaint.addon import png

    path = tmp_path / "picture.png"
    if content is not None:
        path.write_bytes(png.encoded(np.zeros((8, 8, 3), np.uint8)) if content == "plain" else content)
    scene.underpaint.prompt = "kept"
    with pytest.raises(RuntimeError, match=words):
        bpy.ops.underpaint.restore_picture(filepath=str(path))
    assert scene.underpaint.prompt == "kept"


def test_what_the_datablock_carries_is_what_its_file_does(scene: Any) -> None:
    request = GenerateRequest(prompt="a", size=Extent(width=8, height=8), loras=(Lora(lora="x", weight=0.5),))
    image = images.new_result(np.zeros((8, 8, 3), np.uint8), request)
    images.restore(image, scene)
    assert scene.underpaint.extras.loras[0].lora == "x"
    assert scene.underpaint.scheduler == Scheduler.UNIPC.name
