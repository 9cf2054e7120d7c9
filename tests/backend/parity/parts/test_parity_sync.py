"""No value goes to the host and back inside the loop: it runs on the meta device, and no tensor of the CPU occurs."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from parity_jobs import Job, Net
from parity_ours import control
from parity_stock import control_image, scheduler_for
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from underpaint.backend.worker.models.nets import NetUse
from underpaint.backend.worker.sampling.guidance import ControlInput, GuidedModel, Savings
from underpaint.backend.worker.sampling.hints import HintCache
from underpaint.backend.worker.sampling.prompts import Embeddings
from underpaint.backend.worker.sampling.solvers import make_solver
from underpaint.backend.worker.sampling.weights import step_weights
from underpaint.protocol.geometry import Extent
from underpaint.protocol.request import ControlKind, Scheduler

_PLAIN = (Net(folder="sd15-a"), Net(folder="sd15-b", end=0.5, guess=True), Net(folder="sd15-c", start=0.4))
_PROMAX = (
    Net(folder="sdxl-promax", kind=ControlKind.TILE, curve=((0.0, 1.0), (1.0, 0.2))),
    Net(folder="sdxl-a"),
    Net(folder="sdxl-promax", end=0.5),
)
JOBS = (
    Job(nets=_PLAIN),
    Job(nets=(Net(folder="sd15-pool", kind=ControlKind.SHUFFLE), _PLAIN[1]), guidance=1.0),
    Job(checkpoint="sd21", nets=(Net(folder="sd21-a"),), pictures=2, batch=2),
    Job(checkpoint="sd15-inpaint", task="inpaint", nets=_PLAIN[:1]),
    Job(checkpoint="sd15-lcm", nets=_PLAIN[:1], scheduler=Scheduler.LCM),
    Job(checkpoint="sdxl", nets=_PROMAX),
)


class HostTensors(TorchDispatchMode):
    """Counts what touches a tensor outside the device, or asks a tensor for its value."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self.on_host: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.operations += 1
        if "_local_scalar_dense" in str(func):
            self.on_host.append(str(func))
            return 1.0
        found = func(*args, **kwargs)
        tensors = [leaf for leaf in tree_leaves((args, kwargs, found)) if isinstance(leaf, torch.Tensor)]
        if any(tensor.device.type != "meta" for tensor in tensors):
            self.on_host.append(str(func))
        return found


def elsewhere(module: Any) -> Any:
    """The module on the meta device, the original left as it is."""
    with torch.device("meta"):
        return type(module).from_config(module.config).eval().requires_grad_(False)


@torch.inference_mode()
@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.words)
@pytest.mark.parametrize("savings", [Savings(), Savings(folded_scales=False, shared_prefix=False, keep_times=False)])
def test_the_model_waits_for_nothing(job: Job, savings: Savings, parity: Callable[..., Any], stock: Any) -> None:
    config = dict(scheduler_for(job, stock.models).config)
    solver = make_solver(job.scheduler, job.sigmas, config, job.steps)
    weights = step_weights([control(net, None) for net in job.nets], len(solver.timesteps))
    nets = {net.folder: elsewhere(stock.net(net.folder)) for net in job.nets}
    unet = elsewhere(stock.parts(job.checkpoint)["unet"])
    rows = job.pictures * (2 if job.guided else 1)
    width, height = job.size[0] // 8, job.size[1] // 8
    inpainting = job.checkpoint.endswith("inpaint")
    model = GuidedModel(
        unet,
        [
            ControlInput(
                use=NetUse(net=nets[net.folder], mode=net.mode),
                image=control_image(index, job.size),
                weights=weights[index],
                guess_mode=net.guess,
            )
            for index, net in enumerate(job.nets)
        ],
        Embeddings(
            text=torch.zeros(rows, 77, unet.config.cross_attention_dim),
            pooled=torch.zeros(rows, 24) if job.xl else None,
        ),
        timesteps=solver.timesteps,
        guidance_scale=job.guidance,
        size=Extent(width=job.size[0], height=job.size[1]),
        pictures=job.pictures,
        extra_channels=torch.zeros(1, 5, height, width) if inpainting else None,
        hints=HintCache(),
        savings=savings,
    )
    latents = torch.zeros(job.pictures, 4, height, width, device="meta")
    run = solver.run(latents)
    with HostTensors() as seen:
        for index, needs_noise in enumerate(solver.needs_noise):
            prediction = model(run.model_input(), index)
            run.advance(prediction, torch.zeros_like(prediction) if needs_noise else None)
            run.estimate()
    which = "all savings" if savings.folded_scales else "exact savings"
    with parity("sync", f"{job.words}, {which}") as compare:
        compare("operations", seen.operations, 1000, better="more")
        compare("host tensors", len(seen.on_host), 0, better="equal")


@torch.inference_mode()
@pytest.mark.parametrize("scheduler", Scheduler)
def test_the_solver_waits_for_nothing(scheduler: Scheduler, parity: Callable[..., Any], stock: Any) -> None:
    job = Job(scheduler=scheduler, steps=6)
    solver = make_solver(scheduler, job.sigmas, dict(scheduler_for(Job(), stock.models).config), job.steps)
    latents = torch.zeros(2, 4, 8, 8, device="meta")
    run = solver.run(latents)
    with HostTensors() as seen:
        for index, needs_noise in enumerate(solver.needs_noise):
            prediction = run.model_input() * 0.5
            run.advance(prediction, latents if needs_noise else None)
            run.latents = run.latents + solver.kept(latents, latents, index)
            run.estimate()
    with parity("sync", f"solver {scheduler.name}") as compare:
        compare("operations", seen.operations, 30, better="more")
        compare("host tensors", len(seen.on_host), 0, better="equal")


def test_a_host_tensor_would_be_seen() -> None:
    value = torch.zeros(2, device="meta")
    with HostTensors() as seen:
        value * 2
        assert seen.on_host == []
        value * torch.tensor(2.0)
        assert len(seen.on_host) >= 1
        before = len(seen.on_host)
        value[0].item()
        assert len(seen.on_host) == before + 1
