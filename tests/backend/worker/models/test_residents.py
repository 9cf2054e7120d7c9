"""What stays in memory from job to job, what goes, and what is loaded anew."""

import dataclasses
import gc
import os
import shutil
import weakref
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from underpaint.backend.worker.memory import devices, planner, sizes
from underpaint.backend.worker.memory.plan import Backend, Plan, Rung
from underpaint.backend.worker.models import embedded
from underpaint.backend.worker.models.choice import NetChoice, choose
from underpaint.backend.worker.models.inspection import CheckpointInfo, inspect_checkpoint
from underpaint.backend.worker.models.residents import Models, Residents
from underpaint.protocol.errors import JobCancelled, ModelBroken
from underpaint.protocol.geometry import Extent
from underpaint.protocol.request import Control, ControlKind, GenerateRequest, Precision
from underpaint.protocol.sources import PosePass

REQUEST = GenerateRequest(prompt="", size=Extent(width=64, height=64))


@pytest.fixture
def checkpoint(models: Path) -> CheckpointInfo:
    return inspect_checkpoint(embedded.checkpoint(models), "")


@pytest.fixture
def nets(models: Path, checkpoint: CheckpointInfo) -> dict[str, NetChoice]:
    kinds = (ControlKind.DEPTH, ControlKind.NORMAL, ControlKind.OPENPOSE)
    return {str(kind): net(models, checkpoint, kind) for kind in kinds}


def net(models: Path, checkpoint: CheckpointInfo, kind: ControlKind, reference: str = "") -> NetChoice:
    control = Control(kind=kind, source=PosePass(people=()), controlnet=reference)
    return choose(control, checkpoint, models=models, allow_download=False, announce=lambda _: None)


def plan_of(checkpoint: CheckpointInfo, chosen: Sequence[NetChoice], rung: Rung = Rung.RESIDENT) -> Plan:
    """A plan for this CPU; rungs that are a GPU's are followed here all the same, with the CPU as the device."""
    machine = devices.machine()
    needs = sizes.needs(checkpoint, chosen, REQUEST)
    plan = planner.make_plan(needs, machine, budget_gb=None, precision=Precision.FLOAT32)
    if rung in (Rung.STREAMED, Rung.SEQUENTIAL):
        machine = dataclasses.replace(machine, backend=Backend.CUDA)
    streamed = ("nets", "unet") if rung is Rung.STREAMED else ()
    return dataclasses.replace(plan, machine=machine, rung=rung, streamed=streamed)


class Keep:
    """Residents, and what they said they load."""

    def __init__(self) -> None:
        self.residents = Residents()
        self.loads: list[str] = []

    def models(self, checkpoint: CheckpointInfo, chosen: Sequence[NetChoice] = (), **changes: object) -> Models:
        self.loads = []
        plan = plan_of(checkpoint, chosen)
        plan = dataclasses.replace(plan, **changes)  # type: ignore[arg-type]
        return self.residents.models(checkpoint, chosen, plan, self.loads.append)


def output(models: Models) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    sample, text = torch.randn(2, 4, 8, 8, generator=generator), torch.randn(2, 77, 64, generator=generator)
    place, found = models.placement, []
    with torch.inference_mode():
        with place.using("text"):
            found.append(models.pipeline.encode_prompt("a cat", place.device, 1, False)[0])
        with place.using("denoiser"):
            hint = torch.rand(2, 3, 64, 64, generator=generator)
            for use in models.nets:
                down, middle = use.net(sample, 10, text, controlnet_cond=hint, return_dict=False)
                found += [*down, middle]
            found.append(models.unet(sample, 10, text).sample)
        with place.using("vae"):
            found.append(models.vae.decode(sample[:1]).sample)
    return found


