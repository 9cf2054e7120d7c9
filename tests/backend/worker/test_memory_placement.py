"""Weights that wait elsewhere and come for their turn: to the bit, without a second copy, removed without a trace."""

import gc
from collections.abc import Callable

import pytest
import torch
from torch.nn import Conv2d, Embedding, GroupNorm, Linear, Module, MultiheadAttention, Parameter, Sequential
from underpaint.backend.worker.memory.keepers import InLeaves, Keeper, OnDevice, OnDisk, OnShelf
from underpaint.backend.worker.memory.placement import Placement
from underpaint.backend.worker.memory.plan import Backend, Group, Machine, Plan, Rung
from underpaint.backend.worker.memory.ring import Ring

Make = Callable[[Module], Keeper]


class Model(Module):
    """A bit of everything: another order in memory, a parameter and a buffer beside children, attention."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = Sequential(Conv2d(3, 16, 3, padding=1), GroupNorm(4, 16), torch.nn.SiLU(), Conv2d(16, 8, 1))
        self.conv.to(memory_format=torch.channels_last)
        self.words = Embedding(10, 8)
        self.attention = MultiheadAttention(8, 2, batch_first=True)
        self.last = Linear(8, 5, bias=False)
        self.scale = Parameter(torch.randn(8))
        self.register_buffer("shift", torch.randn(8), persistent=False)

    def forward(self, picture: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        pixels = self.conv(picture).flatten(2).transpose(1, 2) * self.scale + self.shift
        text = self.words(ids)
        return self.last(self.attention(pixels, text, text)[0])


def built() -> Model:
    return Model().eval().requires_grad_(False)


def called(model: Module) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    with torch.inference_mode():
        return model(torch.randn(2, 3, 6, 6, generator=generator), torch.arange(8).reshape(2, 4))


KEEPERS: dict[str, Make] = {
    "on device": lambda model: OnDevice(model, "cpu"),
    "on shelf": lambda model: OnShelf(model, "cpu", pin=False),
    "on disk": lambda model: OnDisk(model, "cpu", built),
    "in leaves, ahead": lambda model: InLeaves(model, Ring("cpu", ahead=True), pin=False),
    "in leaves": lambda model: InLeaves(model, Ring("cpu", ahead=False), pin=False),
}


@pytest.fixture(params=KEEPERS)
def make(request: pytest.FixtureRequest) -> Make:
    return KEEPERS[request.param]


def test_the_same_numbers_to_the_bit(make: Make) -> None:
    model = built()
    wanted = called(model)
    keeper = make(model)
    for _ in range(3):
        keeper.fetch()
        assert torch.equal(called(model), wanted)
        assert torch.equal(called(model), wanted)
        keeper.drop()


def test_removing_leaves_a_plain_module_with_its_weights(make: Make) -> None:
    model, untouched = built(), built()
    before = {name: tensor.stride() for name, tensor in model.named_parameters()}
    keeper = make(model)
    keeper.fetch()
    called(model)
    keeper.remove()
    assert {name: tensor.stride() for name, tensor in model.named_parameters()} == before
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
    for name, tensor in untouched.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)
    assert torch.equal(model.shift, untouched.shift)
    assert all(not parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(called(model), called(untouched))


@pytest.mark.parametrize("second", KEEPERS)
def test_one_way_after_the_other(make: Make, second: str) -> None:
    model = built()
    wanted = called(model)
    for way in (make, KEEPERS[second], make):
        keeper = way(model)
        keeper.fetch()
        assert torch.equal(called(model), wanted)
        keeper.remove()


def test_works_inside_inference_mode(make: Make) -> None:
    """Where a job is when its models come; what was made there must be usable outside."""
    model = built()
    wanted = called(model)
    with torch.inference_mode():
        keeper = make(model)
        keeper.fetch()
        called(model)
        keeper.drop()
    keeper.fetch()
    assert torch.equal(called(model), wanted)
    keeper.remove()
    assert torch.equal(called(model.to(torch.float64).to(torch.float32)), wanted)


@pytest.mark.parametrize("way", ["on device", "on shelf", "on disk"])
def test_a_cast_and_back_while_it_is_there_does_no_harm(way: str) -> None:
    """As for a VAE that overflows. Leaves come by themselves, so plans load such a one in float32."""
    model = built().half()
    wanted = called(model.float())
    model.half()
    keeper = OnDisk(model, "cpu", lambda: built().half()) if way == "on disk" else KEEPERS[way](model)
    keeper.fetch()
    assert torch.equal(called(model.float()), wanted)
    model.half()
    keeper.drop()
    keeper.fetch()
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float16}
    assert torch.equal(called(model.float()), wanted)


# ---- memory


def storages() -> dict[int, int]:
    """Bytes of every tensor's memory by its address."""
    found: dict[int, int] = {}
    for entry in gc.get_objects():
        if issubclass(type(entry), torch.Tensor) and not entry.is_meta:
            storage = entry.untyped_storage()
            found[storage.data_ptr()] = storage.nbytes()
    return found


@pytest.fixture
def large() -> Module:
    """10 MB in 40 layers."""
    return Sequential(*(Linear(256, 256) for _ in range(40))).eval().requires_grad_(False)


def taken(make: Callable[[], object]) -> tuple[int, object]:
    gc.collect()
    before = storages()
    made = make()
    gc.collect()
    after = storages()
    return sum(after.values()) - sum(before.values()), made


