"""What is asked for beyond prompt and controls: through the fields, into a request, onto disk and back, unchanged."""

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QSettings
from pytestqt.qtbot import QtBot
from underpaint.protocol.arrays import AnyArray, ArrayRef, DType
from underpaint.protocol.checks import check
from underpaint.protocol.errors import InvalidRequest
from underpaint.protocol.geometry import Extent
from underpaint.protocol.models import Advice, FamilyId, Layout, ModelEntry, ModelKind, Origin
from underpaint.protocol.request import Embedding, GenerateRequest, Scheduler, Seamless, SecondPass, Sigmas
from underpaint.qt_panel.advised import advised
from underpaint.qt_panel.extras_area import summaries
from underpaint.qt_panel.extras_form import Extras, ImagePromptForm, LoraForm
from underpaint.qt_panel.form import Form, Picture, generate_request, problems, restored, without_gone
from underpaint.qt_panel.form_panel import FormPanel
from underpaint.qt_panel.settings import Memory

IMAGE = ArrayRef(sha256="a" * 64, shape=(8, 8, 3), dtype=DType.UINT8)
NAMES = st.sampled_from(["", "loras/ink.safetensors", "owner/name", "/srv/models/tinte ä.safetensors"])
FILES = NAMES.filter(bool)
PARTS = st.floats(0, 1, allow_subnormal=False)
LORAS = st.builds(
    LoraForm,
    lora=FILES,
    weight=st.floats(-100, 100, allow_subnormal=False),
    text_weight=st.none() | st.floats(-99, 100, allow_subnormal=False),
    enabled=st.just(True),
)
PROMPTS = st.builds(
    ImagePromptForm,
    adapter=FILES,
    image=st.just(IMAGE),
    scale=st.floats(0, 10, allow_subnormal=False),
    start=st.floats(0, 0.4),
    end=st.floats(0.5, 1),
    image_encoder=NAMES,
    enabled=st.just(True),
)
SECOND = st.builds(
    SecondPass,
    factor=st.floats(1, 8),
    strength=st.floats(0.1, 1),
    steps=st.none() | st.integers(10, 1000),
    tile_px=st.none() | st.integers(512, 2048),
    overlap_px=st.integers(0, 128),
    tile_controlnet=NAMES,
    tile_scale=PARTS,
)
EMBEDDINGS = st.builds(Embedding, embedding=FILES, token=st.sampled_from(["", "tok"]))
EXTRAS = st.builds(
    Extras,
    loras=st.lists(LORAS, max_size=3).map(tuple),
    embeddings=st.lists(EMBEDDINGS, max_size=2).map(tuple),
    image_prompts=st.lists(PROMPTS, max_size=2).map(tuple),
    second_pass=SECOND,
    use_second_pass=st.booleans(),
    vae=NAMES,
    clip_skip=st.integers(0, 11),
    plain_prompt=st.booleans(),
    seamless=st.sampled_from(Seamless),
    safety_checker=NAMES,
)
FULL = Extras(
    loras=(LoraForm(lora="a.safetensors", weight=0.123456, text_weight=1 / 3), LoraForm(lora="b", enabled=False)),
    embeddings=(Embedding(embedding="e.safetensors", token="word"),),
    image_prompts=(
        ImagePromptForm(adapter="ip", image=IMAGE, scale=0.77777, start=0.1, end=0.9, image_encoder="clip"),
    ),
    second_pass=SecondPass(
        factor=1.7, strength=0.345, steps=9, tile_px=512, overlap_px=32, tile_controlnet="t", tile_scale=0.9
    ),
    use_second_pass=True,
    vae="v.safetensors",
    clip_skip=2,
    plain_prompt=True,
    seamless=Seamless.Y,
    safety_checker="c",
)


def no_upload(_: AnyArray) -> ArrayRef:
    raise AssertionError("the service has it already")


@pytest.fixture(scope="module")
def panel(qapp: object) -> FormPanel:
    return FormPanel()


