"""Plans for models of real sizes: what is chosen, what is said, and what follows when it was too much."""

import dataclasses
import itertools
import re
from collections.abc import Callable

import pytest
from full_size_models import build_checkpoint, build_controlnet
from underpaint.backend.worker.memory import planner, sizes, words
from underpaint.backend.worker.memory.needs import Needs
from underpaint.backend.worker.memory.plan import Backend, Group, Machine, Plan, Rung
from underpaint.backend.worker.models.choice import choose
from underpaint.backend.worker.models.inspection import inspect_checkpoint
from underpaint.protocol.errors import DoesNotFit, InvalidRequest
from underpaint.protocol.geometry import Extent
from underpaint.protocol.request import Control, ControlKind, GenerateRequest, Precision
from underpaint.protocol.sources import PosePass

GIB = 1 << 30
CARD = Machine(
    device="cuda:0", name="Card", backend=Backend.CUDA, total_bytes=24 * GIB, free_bytes=23 * GIB,
    host_free_bytes=48 * GIB, formats=("float16", "bfloat16", "float32"), flops=16e12, flops_float32=8e12,
)  # fmt: skip
CPU = Machine(
    device="cpu", name="", backend=Backend.CPU, total_bytes=24 * GIB, free_bytes=20 * GIB, host_free_bytes=20 * GIB,
    formats=("float32", "bfloat16", "float16"), quick_bfloat16=True, flops=4e11, flops_float32=1.5e11,
)  # fmt: skip
BUDGETS = (0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20)

NeedsOf = Callable[..., Needs]


@pytest.fixture(scope="module")
def needs_of(tmp_path_factory: pytest.TempPathFactory) -> NeedsOf:
    """What a picture by full-size models takes, told from sparse files."""
    root = tmp_path_factory.mktemp("sparse")
    for kind, nets in (("sd15", 3), ("sdxl", 2)):
        build_checkpoint(kind, root / kind, fill=False)
        for index in range(nets):
            build_controlnet(kind, root / f"{kind}-net{index}", fill=False)

    def needs(kind: str, nets: int, side: int, **changes: object) -> Needs:
        checkpoint = inspect_checkpoint(root / kind, kind)
        controls = [
            Control(kind=ControlKind.DEPTH, source=PosePass(people=()), controlnet=str(root / f"{kind}-net{index}"))
            for index in range(nets)
        ]
        chosen = [
            choose(control, checkpoint, models=root, allow_download=False, announce=_ignore) for control in controls
        ]
        request = GenerateRequest(prompt="", size=Extent(width=side, height=side), **changes)  # type: ignore[arg-type]
        return sizes.needs(checkpoint, chosen, request)

    return needs


def _ignore(_: str) -> None:
    pass


def plan(needs: Needs, machine: Machine, budget: float | None = None, precision: Precision = Precision.AUTO) -> Plan:
    return planner.make_plan(needs, machine, budget_gb=budget, precision=precision)


# ---- sizes


def test_sizes_come_from_headers(needs_of: NeedsOf) -> None:
    found = {part.name.rpartition("/")[2]: part for part in needs_of("sd15", 1, 512).parts}
    millions = {name: round(part.values / 1e6, 1) for name, part in found.items()}
    assert millions == {"unet": 859.5, "vae": 83.7, "text_encoder": 123.1, "sd15-net0": 361.3}
    xl = {part.name.rpartition("/")[2]: part for part in needs_of("sdxl", 1, 1024).parts}
    assert round(xl["unet"].values / 1e6) == 2567
    assert round(xl["sdxl-net0"].values / 1e6) == 1251
    assert found["unet"].largest_leaf == 2560 * 1280 * 9 + 1280


