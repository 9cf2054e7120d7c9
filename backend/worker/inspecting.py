"""What a picture job needs, found and checked before anything is loaded or computed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ...protocol.errors import InvalidRequest
from ...protocol.request import GenerateRequest
from .further import Further, inspect_further
from .models import downloads, references
from .models.adapters import LoraChoice
from .models.choice import NetChoice, choose
from .models.embeddings import EmbeddingChoice
from .models.inspection import CheckpointInfo, inspect_checkpoint
from .models.other_vae import with_vae
from .pipelines import limits
from .prompt_extras import listed_loras, prompt_extras
from .sampling.solvers import Solver, make_solver
from .sampling.weights import step_weights


@dataclass(frozen=True, kw_only=True, eq=False)
class Inspected:
    """A picture job whose models are on this computer and fit together."""

    checkpoint: CheckpointInfo
    nets: tuple[NetChoice, ...]  # one for each control
    solver: Solver | None  # None for a family that diffusers' own pipelines paint
    evaluations: int  # of the model for each picture; 0 where the start picture is to be left as it is
    weights: tuple[tuple[float, ...], ...]  # of each control at each evaluation
    further: Further = field(default_factory=Further)
    loras: tuple[LoraChoice, ...] = ()  # of the request and of its prompts
    embeddings: tuple[EmbeddingChoice, ...] = ()  # the same for textual inversions
    notes: tuple[str, ...] = ()  # what the user should hear of

    @property
    def used(self) -> tuple[int, ...]:
        """The controls that count at any evaluation. The others cost nothing but their control images."""
        second = self.further.second
        of_second = ((),) * len(self.weights) if second is None else second.weights
        each = zip(self.weights, of_second, strict=True)
        return tuple(index for index, (weights, again) in enumerate(each) if any(weights) or any(again))

    @property
    def used_nets(self) -> tuple[NetChoice, ...]:
        """The ControlNets to load: one for each control that counts, and last a second pass's tile net."""
        second = self.further.second
        last = () if second is None or second.tile_net is None else (second.tile_net,)
        return (*(self.nets[index] for index in self.used), *last)


def inspect(request: GenerateRequest, *, models: Path, announce: Callable[[str], None]) -> Inspected:
    """Find every model and check that it does what is asked for.

    `announce` hears what takes long before it begins, and may raise. Raises InvalidRequest and ModelError of every
    sort.
    """
    folder = references.checkpoint_folder(
        request.checkpoint, models=models, allow_download=request.allow_download, announce=announce
    )
    checkpoint = inspect_checkpoint(folder, request.checkpoint, with_vae=not request.vae)
    if checkpoint.family.stock is not None:
        limits.check(request, checkpoint)
    if request.vae:
        checkpoint = with_vae(
            checkpoint, request.vae, models=models, allow_download=request.allow_download, announce=announce
        )
    start = request.start
    if checkpoint.fills_holes and (start is None or start.mask is None):
        raise InvalidRequest(
            reason=f"the checkpoint {request.checkpoint} is made for inpainting, and there is no start picture with a "
            "mask. Give it one, or choose the plain checkpoint"
        )
    solver = None
    if checkpoint.family.stock is not None:
        evaluations = limits.evaluations(request)
    else:
        solver = make_solver(
            request.scheduler,
            request.sigmas,
            checkpoint.scheduler_config,
            request.steps,
            1.0 if start is None else start.strength,
        )
        evaluations = len(solver.timesteps)
    nets = tuple(
        choose(control, checkpoint, models=models, allow_download=request.allow_download, announce=announce)
        for control in request.controls
    )
    weights = step_weights(request.controls, evaluations)
    if checkpoint.family.stock is not None:
        used = [(index, net) for index, net in enumerate(nets) if any(weights[index])]
        limits.check_nets(request, checkpoint, used)
    further = Further()
    downloads.bring(request, models=models, announce=announce)
    if checkpoint.family.stock is not None:
        extras = listed_loras(request, checkpoint, models=models)
    else:
        extras = prompt_extras(request, checkpoint, models=models)
        further = inspect_further(request, checkpoint, evaluations, models=models, announce=announce)
    return Inspected(
        checkpoint=checkpoint,
        nets=nets,
        solver=solver,
        evaluations=evaluations,
        weights=weights,
        further=further,
        loras=extras.loras,
        embeddings=extras.embeddings,
        notes=extras.notes,
    )