def test_a_shelf_takes_the_place_of_the_weights(large: Module) -> None:
    weights = sum(tensor.nbytes for tensor in large.parameters())
    more, keeper = taken(lambda: OnShelf(large, "cpu", pin=False))
    assert abs(more) < 0.05 * weights
    fetched, _ = taken(keeper.fetch)  # type: ignore[attr-defined]
    assert fetched == pytest.approx(weights, rel=0.05)  # the device's copy, which here is main memory as well
    dropped, _ = taken(keeper.drop)  # type: ignore[attr-defined]
    assert dropped == -fetched


@pytest.mark.parametrize("ahead", [True, False])
def test_leaves_take_no_more_than_their_buffers(large: Module, ahead: bool) -> None:
    ring = Ring("cpu", ahead=ahead)
    more, _keeper = taken(lambda: InLeaves(large, ring, pin=False))
    leaf = sum(tensor.nbytes for tensor in large[0].parameters())  # type: ignore[index]
    assert 0 < more < (2.2 if ahead else 1.2) * leaf
    running: list[int] = []
    large[20].register_forward_hook(lambda *_: running.append(sum(storages().values())))  # type: ignore[operator]
    rest = sum(storages().values())
    with torch.inference_mode():
        large(torch.ones(1, 256))
    assert running[0] - rest < 0.1 * leaf


def test_what_is_on_disk_takes_nothing_until_its_turn(large: Module) -> None:
    weights = sum(tensor.nbytes for tensor in large.parameters())
    keeper = OnDisk(large, "cpu", built)
    less, _ = taken(keeper.drop)
    assert less == -weights
    assert all(parameter.is_meta for parameter in large.parameters())


# ---- the ring


def test_leaves_may_come_in_another_order_and_be_left_out() -> None:
    torch.manual_seed(0)
    layers = [Linear(4, 4).requires_grad_(False) for _ in range(5)]
    wanted = [layer(torch.ones(4)) for layer in layers]
    ring = Ring("cpu", ahead=True)
    keepers = [InLeaves(layer, ring, pin=False) for layer in layers]
    for order in ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [0, 2, 4], [4, 3, 3, 0], [1], [0, 1, 2, 3, 4]):
        for index in order:
            assert torch.equal(layers[index](torch.ones(4)), wanted[index])
    keepers[2].remove()  # as a net is that the next job doesn't use
    for index in (0, 1, 3, 4, 2):
        assert torch.equal(layers[index](torch.ones(4)), wanted[index])


def test_a_leaf_that_fails_leaves_its_weights_whole() -> None:
    layer = Linear(4, 4).requires_grad_(False)
    wanted = layer(torch.ones(4))
    InLeaves(layer, Ring("cpu", ahead=True), pin=False)
    with pytest.raises(RuntimeError):
        layer(torch.ones(5))
    assert torch.equal(layer(torch.ones(4)), wanted)


# ---- groups


class Spy:
    """A keeper that notes what is asked of it."""

    def __init__(self, module: str, log: list[str]) -> None:
        self.module, self._log = module, log

    def fetch(self) -> None:
        self._log.append(f"+{self.module}")

    def drop(self) -> None:
        self._log.append(f"-{self.module}")

    def remove(self) -> None:
        raise AssertionError


def placement(rung: Rung, log: list[str]) -> Placement:
    machine = Machine(
        device="cpu", name="", backend=Backend.CUDA, total_bytes=1, free_bytes=1, host_free_bytes=1,
        formats=("float32",), flops=1, flops_float32=1,
    )  # fmt: skip
    plan = Plan(machine=machine, dtype_name="float32", vae_dtype_name="float32", rung=rung, peak_bytes=1, limit_bytes=1)
    names = {Group.TEXT: ["text"], Group.DENOISER: ["unet", "net"], Group.VAE: ["vae"]}
    return Placement(plan, {group: [Spy(name, log) for name in entries] for group, entries in names.items()})


def test_groups_take_turns_and_stay_as_long_as_nobody_needs_the_room() -> None:
    log: list[str] = []
    place = placement(Rung.PHASED, log)
    with place.using("text"):
        pass
    assert "+text" in log
    assert "-text" not in log
    with place.using("denoiser"):
        assert log.index("-text") < log.index("+unet") < log.index("+net")
        with place.using("vae"):  # nested: what is in use stays
            assert "-unet" not in log[log.index("+unet") :]
        log.clear()
    with place.using(Group.TEXT):
        assert {"-unet", "-net", "-vae"} <= set(log)
    log.clear()
    place.rest()
    assert sorted(log) == ["-net", "-text", "-unet", "-vae"]


def test_what_is_resident_is_never_dropped_for_a_turn() -> None:
    log: list[str] = []
    place = placement(Rung.RESIDENT, log)
    for group in ("text", "denoiser", "vae"):
        with place.using(group):  # type: ignore[arg-type]
            pass
    assert not any(entry.startswith("-") for entry in log)


def test_a_group_that_can_t_be_fetched_is_not_in_use() -> None:
    log: list[str] = []
    place = placement(Rung.PHASED, log)
    place._keepers[Group.VAE][0].fetch = _fail  # type: ignore[method-assign]
    with pytest.raises(MemoryError), place.using("vae"):
        pass
    log.clear()
    with place.using("text"):
        assert "-vae" in log


def _fail() -> None:
    raise MemoryError
