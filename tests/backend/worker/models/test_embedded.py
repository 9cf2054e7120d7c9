"""The embedded checkpoint: whole or absent, the same bytes every time, small."""

import hashlib
import os
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from transformers import CLIPTokenizer
from underpaint.backend.worker.models import embedded
from underpaint.backend.worker.sampling import decoding
from underpaint.protocol.request import ControlKind


def fingerprint(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_bytes_on_every_run(models: Path, tmp_path: Path) -> None:
    assert fingerprint(embedded.checkpoint(tmp_path)) == fingerprint(embedded.checkpoint(models))


def test_it_has_the_layout_of_a_diffusers_checkpoint_and_is_small(models: Path) -> None:
    folder = embedded.checkpoint(models)
    files = fingerprint(folder)
    for name in (
        "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/merges.txt",
        "tokenizer/special_tokens_map.json",
        "tokenizer/tokenizer_config.json",
        "tokenizer/vocab.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        *(
            f"controlnets/{kind}/diffusion_pytorch_model.safetensors"
            for kind in ("depth", "normal", "openpose", "thin_lines", "lines", "colours")
        ),
    ):
        assert name in files
    assert sum(path.stat().st_size for path in folder.rglob("*")) < 16 << 20


def test_every_kind_of_control_has_a_net(models: Path) -> None:
    for kind in ControlKind:
        assert (embedded.controlnet(models, kind) / "diffusion_pytorch_model.safetensors").is_file()
    assert embedded.controlnet(models, ControlKind.CANNY) == embedded.controlnet(models, ControlKind.LINEART)


def test_a_build_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(folder: Path) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(embedded, "write_tokenizer", fails)
    with pytest.raises(OSError, match="space"):
        embedded.checkpoint(tmp_path)
    assert list((tmp_path / "embedded").iterdir()) == []
    monkeypatch.undo()
    assert embedded.checkpoint(tmp_path).is_dir()


def test_the_tokenizer_knows_every_language(models: Path) -> None:
    tokenizer = CLIPTokenizer.from_pretrained(embedded.checkpoint(models) / "tokenizer")
    ids = tokenizer("A cosy room", padding="max_length", truncation=True).input_ids
    assert len(ids) == 77
    assert (ids[0], ids[-1]) == (512, 513)
    assert ids[1:10].count(513) == 0
    for text in ("Mañana 木 🙂", "наука"):
        inner = [token for token in tokenizer(text).input_ids if token < 512]
        assert len(inner) == len(text.lower().replace(" ", "").encode())
    assert tokenizer("cat").input_ids == tokenizer("CAT").input_ids != tokenizer("cap").input_ids


def test_the_vae_takes_a_picture_to_latents_that_decode_to_it(models: Path) -> None:
    vae = diffusers.AutoencoderKL.from_pretrained(embedded.checkpoint(models) / "vae").float().eval()
    rows, columns = np.mgrid[0:64, 0:96]
    picture = np.stack([rows * 4, columns * 2, 255 - rows * 2 - columns], axis=-1).astype(np.uint8)
    picture[16:40, 24:64] = (250, 20, 20)
    latents = decoding.encode(vae, decoding.picture_tensor(picture), device="cpu", dtype=torch.float32)
    again = decoding.decode(vae, latents.sample(torch.zeros_like(latents.mean)), dtype=torch.float32)

    def coarse(image: np.ndarray) -> np.ndarray:  # a colour for each latent
        return image.reshape(8, 8, 12, 8, 3).mean(axis=(1, 3))

    assert np.corrcoef(coarse(picture).ravel(), coarse(again).ravel())[0, 1] > 0.97
    assert float(latents.deviation.max()) < 0.01  # and is sure of them