# TFLOP of one evaluation of two rows, by torch's FlopCounterMode over diffusers' modules; a ControlNet's
# condition embedding, 5 % of it, is computed once and not counted here.
@pytest.mark.parametrize(
    ("kind", "side", "unet", "net"),
    [("sd15", 512, 1.607, 0.567), ("sd15", 768, 4.30, 1.55), ("sd15", 1024, 9.35, 3.43), ("sdxl", 1024, 13.52, 6.04)],
)
def test_arithmetic_agrees_with_what_torch_counts(
    needs_of: NeedsOf, kind: str, side: int, unet: float, net: float
) -> None:
    needs = needs_of(kind, 1, side)
    found = {part.is_net: needs.part_flops(part) / 1e12 for part in needs.group(Group.DENOISER)}
    assert found[False] == pytest.approx(unet, rel=0.03)
    assert found[True] == pytest.approx(net, rel=0.11)
    assert found[True] < net


# Values of live tensors for each latent pixel and row, measured on torch's meta device (bench/memory.py).
@pytest.mark.parametrize(("kind", "unet", "with_net"), [("sd15", 8321, 8981), ("sdxl", 5042, 5242)])
def test_working_sets_cover_what_was_measured(needs_of: NeedsOf, kind: str, unet: float, with_net: float) -> None:
    for nets, measured in ((0, unet), (1, with_net)):
        needs = needs_of(kind, nets, 1024)
        # what is kept from step to step of the text is no part of a forward pass
        parts = tuple(dataclasses.replace(part, text_keys=0) for part in needs.parts)
        estimated = dataclasses.replace(needs, parts=parts).denoiser_values() / needs.rows / needs.latent_px
        assert 0.98 * measured < estimated < 1.4 * measured


def test_a_batch_and_guidance_count_by_rows(needs_of: NeedsOf) -> None:
    one = needs_of("sd15", 0, 512)
    assert dataclasses.replace(one, guided=False).denoiser_values() == one.denoiser_values() / 2
    assert dataclasses.replace(one, batch=4, pictures=4).denoiser_values() == 4 * one.denoiser_values()


# ---- the ladder


def test_the_words(needs_of: NeedsOf) -> None:
    said = plan(needs_of("sdxl", 2, 1024), CARD, 8).words
    assert re.fullmatch(
        r"SDXL \+ 2 ControlNets in 8\.0 GB: nets streamed, about 1\.\d times slower "
        r"\(cuda:0 Card, float16, takes about \d\.\d GB\)",
        said,
    ), said
    assert plan(needs_of("sd15", 0, 512), CPU).words.startswith("SD 1.5 in 19 GB: all in memory (cpu, bfloat16,")


@pytest.mark.parametrize(
    ("kind", "nets", "side", "budget", "rung", "streamed"),
    [
        ("sd15", 3, 512, 6, Rung.RESIDENT, ()),
        ("sd15", 1, 512, 3, Rung.PHASED, ()),
        ("sd15", 3, 512, 4, Rung.STREAMED, ("nets",)),
        ("sd15", 3, 512, 2, Rung.STREAMED, ("nets", "unet")),
        ("sdxl", 2, 1024, 16, Rung.RESIDENT, ()),
        ("sdxl", 2, 1024, 12, Rung.PHASED, ()),
        ("sdxl", 2, 1024, 8, Rung.STREAMED, ("nets",)),
        ("sdxl", 0, 1024, 4, Rung.STREAMED, ("unet",)),
        ("sdxl", 2, 1024, 2, Rung.SEQUENTIAL, ()),
    ],
)
def test_rungs_of_a_card(
    needs_of: NeedsOf, kind: str, nets: int, side: int, budget: float, rung: Rung, streamed: tuple[str, ...]
) -> None:
    chosen = plan(needs_of(kind, nets, side), CARD, budget)
    assert (chosen.rung, chosen.streamed) == (rung, streamed)


@pytest.mark.parametrize("machine", [CARD, CPU])
@pytest.mark.parametrize(("kind", "nets", "side"), [("sd15", 3, 512), ("sdxl", 2, 1024), ("sd15", 0, 2048)])
def test_every_plan_keeps_its_budget_and_a_larger_one_is_never_worse(
    needs_of: NeedsOf, machine: Machine, kind: str, nets: int, side: int
) -> None:
    needs, found = needs_of(kind, nets, side), []
    for budget in BUDGETS:
        try:
            chosen = plan(needs, machine, budget)
        except DoesNotFit:
            assert not found  # once something fits, more always does
            continue
        assert chosen.peak_bytes <= chosen.limit_bytes <= budget * GIB
        found.append((chosen.tiled_vae, chosen.slowdown))  # the exact numbers come before the time
    assert found == sorted(found, reverse=True)
    assert found[-1] == (False, 1)