@given(extras=EXTRAS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_request_restored_into_the_fields_asks_for_the_same(panel: FormPanel, extras: Extras) -> None:
    asked = generate_request(Form(prompt="x", extras=extras), no_upload)
    check(asked)
    panel.fill(restored(Form(), asked, origin="before"))
    assert generate_request(panel.form, no_upload) == asked


def test_every_field_of_a_request_is_restored() -> None:
    """A field that is added to requests has to be filled in here, and come back."""
    asked = generate_request(Form(prompt="x", extras=FULL), no_upload)
    plain = GenerateRequest(prompt="x", size=asked.size)
    of_extras = {field.name for field in dataclasses.fields(Extras)} - {"use_second_pass"}
    of_request = {field.name for field in dataclasses.fields(asked)}
    same = {name for name in of_request if getattr(asked, name) == getattr(plain, name)}
    assert of_extras <= of_request
    assert not of_extras & same, "each is asked for otherwise than by default"
    again = generate_request(restored(Form(), asked, origin="before"), no_upload)
    assert again == asked


def test_what_is_filled_in_stays_as_it_is(panel: FormPanel) -> None:
    panel.fill(Form(extras=FULL))
    assert panel.form.extras == FULL
    panel.fill(Form())
    assert panel.form.extras == Extras()


def test_it_is_remembered(memory: Memory) -> None:
    memory.save_form(Form(extras=FULL))
    assert memory.load_form().extras == FULL


def test_a_form_of_an_earlier_version_has_no_extras(memory: Memory, tmp_path: object) -> None:
    memory.save_form(Form(prompt="x"))
    held = memory._settings
    assert isinstance(held, QSettings)
    text = str(held.value("form"))
    assert ',"extras":' in text
    start = text.index(',"extras":')
    end = text.index(',"precision"')
    held.setValue("form", text[:start] + text[end:])
    assert memory.load_form() == Form(prompt="x")


def test_what_is_switched_off_is_not_asked_for() -> None:
    extras = dataclasses.replace(
        FULL,
        loras=(LoraForm(lora="", enabled=False),),
        image_prompts=(ImagePromptForm(enabled=False),),
        use_second_pass=False,
    )
    asked = generate_request(Form(extras=extras), no_upload)
    assert (asked.loras, asked.image_prompts, asked.second_pass) == ((), (), None)
    back = restored(Form(extras=extras), asked, origin="before").extras
    assert back.second_pass == FULL.second_pass, "the settings wait for the next time"


@pytest.mark.parametrize(
    ("extras", "reason"),
    [
        (Extras(loras=(LoraForm(lora=" "),)), "LoRA 1 has no file"),
        (Extras(embeddings=(Embedding(embedding=""),)), "embedding 1 has no file"),
        (Extras(image_prompts=(ImagePromptForm(adapter="a"),)), "image prompt 1 has no picture"),
        (Extras(image_prompts=(ImagePromptForm(image=IMAGE),)), "image prompt 1 has no IP-Adapter"),
        (Extras(image_prompts=(ImagePromptForm(adapter="a", image=IMAGE, start=0.5, end=0.5),)), "stops before"),
    ],
)
def test_what_is_unfinished_is_said_before_anything_is_sent(extras: Extras, reason: str) -> None:
    (found,) = problems(Form(extras=extras))
    assert reason in str(found)
    with pytest.raises(InvalidRequest):
        generate_request(Form(extras=extras), no_upload)


def test_a_picture_that_is_gone_waits_for_another() -> None:
    picture = Picture(name="p", pixels=np.zeros((8, 8, 3), np.uint8))
    kept = ImagePromptForm(adapter="b", image=picture)
    form = without_gone(Form(extras=Extras(image_prompts=(FULL.image_prompts[0], kept))), {IMAGE.sha256})
    assert form.extras.image_prompts == (dataclasses.replace(FULL.image_prompts[0], image=None), kept)


def test_folds_say_what_is_in_them() -> None:
    assert summaries(Extras()) == ("", "", "", "")
    assert summaries(FULL) == (
        "a 0.123456",
        "1 picture",
        "× 1.7, 34%, tiles of 512 px",
        "VAE v, clip skip 2, seamless, plain prompt, safety checker, 1 embedding",
    )


def test_a_row_is_added_and_removed_by_its_buttons(qtbot: QtBot, panel: FormPanel) -> None:
    panel.fill(Form())
    loras, prompts = panel.extras.loras, panel.extras.prompts
    with qtbot.waitSignal(panel.changed):
        loras.add.click()
    loras.rows[0].model.set_value("x.safetensors")
    loras.rows[0]._slider.setValue(-10)
    assert panel.form.extras.loras == (LoraForm(lora="x.safetensors", weight=-0.5),)
    loras.rows[0]._weight.setValue(55)
    assert loras.rows[0]._slider.value() == loras.rows[0]._slider.maximum()
    assert panel.form.extras.loras[0].weight == 55
    prompts.add.click()
    assert panel.form.extras.image_prompts == (ImagePromptForm(),)
    for row in (loras.rows[0], prompts.rows[0]):
        row.removed.emit()
    assert panel.form.extras == Extras()


# ---- advice

ENTRY = ModelEntry(
    reference="lightning.safetensors", id="0" * 32, title="Lightning", kind=ModelKind.LORA, family=FamilyId.SDXL,
    layout=Layout.FILE, origin=Origin.COMFYUI, size_bytes=1, changed_at=0.0,
)  # fmt: skip


def with_advice(**advice: object) -> ModelEntry:
    return dataclasses.replace(ENTRY, advice=Advice(**advice))  # type: ignore[arg-type]


def test_a_few_step_model_sets_what_it_was_trained_for() -> None:
    entry = with_advice(scheduler="EulerDiscreteScheduler", sigmas="karras", steps=4, guidance_scale=1.0, clip_skip=1)
    form, sentence = advised(Form(), entry)
    assert (form.scheduler, form.sigmas, form.steps) == (Scheduler.EULER, Sigmas.KARRAS, 4)
    assert (form.guidance_scale, form.extras.clip_skip) == (1.0, 1)
    assert sentence == (
        "As Lightning was trained for it, Euler, Karras noise levels, 4 steps, a guidance scale of 1 and a clip skip "
        "of 1 are set now."
    )
    assert advised(form, entry) is None, "nothing is left to change"


def test_a_size_is_advised_where_the_forms_is_far_off() -> None:
    entry = with_advice(width=1024, height=1024)
    form, sentence = advised(Form(size=Extent(width=512, height=512)), entry)
    assert form.size == Extent(width=1024, height=1024)
    assert sentence == "As Lightning was trained for it, 1024 × 1024 is set now."
    assert advised(Form(size=Extent(width=1216, height=832)), entry) is None
    assert advised(Form(), ENTRY) is None
    assert advised(Form(), with_advice(scheduler="UnheardOf")) is None
