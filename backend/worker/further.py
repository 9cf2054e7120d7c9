"""What is asked of a picture beyond prompt, controls and one pass: found and checked before anything is loaded."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...protocol.geometry import Extent
from ...protocol.request import ControlKind, GenerateRequest, SecondPass
from .memory.plan import Group
from .models import ip_adapter
from .models.choice import NetChoice, choose_net
from .models.inspection import CheckpointInfo
from .models.ip_adapter import ImagePromptChoice
from .models.loading import Source
from .models.weights import Weights
from .sampling.safety import SafetyInfo, inspect_safety_checker, safety_source
from .sampling.second_pass import first_size
from .sampling.solvers import Solver, make_solver
from .sampling.tiles import Tiling, tiling
from .sampling.weights import step_weights, window_weights

Weightings = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class SecondPassChoice:
    """A second pass, checked."""

    first_size: Extent
    solver: Solver
    weights: Weightings  # of each control at each of its evaluations
    image_weights: Weightings  # of each image prompt
    tiling: Tiling | None
    tile_net: NetChoice | None

    def cost(self, size: Extent, first_evaluations: int) -> int:
        """Evaluations of a picture in both passes, as many of the size that is painted at once as they amount to."""
        at_once = size if self.tiling is None else self.tiling.tile
        share = (self.first_size.width * self.first_size.height) / (at_once.width * at_once.height)
        tiles = 1 if self.tiling is None else len(self.tiling.corners)
        return max(1, round(len(self.solver.timesteps) * tiles + first_evaluations * share))


@dataclass(frozen=True, kw_only=True, eq=False)
class Further:
    """What is asked for, on this computer and fitting the checkpoint."""

    image_prompts: tuple[ImagePromptChoice, ...] = ()
    image_weights: Weightings = ()  # of each at each evaluation of the first pass
    safety: SafetyInfo | None = None
    second: SecondPassChoice | None = None

    @property
    def used_images(self) -> tuple[int, ...]:
        """The image prompts that count at any evaluation; of the others nothing is loaded."""
        weights = [self.image_weights] if self.second is None else [self.image_weights, self.second.image_weights]
        return tuple(place for place in range(len(self.image_prompts)) if any(any(each[place]) for each in weights))

    @property
    def sources(self) -> tuple[Source, ...]:
        """What is to be loaded besides checkpoint and nets: adapters, image encoders, and last the safety checker."""
        used = [self.image_prompts[place] for place in self.used_images]
        adapters, encoders = ip_adapter.sources(used)
        return (*adapters, *encoders, *(() if self.safety is None else (safety_source(self.safety),)))

    @property
    def parts(self) -> tuple[tuple[str, Weights, Group], ...]:
        """The same for planning: each once, by name."""
        found = {source.place: (source.name, source.weights, source.group) for source in self.sources}
        return tuple(found.values())

    @property
    def image_tokens(self) -> int:
        """Of all image prompts that count; keys and values of each are kept for the job."""
        return sum(self.image_prompts[place].adapter.tokens for place in self.used_images)

    @property
    def at_once(self) -> Extent | None:
        """The size that is painted at once, where that isn't the picture's."""
        return None if self.second is None or self.second.tiling is None else self.second.tiling.tile


def inspect_further(
    request: GenerateRequest,
    checkpoint: CheckpointInfo,
    evaluations: int,
    *,
    models: Path,
    announce: Callable[[str], None],
) -> Further:
    """Find and check it. `evaluations` are the first pass's.

    Raises InvalidRequest, AdapterMismatch, and ModelError of every sort.
    """
    prompts = tuple(ip_adapter.choose(prompt, checkpoint, models=models) for prompt in request.image_prompts)
    safety = inspect_safety_checker(request.safety_checker, models=models) if request.safety_checker else None
    second = None
    if request.second_pass is not None:
        second = _second(request, request.second_pass, checkpoint, models=models, announce=announce)
    return Further(
        image_prompts=prompts,
        image_weights=window_weights(request.image_prompts, evaluations),
        safety=safety,
        second=second,
    )


def _second(
    request: GenerateRequest,
    asked: SecondPass,
    checkpoint: CheckpointInfo,
    *,
    models: Path,
    announce: Callable[[str], None],
) -> SecondPassChoice:
    steps = request.steps if asked.steps is None else asked.steps
    solver = make_solver(request.scheduler, request.sigmas, checkpoint.scheduler_config, steps, asked.strength)
    layout = None
    if asked.tile_px is not None:
        layout = tiling(request.size, asked.tile_px, asked.overlap_px, request.seamless)
    tile_net = None
    if asked.tile_controlnet:
        tile_net = choose_net(
            ControlKind.TILE,
            asked.tile_controlnet,
            checkpoint,
            models=models,
            allow_download=request.allow_download,
            announce=announce,
        )
    count = len(solver.timesteps)
    return SecondPassChoice(
        first_size=first_size(request.size, asked.factor),
        solver=solver,
        weights=step_weights(request.controls, count),
        image_weights=window_weights(request.image_prompts, count),
        tiling=layout,
        tile_net=tile_net,
    )