@pytest.mark.parametrize(("budget", "rung"), [(12, Rung.PHASED), (8, Rung.STREAMED), (2, Rung.SEQUENTIAL)])
def test_what_comes_once_a_job_counts_less_for_each_of_several_pictures(
    needs_of: NeedsOf, budget: float, rung: Rung
) -> None:
    one = needs_of("sdxl", 2, 1024)
    alone, four = plan(one, CARD, budget), plan(dataclasses.replace(one, pictures=4), CARD, budget)
    assert alone.rung is four.rung is rung
    assert 1 < four.slowdown < alone.slowdown
    if rung is Rung.PHASED:
        assert alone.slowdown - 1 == pytest.approx(4 * (four.slowdown - 1))


def test_a_cpu_streams_nothing(needs_of: NeedsOf) -> None:
    needs = needs_of("sdxl", 2, 1024)
    assert plan(needs, CPU, 16).rung is Rung.RESIDENT
    chosen = plan(needs, CPU, 12)
    assert chosen.rung is Rung.PHASED
    assert "loaded in turn" in chosen.words


def test_the_vae_is_tiled_only_where_it_fits_in_no_other_way(needs_of: NeedsOf) -> None:
    needs = needs_of("sdxl", 0, 1024)
    assert not plan(needs, CARD, 4).tiled_vae
    tiled = plan(needs, CARD, 3)
    assert tiled.vae_tile_px == 512
    assert "decoded in tiles of 512" in tiled.words
    assert plan(needs_of("sd15", 0, 512), CARD, 1).vae_tile_px == 256


def test_what_waits_must_fit_into_main_memory(needs_of: NeedsOf) -> None:
    needs = needs_of("sd15", 3, 512)
    poor = dataclasses.replace(CARD, host_free_bytes=2 * GIB)
    assert plan(needs, CARD, 4).rung is Rung.STREAMED
    with pytest.raises(DoesNotFit):
        plan(needs, poor, 4)
    assert plan(needs, poor, 6).rung is Rung.RESIDENT


def test_less_is_free_than_the_budget_says(needs_of: NeedsOf) -> None:
    busy = dataclasses.replace(CARD, free_bytes=4 * GIB)
    assert plan(needs_of("sd15", 3, 512), busy, 16).limit_bytes == 4 * GIB


# ---- what fits in no way


def test_a_picture_that_fits_in_no_way_is_told_what_would(needs_of: NeedsOf) -> None:
    needs = needs_of("sdxl", 2, 1024)
    with pytest.raises(DoesNotFit) as caught:
        plan(needs, CPU, 8)
    said = str(caught.value)
    assert re.search(r"SDXL \+ 2 ControlNets at 1024 x 1024 takes \d+ GB at least, and cpu has 8\.0 GB", said), said
    assert "no ControlNet" in said
    plan(needs_of("sdxl", 0, 1024), CPU, 8)

    with pytest.raises(DoesNotFit, match=r"batch size 1.*, or (\d+) x \1 pixels") as caught:
        plan(dataclasses.replace(needs_of("sd15", 0, 2048), batch=16, pictures=16), CARD, 4)
    side = int(re.findall(r"(\d+) x \1 pixels", str(caught.value))[0])
    plan(needs_of("sd15", 0, side, batch_size=16), CARD, 4)
    with pytest.raises(DoesNotFit, match="nothing of this checkpoint fits"):
        plan(needs, CPU, 2)


# ---- precision


