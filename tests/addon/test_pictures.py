"""Several pictures in one job: by number, by prompts and by seeds; each an image of its own."""

from typing import Any

import bpy
import numpy as np
import pytest
from test_generation import seen, upload
from underpaint.addon import api, engine, images, main_thread, operators_generate, words
from underpaint.addon.background_job import Advanced, BackgroundJob, Done
from underpaint.addon.capture import capture
from underpaint.addon.generation import Settings, build_request
from underpaint.addon.job_state import state
from underpaint.protocol.checks import check
from underpaint.protocol.client import Connection
from underpaint.protocol.errors import InvalidRequest
from underpaint.protocol.events import Progress
from underpaint.protocol.jobs import Phase


def pixels(image: Any) -> np.ndarray:
    width, height = image.size
    values = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(values)
    return np.rint(values.reshape(height, width, 4)[::-1, :, :3] * 255).astype(np.uint8)


def test_the_number_of_pictures_counts_seeds_up(scene: Any) -> None:
    group = scene.underpaint
    group.seed, group.pictures, group.batch_size, group.negative_prompt = 11, 3, 2, "fog"
    request = build_request(Settings.from_scene(scene), seen(), upload)
    check(request)
    assert [picture.seed for picture in request.pictures] == [11, 12, 13]
    assert {picture.negative_prompt for picture in request.pictures} == {"fog"}
    assert request.batch_size == 2


def test_scripts_get_a_picture_for_each_prompt_and_seed(scene: Any, fake_backend: Connection) -> None:
    scene.underpaint.prompt, scene.underpaint.seed = "steps=1", 4
    told: list[Progress] = []
    result = api.generate(scene, pictures=3, on_event=lambda event: told.append(event))
    assert [images.request_of(image).seed for image in result.images] == [4, 5, 6]
    assert [image.name for image in result.images] == ["steps=1, 4", "steps=1, 5", "steps=1, 6"]
    assert result.image == result.images[0]
    np.testing.assert_array_equal(result.picture, result.pictures[0])
    for image, picture in zip(result.images, result.pictures, strict=True):
        np.testing.assert_array_equal(pixels(image), picture)
    assert len({picture.tobytes() for picture in result.pictures}) == 3
    steps = [event for event in told if isinstance(event, Progress) and event.phase is Phase.STEP]
    assert {(event.picture, event.pictures) for event in steps} == {(1, 3), (2, 3), (3, 3)}

    # each carries what makes it alone
    again = api.generate(scene, seed=5)
    np.testing.assert_array_equal(again.picture, result.pictures[1])
    assert images.request_of(again.image) == images.request_of(result.images[1])

    prompts = ["steps=1 a", "steps=1 b"]
    of_prompts = api.generate(scene, prompts=prompts, name="Sheet")
    assert [(one.prompt, one.seed) for one in of_prompts.request.pictures] == [(prompt, 4) for prompt in prompts]
    assert [image.name for image in of_prompts.images] == ["Sheet", "Sheet.001"]
    pairs = api.generate(scene, prompts=prompts, seeds=[9, 2], batch_size=2).request
    assert [(one.prompt, one.seed) for one in pairs.pictures] == [("steps=1 a", 9), ("steps=1 b", 2)]
    assert pairs.batch_size == 2
    assert [one.seed for one in api.generate(scene, seeds=range(2)).request.pictures] == [0, 1]
    assert scene.underpaint.pictures == 1


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"prompts": ["a", "b"], "seeds": [1]}, "2 prompts and 1 seeds"),
        ({"prompts": ["a"], "pictures": 2}, "leave one out"),
        ({"prompts": "one text"}, "expected a list"),
        ({"prompts": []}, "prompts is empty"),
        ({"seeds": ()}, "seeds is empty"),
        ({"seeds": 5}, "seeds is 5, expected a list"),
        ({"seeds": ["a"]}, "seed is str, expected int"),
        ({"pictures": 0}, "0 pictures were asked for"),
        ({"pictures": 10_000}, "at most 256 work"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"sigmas": "wide"}, 'no sigmas is called "wide"; there are DEFAULT, KARRAS'),
        ({"precision": "int4"}, 'no precision is called "int4"; there are AUTO'),
    ],
)
def test_what_does_not_go_together_is_refused(
    scene: Any, fake_backend: Connection, asked: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidRequest, match=words):
        api.generate(scene, **asked)
    assert not images.results()


def test_generate_puts_each_picture_into_the_history(scene: Any, fake_backend: Connection) -> None:
    scene.underpaint.prompt, scene.underpaint.pictures, scene.underpaint.seed = "steps=1 notes=2", 4, 20
    assert bpy.ops.underpaint.generate() == {"FINISHED"}
    assert [images.request_of(image).seed for image in images.results()] == [20, 21, 22, 23]
    assert images.request_of(images.active_result()).seed == 20
    assert state.notes == ("Note 1 of the fake", "Note 2 of the fake")
    assert state.plan == "no model"
    bpy.ops.underpaint.dismiss_error()
    assert state.notes == ()

    images.restore(images.results()[2], scene)
    assert (scene.underpaint.seed, scene.underpaint.pictures) == (22, 1)


def test_a_background_job_brings_every_picture_and_tells_which_is_painted(scene: Any, fake_backend: Connection) -> None:
    scene.underpaint.prompt, scene.underpaint.pictures = "steps=2 pause=0.05", 2
    settings = Settings.from_scene(scene)
    job = BackgroundJob(settings, capture(scene, people=settings.people))
    job.start()
    assert job.join(60.0)
    *before, last = job.messages()
    assert isinstance(last, Done)
    assert len(last.packed) == len(last.outcome.pictures) == 2
    made = images.keep(last.outcome, packed=last.packed)
    for image, picture in zip(made, last.outcome.pictures, strict=True):
        np.testing.assert_array_equal(pixels(image), picture)
    said = [words.of(message.progress) for message in before if isinstance(message, Advanced)]
    assert "Painting picture 2 of 2, step 1 of 2" in said
    assert operators_generate._running == []


def test_a_render_is_one_picture(scene: Any, fake_backend: Connection) -> None:
    scene.underpaint.prompt, scene.underpaint.pictures, scene.underpaint.seed = "steps=1 notes=1", 3, 7
    bpy.ops.render.render()
    main_thread.drain()
    (result,) = images.results()
    request = images.request_of(result)
    assert (request.seed, request.variants) == (7, ())
    assert fake_backend.jobs().jobs[0].request == request
    assert state.notes == ("Note 1 of the fake",)
    assert engine.last_timings


def test_the_words_for_one_picture_are_as_before() -> None:
    progress = Progress(job_id="", phase=Phase.STEP, step=3, steps=20)
    assert words.of(progress) == "Painting, step 3 of 20"