def same(first: Sequence[torch.Tensor], second: Sequence[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


# ---- keeping


def test_nothing_is_loaded_twice(checkpoint: CheckpointInfo, nets: dict[str, NetChoice]) -> None:
    keep = Keep()
    first = keep.models(checkpoint, [nets["depth"]])
    assert keep.loads == ["Loading text_encoder", "Loading unet", "Loading vae", "Loading ControlNet depth"]
    again = keep.models(checkpoint, [nets["depth"]])
    assert keep.loads == []
    assert again.unet is first.unet
    assert again.pipeline is first.pipeline


def test_swapping_a_net_leaves_the_rest(checkpoint: CheckpointInfo, nets: dict[str, NetChoice]) -> None:
    keep = Keep()
    first = keep.models(checkpoint, [nets["depth"], nets["normal"]])
    swapped = keep.models(checkpoint, [nets["openpose"], nets["normal"]])
    assert keep.loads == ["Loading ControlNet openpose"]
    assert swapped.unet is first.unet
    assert swapped.nets[1].net is first.nets[1].net
    back = keep.models(checkpoint, [nets["depth"]])
    assert keep.loads == []  # there was room to keep it
    assert back.nets[0].net is first.nets[0].net


def test_nets_come_in_the_order_that_was_asked_for(checkpoint: CheckpointInfo, nets: dict[str, NetChoice]) -> None:
    keep = Keep()
    one, two = (keep.models(checkpoint, [nets[name] for name in order]) for order in (("depth", "normal"), ("normal",)))
    assert two.nets[0].net is one.nets[1].net
    twice = keep.models(checkpoint, [nets["depth"], nets["depth"]])
    assert twice.nets[0].net is twice.nets[1].net is one.nets[0].net


def test_several_checkpoints_are_kept(checkpoint: CheckpointInfo, models: Path) -> None:
    keep = Keep()
    other = inspect_checkpoint(models / "sdxl", "sdxl")
    first = keep.models(checkpoint)
    keep.models(other)
    assert "Loading text_encoder_2" in keep.loads
    assert keep.models(checkpoint).unet is first.unet
    assert keep.loads == []


# ---- letting go


def test_what_was_used_longest_ago_goes_first_when_room_is_needed(
    checkpoint: CheckpointInfo, nets: dict[str, NetChoice]
) -> None:
    keep = Keep()
    for name in ("depth", "normal", "openpose"):
        keep.models(checkpoint, [nets[name]])
    held = keep.residents.held_bytes
    one_net = sum(size for _, size, _ in nets["depth"].info.weights.stamp) * 2  # float16 on disk
    peak = 1 << 30
    keep.models(checkpoint, [nets["openpose"]], peak_bytes=peak, limit_bytes=peak + int(1.5 * one_net))
    assert keep.residents.held_bytes == pytest.approx(held - one_net, rel=0.01)
    keep.models(checkpoint, [nets["normal"]])
    assert keep.loads == []
    keep.models(checkpoint, [nets["depth"]])
    assert keep.loads == ["Loading ControlNet depth"]


def test_nothing_of_the_job_at_hand_goes_however_little_room_there_is(
    checkpoint: CheckpointInfo, nets: dict[str, NetChoice]
) -> None:
    keep = Keep()
    keep.models(checkpoint, [nets["depth"], nets["normal"]])
    keep.models(checkpoint, [nets["depth"]], peak_bytes=2, limit_bytes=1)
    assert keep.loads == []
    keep.models(checkpoint, [nets["depth"], nets["normal"]])
    assert keep.loads == ["Loading ControlNet normal"]


def test_what_goes_is_gone_before_its_memory_is_given_back(
    checkpoint: CheckpointInfo, nets: dict[str, NetChoice], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = Keep()
    net = weakref.ref(keep.models(checkpoint, [nets["depth"]]).nets[0].net)
    gone: list[bool] = []
    monkeypatch.setattr(devices, "release", lambda: gone.append(net() is None))
    keep.models(checkpoint, peak_bytes=2, limit_bytes=1)
    assert gone == [True]


def test_letting_go_of_everything(checkpoint: CheckpointInfo, nets: dict[str, NetChoice]) -> None:
    keep = Keep()
    keep.models(checkpoint, [nets["depth"]])
    assert keep.residents.held_bytes > 5_000_000
    keep.residents.clear()
    assert keep.residents.held_bytes == 0
    keep.models(checkpoint, [nets["depth"]])
    assert len(keep.loads) == 4


# ---- what changes


def test_files_that_changed_are_loaded_anew(checkpoint: CheckpointInfo, models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "net"
    shutil.copytree(embedded.controlnet(models, ControlKind.DEPTH), folder)
    keep = Keep()
    first = keep.models(checkpoint, [net(models, checkpoint, ControlKind.DEPTH, str(folder))])
    held = keep.residents.held_bytes
    file = folder / "diffusion_pytorch_model.safetensors"
    shutil.copyfile(embedded.controlnet(models, ControlKind.NORMAL) / file.name, file)
    os.utime(file, ns=(1, 1))
    again = keep.models(checkpoint, [net(models, checkpoint, ControlKind.DEPTH, str(folder))])
    assert keep.loads == [f"Loading ControlNet {folder}"]
    assert not same(list(first.nets[0].net.parameters()), list(again.nets[0].net.parameters()))
    assert keep.residents.held_bytes == held


def test_another_number_format_replaces_the_first(checkpoint: CheckpointInfo) -> None:
    keep = Keep()
    keep.models(checkpoint)
    held = keep.residents.held_bytes
    narrow = keep.models(checkpoint, dtype_name="bfloat16", vae_dtype_name="bfloat16")
    assert narrow.unet.dtype is narrow.vae.dtype is torch.bfloat16
    assert keep.residents.held_bytes == held // 2


def test_an_error_on_the_way_leaves_what_was_there(
    checkpoint: CheckpointInfo, nets: dict[str, NetChoice], models: Path, tmp_path: Path
) -> None:
    keep = Keep()
    first = keep.models(checkpoint, [nets["depth"]])
    folder = tmp_path / "net"
    shutil.copytree(embedded.controlnet(models, ControlKind.NORMAL), folder)
    broken = net(models, checkpoint, ControlKind.NORMAL, str(folder))
    file = folder / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(ModelBroken):
        keep.models(checkpoint, [nets["depth"], broken])

    def stop(_: str) -> None:
        raise JobCancelled

    with pytest.raises(JobCancelled):
        keep.residents.models(checkpoint, [nets["normal"]], plan_of(checkpoint, [nets["normal"]]), stop)
    again = keep.models(checkpoint, [nets["depth"]])
    assert keep.loads == []
    assert again.nets[0].net is first.nets[0].net


# ---- every rung


@pytest.mark.parametrize("rung", Rung)
def test_every_rung_gives_the_same_numbers(
    checkpoint: CheckpointInfo, nets: dict[str, NetChoice], rung: Rung, wanted: list[torch.Tensor]
) -> None:
    chosen = [nets["depth"], nets["normal"]]
    residents = Residents()
    models = residents.models(checkpoint, chosen, plan_of(checkpoint, chosen, rung), lambda _: None)
    assert same(output(models), wanted)
    assert same(output(models), wanted)
    models.placement.rest()
    assert same(output(models), wanted)


def test_from_rung_to_rung_and_back(
    checkpoint: CheckpointInfo, nets: dict[str, NetChoice], wanted: list[torch.Tensor]
) -> None:
    chosen, residents = [nets["depth"], nets["normal"]], Residents()
    down_and_up = [*Rung, *reversed(Rung), Rung.STREAMED, Rung.PHASED, Rung.SEQUENTIAL, Rung.RESIDENT]
    for rung in down_and_up:
        models = residents.models(checkpoint, chosen, plan_of(checkpoint, chosen, rung), lambda _: None)
        assert same(output(models), wanted), rung
    hooked = [part for part in models.unet.modules() if part._forward_pre_hooks or part._forward_hooks]
    assert not hooked


@pytest.fixture
def wanted(checkpoint: CheckpointInfo, nets: dict[str, NetChoice]) -> list[torch.Tensor]:
    """By plain modules, loaded and called without any of this."""
    import diffusers

    keep = Keep()
    models = keep.models(checkpoint, [nets["depth"], nets["normal"]])
    plain = [
        diffusers.UNet2DConditionModel.from_pretrained(checkpoint.folder / "unet", torch_dtype=torch.float32),
        diffusers.AutoencoderKL.from_pretrained(checkpoint.folder / "vae", torch_dtype=torch.float32),
    ]
    assert same(list(models.unet.parameters()), list(plain[0].parameters()))
    assert same(list(models.vae.parameters()), list(plain[1].parameters()))
    return output(models)


def test_on_a_cpu_parts_are_in_memory_for_their_turn_only(
    checkpoint: CheckpointInfo, nets: dict[str, NetChoice]
) -> None:
    chosen = [nets["depth"]]
    residents, heard = Residents(), []
    models = residents.models(checkpoint, chosen, plan_of(checkpoint, chosen, Rung.PHASED), heard.append)
    parts = {"denoiser": [models.unet, models.nets[0].net], "vae": [models.vae], "text": [models.pipeline.text_encoder]}

    def here() -> set[str]:
        return {name for name, modules in parts.items() if not any(p.is_meta for m in modules for p in m.parameters())}

    assert here() == set()
    for group in ("text", "denoiser", "vae", "text"):
        with models.placement.using(group):  # type: ignore[arg-type]
            assert here() == {group}
    models.placement.rest()
    assert here() == set()
    assert residents.held_bytes == 0  # or the next plan would take for free what isn't held


def test_leaves_of_a_net_that_went_are_not_kept(checkpoint: CheckpointInfo, nets: dict[str, NetChoice]) -> None:
    residents = Residents()
    both = [nets["depth"], nets["normal"]]
    models = residents.models(checkpoint, both, plan_of(checkpoint, both, Rung.STREAMED), lambda _: None)
    output(models)
    gone = weakref.ref(models.nets[1].net)
    del models
    plan = plan_of(checkpoint, both[:1], Rung.STREAMED)
    crowded = dataclasses.replace(plan, machine=dataclasses.replace(plan.machine, host_free_bytes=0))
    residents.models(checkpoint, both[:1], crowded, lambda _: None)
    gc.collect()
    assert gone() is None
