"""What a family can't do is said in a sentence that names it, before anything is loaded."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.worker.models import loading
from underpaint.protocol.arrays import ArrayRef
from underpaint.protocol.errors import InvalidRequest, ModelBroken, ModelMismatch, UnderpaintError
from underpaint.protocol.geometry import Extent
from underpaint.protocol.request import (
    Control,
    ControlKind,
    GenerateRequest,
    ImagePrompt,
    Precision,
    Scheduler,
    Seamless,
    SecondPass,
    Sigmas,
    Start,
)
from underpaint.protocol.sources import InpaintPass, ReadyMap
from worker_runner import Job, make_runner

Asked = Callable[..., GenerateRequest]
TITLES = {"sd3": "Stable Diffusion 3.5", "flux": "Flux.1", "qwen_image": "Qwen-Image", "z_image": "Z-Image"}


@pytest.fixture
def refused(
    models: Path, blobs: BlobStore, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., UnderpaintError]:
    """The error that a request ends with; nothing may be loaded on the way to it."""
    monkeypatch.setattr(loading.Source, "load", lambda *_: pytest.fail("it was loaded"))
    monkeypatch.setattr(loading.Source, "empty", lambda *_: pytest.fail("it was loaded"))
    fresh = make_runner(blobs, models)

    def run(error: type[UnderpaintError], **changes: Any) -> UnderpaintError:
        with pytest.raises(error) as caught:
            Job(fresh, asked(**changes)).run()
        return caught.value

    return run


Refused = Callable[..., UnderpaintError]


@pytest.fixture
def shown(picture: ArrayRef) -> Callable[..., Control]:
    def control(net: str, kind: ControlKind = ControlKind.DEPTH, **fields: Any) -> Control:
        return Control(kind=kind, source=ReadyMap(image=picture), controlnet=net, **fields)

    return control


Shown = Callable[..., Control]


# ---------------------------------------------------------------------------------------------- of any family


@pytest.mark.parametrize("family", TITLES)
def test_what_these_pipelines_lack(family: str, refused: Refused, picture: ArrayRef) -> None:
    for words, changes in (
        ("multiples of 16, and the picture is 72 x 48. The nearest is 64 x 48", {"size": Extent(width=72, height=48)}),
        ("flow-matching model, which DDIMScheduler isn't made for. Choose Euler", {"scheduler": Scheduler.DDIM}),
        ("model, which trailing sigmas aren't made for. Choose default, karras, exp", {"sigmas": Sigmas.TRAILING}),
        ("doesn't do a second pass here", {"second_pass": SecondPass()}),
        ("doesn't do image prompts here", {"image_prompts": (ImagePrompt(adapter="style", image=picture),)}),
        ("doesn't do a VAE other than the checkpoint's here", {"vae": "other"}),
        ("doesn't do clip skip here: set it to 0", {"clip_skip": 1}),
        ("doesn't do seamless pictures here: switch them off", {"seamless": Seamless.X}),
        ("doesn't do a safety checker here", {"safety_checker": "checker"}),
    ):
        sentence = str(refused(InvalidRequest, checkpoint=family, **changes))
        assert words in sentence
        assert TITLES[family] in sentence


@pytest.mark.parametrize("family", TITLES)
def test_a_net_can_t_be_half_heard(family: str, refused: Refused, shown: Shown) -> None:
    net = {"sd3": "sd3-depth", "flux": "flux-depth", "qwen_image": "qwen-union", "z_image": "z-union"}[family]
    sentence = str(refused(InvalidRequest, checkpoint=family, controls=(shown(net, guess_mode=True),)))
    assert (
        sentence
        == f"The request is not valid: {TITLES[family]} doesn't do guess mode here: switch it off in the controls."
    )


@pytest.mark.parametrize("family", ["flux", "qwen_image", "z_image"])
def test_a_format_that_overflows(family: str, refused: Refused) -> None:
    sentence = str(refused(InvalidRequest, checkpoint=family, precision=Precision.FLOAT16))
    assert f"precision is float16, in which {TITLES[family]} overflows. Choose" in sentence


def test_ways_that_have_no_pipeline(refused: Refused, shown: Shown, picture: ArrayRef, mask: ArrayRef) -> None:
    start = Start(image=picture)
    for family, net in (("sd3", "sd3-depth"), ("qwen_image", "qwen-union"), ("z_image", "z-union")):
        sentence = str(refused(InvalidRequest, checkpoint=family, start=start, controls=(shown(net),)))
        assert (
            f"{TITLES[family]} has no pipeline for image to image with controls. It does image to image, inp"
            in sentence
        )
    hole = Start(image=picture, mask=mask, strength=1.0)
    for family, net in (("sd3", "sd3-depth"), ("qwen_image", "qwen-union"), ("z_image", "z-union")):
        sentence = str(refused(InvalidRequest, checkpoint=family, start=hole, controls=(shown(net),)))
        assert (
            f'{TITLES[family]} inpaints with a control only by a ControlNet that takes the mask, and "{net}" '
            in sentence
        )


def test_nets_that_take_a_mask(refused: Refused, shown: Shown, picture: ArrayRef, mask: ArrayRef) -> None:
    inpaint = Control(kind=ControlKind.INPAINT, source=InpaintPass(image=picture, mask=mask), controlnet="sd3-inpaint")
    sentence = str(refused(InvalidRequest, checkpoint="sd3", controls=(inpaint,)))
    assert 'the ControlNet "sd3-inpaint" fills holes: give a start picture with a mask' in sentence
    hole = Start(image=picture, mask=mask, strength=0.5)
    sentence = str(refused(InvalidRequest, checkpoint="sd3", start=hole, controls=(inpaint,)))
    assert (
        "paints a hole anew from noise where a ControlNet fills it. Set the start picture's strength to 1" in sentence
    )
    sentence = str(refused(InvalidRequest, checkpoint="sd3", controls=(shown("sd3-inpaint"),)))
    assert 'the ControlNet "sd3-inpaint" is made for inpainting, and the control is depth' in sentence


def test_nets_of_two_makes_would_be_told_the_same(refused: Refused, shown: Shown) -> None:
    """diffusers asks the first of several nets what all of them are told."""
    two = (shown("sd3-depth"), shown("sd3-large", ControlKind.CANNY))
    assert "the ControlNets for Stable Diffusion 3.5 are of two makes, which take their pictures in different" in str(
        refused(InvalidRequest, checkpoint="sd3", controls=two)
    )


def test_a_single_step_that_has_no_end(refused: Refused) -> None:
    sentence = str(refused(InvalidRequest, checkpoint="qwen_image", steps=1))
    assert "Qwen-Image can't make a picture in one step; take two at least" in sentence


def test_more_controls_than_a_family_combines(refused: Refused, shown: Shown) -> None:
    two = (shown("z-union"), shown("z-union", ControlKind.CANNY))
    assert "Z-Image takes one control, and 2 are switched on" in str(
        refused(InvalidRequest, checkpoint="z_image", controls=two)
    )
    two = (shown("qwen-union"), shown("qwen-other", ControlKind.CANNY))
    assert "Qwen-Image takes several controls through one union ControlNet only, and 2 are chosen" in str(
        refused(InvalidRequest, checkpoint="qwen_image", controls=two)
    )


# ---------------------------------------------------------------------------------------------- mismatches


def test_nets_of_another_family(refused: Refused, shown: Shown, models: Path) -> None:
    from worker_sdxl import build_sdxl

    build_sdxl(models / "xl", models / "xl-depth")
    for checkpoint, title, net, theirs in (
        ("xl", "Stable Diffusion XL", "flux-depth", "Flux.1"),
        ("flux", "Flux.1", "sd3-depth", "Stable Diffusion 3.5"),
        ("flux", "Flux.1", "xl-depth", "Stable Diffusion XL"),
        ("qwen_image", "Qwen-Image", "z-union", "Z-Image"),
        ("z_image", "Z-Image", "qwen-union", "Qwen-Image"),
        ("sd3", "Stable Diffusion 3.5", "qwen-union", "Qwen-Image"),
    ):
        error = refused(ModelMismatch, checkpoint=checkpoint, controls=(shown(net),))
        assert str(error) == f'The ControlNet "{net}" is made for {theirs}, the checkpoint "{checkpoint}" is {title}.'


def test_a_union_is_told_from_another_family_by_its_hub_id_alone(refused: Refused, shown: Shown) -> None:
    error = refused(ModelMismatch, checkpoint="sd3", controls=(shown("InstantX/FLUX.1-dev-Controlnet-Union"),))
    assert "is made for Flux.1, the checkpoint" in str(error)


def test_modes_that_a_union_hasn_t(refused: Refused, shown: Shown, models: Path, tmp_path: Path) -> None:
    sentence = str(refused(InvalidRequest, checkpoint="flux", controls=(shown("flux-union", ControlKind.NORMAL),)))
    assert "a union net can't be shown a normal control: the union nets for Flux.1 know canny, tile, depth" in sentence
    folder = shutil.copytree(models / "flux-union", tmp_path / "five")
    _edit(folder / "config.json", num_mode=5)
    sentence = str(refused(InvalidRequest, checkpoint="flux", controls=(shown(str(folder)),)))
    assert "a union ControlNet with 5 modes is not known, only ones with 10" in sentence


def test_a_net_for_a_smaller_transformer(refused: Refused, shown: Shown, models: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(models / "sd3-depth", tmp_path / "medium")
    _edit(folder / "config.json", num_attention_heads=24)
    error = refused(ModelMismatch, checkpoint="sd3", controls=(shown(str(folder)),))
    assert "is made for Stable Diffusion 3.5 with 24 attention heads and 64 wide text" in str(error)
    assert "is Stable Diffusion 3.5 with 2 attention heads and 64 wide text" in str(error)


def test_checkpoints_that_take_a_picture_besides(refused: Refused, models: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(models / "flux", tmp_path / "fill")
    _edit(folder / "transformer" / "config.json", in_channels=384)
    error = refused(ModelBroken, checkpoint=str(folder))
    assert "its transformer takes 384 channels, and Flux.1's plain ones 64; those that take a picture besides" in str(
        error
    )


def test_a_checkpoint_that_lacks_a_part(refused: Refused, models: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(models / "flux", tmp_path / "half")
    (folder / "tokenizer_2" / "tokenizer.json").unlink()
    assert "tokenizer_2/" in str(refused(ModelBroken, checkpoint=str(folder)))


def _edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