def test_the_number_format(needs_of: NeedsOf) -> None:
    big = needs_of("sd15", 0, 512)
    small = dataclasses.replace(big, parts=tuple(dataclasses.replace(p, values=p.values // 10) for p in big.parts))
    slow = dataclasses.replace(CPU, quick_bfloat16=False)
    assert plan(big, CARD).dtype_name == "float16"
    assert plan(big, dataclasses.replace(CARD, formats=("bfloat16", "float32"))).dtype_name == "bfloat16"
    assert plan(big, CPU).dtype_name == "bfloat16"
    assert plan(small, CPU).dtype_name == "float32"
    assert plan(big, slow).dtype_name == "float32"
    assert plan(big, slow, 3).dtype_name == "bfloat16"  # a budget that float32 can't keep
    assert plan(big, CPU, precision=Precision.FLOAT32).dtype_name == "float32"


def test_what_happens_to_be_free_does_not_change_the_number_format(needs_of: NeedsOf) -> None:
    needs = needs_of("sd15", 0, 512)
    slow = dataclasses.replace(CPU, quick_bfloat16=False)
    formats = {
        plan(needs, dataclasses.replace(slow, free_bytes=gib * GIB, host_free_bytes=gib * GIB)).dtype_name
        for gib in (6, 10, 20)
    }
    assert formats == {"float32"}


def test_a_precision_that_the_device_can_t_do(needs_of: NeedsOf) -> None:
    old = dataclasses.replace(CARD, formats=("float32",))
    with pytest.raises(InvalidRequest, match=r"precision is float16, and cuda:0 Card computes rightly in float32"):
        plan(needs_of("sd15", 0, 512), old, precision=Precision.FLOAT16)


def test_a_vae_that_overflows_stays_in_float32(needs_of: NeedsOf) -> None:
    needs = needs_of("sdxl", 0, 1024)
    assert plan(needs, CARD).vae_dtype_name == "float32"
    assert plan(needs, CARD, precision=Precision.BFLOAT16).vae_dtype_name == "bfloat16"
    assert plan(dataclasses.replace(needs, float32_vae=False), CARD).vae_dtype_name == "float16"


# ---- stepping down


@pytest.mark.parametrize("machine", [CARD, CPU])
@pytest.mark.parametrize(("kind", "nets", "side"), [("sd15", 3, 512), ("sdxl", 2, 1024)])
def test_stepping_down_takes_less_each_time_and_comes_to_an_end(
    needs_of: NeedsOf, machine: Machine, kind: str, nets: int, side: int
) -> None:
    needs = needs_of(kind, nets, side)
    taken = [plan(needs, machine)]
    while (lower := planner.step_down(taken[-1], needs)) is not None:
        taken.append(lower)
        assert len(taken) < 10
    assert len(taken) > 1
    peaks = [entry.peak_bytes for entry in taken]
    assert all(after < 0.9 * before for before, after in itertools.pairwise(peaks))
    assert {entry.dtype_name for entry in taken} == {taken[0].dtype_name}
    ladder = list(Rung)
    assert [ladder.index(entry.rung) for entry in taken] == sorted(ladder.index(entry.rung) for entry in taken)
    assert taken[-1].tiled_vae


def test_the_user_is_told_of_a_step_down(needs_of: NeedsOf) -> None:
    needs = needs_of("sd15", 1, 1024)
    first = plan(needs, CARD)
    lower = planner.step_down(first, needs)
    assert lower is not None
    said = words.step_down_note(first, lower)
    assert said.startswith("Memory ran out with all in memory on cuda:0 Card; went on with: SD 1.5 + 1 ControlNet in")


def test_gigabytes_are_told_with_the_digits_that_count() -> None:
    told = [words.gigabytes(round(count * GIB)) for count in (0, 0.01, 0.094, 0.1, 0.5, 7.14, 23.2)]
    assert told == ["0", "0.01", "0.09", "0.1", "0.5", "7.1", "23"]


def test_what_turned_out_to_be_there_leaves_the_number_format_alone(needs_of: NeedsOf) -> None:
    needs, slow = needs_of("sd15", 0, 512), dataclasses.replace(CPU, quick_bfloat16=False)
    lower = planner.make_plan(needs, slow, budget_gb=None, precision=Precision.AUTO, room_gb=5)
    assert (lower.dtype_name, lower.rung) == ("float32", Rung.PHASED)
