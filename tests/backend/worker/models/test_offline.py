"""Nothing is downloaded without the user's word: the real worker reaches for no other computer."""

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import single_files
from hub_server import hub_server
from underpaint.backend.blobstore import BlobStore
from underpaint.backend.pipe import Failed, Run, Succeeded, read_frame, write_frame
from underpaint.protocol.errors import ControlNetNotChosen, DetectorMissing, DownloadFailed, ModelMissing
from underpaint.protocol.geometry import Extent
from underpaint.protocol.request import (
    Control,
    ControlKind,
    ControlMapsRequest,
    Embedding,
    GenerateRequest,
    ImagePrompt,
    Lora,
    PlanRequest,
    Request,
    SecondPass,
)
from underpaint.protocol.sources import Detector, Photo
from worker_scene import depth_pass

Asked = Callable[..., GenerateRequest]
WATCHED = Path(__file__).with_name("watched_worker.py")


def ends(
    requests: list[Request], *, blobs: Path, models: Path, tmp_path: Path, **online: str
) -> tuple[list[str], list[str]]:
    """How each request ended in one worker, and whom it tried to reach."""
    report = tmp_path / "reached.txt"
    offline = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "DIFFUSERS_OFFLINE")  # which would hold it back by itself
    environment = {name: value for name, value in os.environ.items() if name not in offline}
    ended: list[str] = []
    with (tmp_path / "worker.log").open("wb") as log:
        command = [sys.executable, str(WATCHED), str(report), "--blobs", str(blobs), "--models", str(models)]
        worker = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**environment, "HF_HOME": str(tmp_path / "hub"), **online},
        )
    with worker:
        for request in requests:
            write_frame(worker.stdin, Run(job_id=uuid.uuid4().hex, request=request))
            while True:
                frame = read_frame(worker.stdout)
                assert frame is not None, (tmp_path / "worker.log").read_text()
                if isinstance(frame[0], Succeeded | Failed):
                    ended.append("succeeded" if isinstance(frame[0], Succeeded) else frame[0].error.code)
                    break
        worker.kill()
    watched = report.read_text().splitlines()
    assert watched[0] == "watching"
    return ended, watched[1:]


def test_without_the_users_word_nobody_is_reached(models: Path, blobs: BlobStore, asked: Asked, tmp_path: Path) -> None:
    photo = blobs.write_array(np.zeros((64, 64, 3), np.uint8))
    detected = Control(kind=ControlKind.DEPTH, source=Photo(image=photo, detector=Detector.MIDAS))
    painted = asked(controls=(), steps=1)
    unknown = asked(checkpoint="nobody/no-such-checkpoint", controls=())
    net = replace(asked().controls[0], controlnet="nobody/no-such-controlnet")
    requests: list[Request] = [
        painted,
        unknown,
        asked(controls=(net,)),
        asked(controls=(detected,)),
        ControlMapsRequest(controls=(detected,), size=Extent(width=64, height=64)),
    ]
    assert not any(request.allow_download for request in requests)
    ended, reached = ends(requests, blobs=blobs.folder, models=models, tmp_path=tmp_path)
    assert ended[:3] == ["succeeded", ModelMissing.code, ModelMissing.code]
    assert ended[3] in (DetectorMissing.code, ControlNetNotChosen.code)
    assert ended[4] == DetectorMissing.code
    assert reached == []


def test_whatever_is_named_the_hub_is_not_asked(models: Path, blobs: BlobStore, asked: Asked, tmp_path: Path) -> None:
    """Though it has everything: every kind of model and of request, plans that will download among them."""
    image = blobs.write_array(np.zeros((64, 64, 3), np.uint8))
    net = replace(asked().controls[0], controlnet="somebody/net")
    prompted = ImagePrompt(adapter="somebody/ip-adapter/ip-adapter_sd15.safetensors", image=image)
    several = tuple(
        replace(asked().controls[0], source=Photo(image=image, detector=one)) for one in (Detector.MIDAS, Detector.ZOE)
    )
    named: list[dict[str, object]] = [
        {"checkpoint": "somebody/checkpoint"},
        {"checkpoint": "somebody/net/diffusion_pytorch_model.safetensors"},
        {"controls": (net,)},
        {"controls": several},
        {"vae": "somebody/vae"},
        {"loras": (Lora(lora="somebody/lora"),)},
        {"loras": (Lora(lora="somebody/lora/lora.safetensors"),)},
        {"prompt": "a room <lora:somebody/lora:1>"},
        {"embeddings": (Embedding(embedding="somebody/embedding", token="<it>"),)},
        {"image_prompts": (prompted,)},
        {"image_prompts": (replace(prompted, image_encoder="somebody/encoder"),)},
        {"safety_checker": "somebody/checker"},
        {"second_pass": SecondPass(factor=2.0, tile_controlnet="somebody/net")},
    ]
    size = Extent(width=64, height=64)
    with hub_server() as hub:
        for name in ("checkpoint", "net", "vae", "lora", "embedding", "ip-adapter", "encoder", "checker"):
            hub.add(f"somebody/{name}", {"config.json": b"{}", "diffusion_pytorch_model.safetensors": b"x" * 100})
        for tiny in ("taesd", "taesdxl"):
            hub.add(f"madebyollin/{tiny}", {"config.json": b"{}", "diffusion_pytorch_model.safetensors": b"x" * 100})
        requests: list[Request] = [asked(controls=(), steps=1), asked(checkpoint="sdxl", controls=(), steps=1)]
        for options in named:
            plain = asked(**{"controls": (), "steps": 1, **options})
            requests += [plain, PlanRequest(picture=plain), PlanRequest(picture=replace(plain, allow_download=True))]
        requests += [ControlMapsRequest(controls=controls, size=size) for controls in ((net,), several)]
        online = hub.environment(tmp_path / "hub")
        ended, reached = ends(requests, blobs=blobs.folder, models=models, tmp_path=tmp_path, **online)
        assert hub.asked == []
    assert reached == []
    assert ended[:2] == ["succeeded", "succeeded"]
    assert "succeeded" not in ended[2 : 2 + 3 * len(named) : 3]  # the pictures; plans don't miss a detector


def test_with_the_users_word_the_hub_is_asked(
    models: Path, blobs: BlobStore, asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the watch would see nothing; the hub is a closed port of this computer here."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    request = asked(checkpoint="nobody/no-such-checkpoint", controls=(), allow_download=True)
    ended, reached = ends([request], blobs=blobs.folder, models=models, tmp_path=tmp_path)
    assert ended == [DownloadFailed.code]
    assert any("127.0.0.1" in one for one in reached)


def test_single_files_load_without_reaching_for_anybody(blobs: BlobStore, tmp_path: Path) -> None:
    size = Extent(width=64, height=64)
    models = tmp_path / "models"
    requests: list[Request] = []
    for family in ("sd15", "sd2", "sdxl"):
        parts = single_files.build_folder(family, tmp_path / family)
        shutil.rmtree(tmp_path / family)
        single_files.save(single_files.ldm_checkpoint(family, parts), models / f"{family}.safetensors")
        single_files.save(single_files.ldm_unet(single_files.net(family)), models / f"{family}-net.safetensors")
        single_files.save(single_files.ldm_vae(single_files.vae(family)), models / f"{family}-vae.safetensors")
        control = Control(
            kind=ControlKind.DEPTH, source=depth_pass(blobs, size), controlnet=f"{family}-net.safetensors"
        )
        requests.append(
            GenerateRequest(
                prompt="a cat", checkpoint=family, vae=f"{family}-vae", size=size, steps=1, controls=(control,)
            )
        )
    single_files.save(single_files.union(6).state_dict(), models / "union.safetensors")
    union = replace(requests[-1].controls[0], controlnet="union.safetensors")
    requests.append(replace(requests[-1], controls=(union,)))
    ended, reached = ends(requests, blobs=blobs.folder, models=models, tmp_path=tmp_path)
    assert ended == ["succeeded"] * 4
    assert reached == []
