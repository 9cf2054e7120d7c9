"""What one comparison paints: every option that a request has, as plain data, and its words for the printed line."""

from dataclasses import dataclass, replace
from typing import Literal

from underpaint.protocol.request import ControlKind, Scheduler, Sigmas

Task = Literal["text", "image", "inpaint"]

UNION_MODES = {ControlKind.DEPTH: 1, ControlKind.CANNY: 3, ControlKind.NORMAL: 4, ControlKind.TILE: 6}
PROMPTS = ("a red fox in the snow", "a lighthouse at dusk", "two cats, oil on canvas", "a street in the rain")
NEGATIVE = "blurry"


@dataclass(frozen=True, kw_only=True)
class Net:
    """A control: the ControlNet's folder, and what counts how much when."""

    folder: str
    kind: ControlKind = ControlKind.DEPTH
    scale: float = 1.0
    start: float = 0.0
    end: float = 1.0
    guess: bool = False
    curve: tuple[tuple[float, float], ...] = ()  # (place, factor)

    @property
    def mode(self) -> int | None:
        """The union's mode; None for a plain net."""
        return UNION_MODES[self.kind] if self.folder.endswith(("union", "promax")) else None

    @property
    def window(self) -> tuple[float, float]:
        return (self.start, self.end)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job, for the stock pipeline and for ours."""

    checkpoint: str = "sd15"
    task: Task = "text"
    strength: float = 1.0  # of image to image and inpainting
    nets: tuple[Net, ...] = ()
    guidance: float = 5.0
    negative: str = NEGATIVE
    scheduler: Scheduler = Scheduler.UNIPC
    sigmas: Sigmas = Sigmas.DEFAULT
    steps: int = 5
    size: tuple[int, int] = (64, 64)  # width, height in pixels
    pictures: int = 1
    batch: int = 1

    @property
    def xl(self) -> bool:
        return self.checkpoint.startswith("sdxl")

    @property
    def guided(self) -> bool:
        """Whether there are negatives to steer away from; a UNet distilled for LCM is told the scale instead."""
        return self.guidance > 1 and not self.checkpoint.endswith("lcm")

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(range(7, 7 + self.pictures))

    @property
    def prompts(self) -> tuple[str, ...]:
        return PROMPTS[: self.pictures]

    @property
    def words(self) -> str:
        """The line's name: every option that isn't the usual one."""
        parts = [self.checkpoint, _TASKS[self.task] + (f" {self.strength:g}" if self.task != "text" else "")]
        parts.append(_net_words(self.nets))
        if any(net.curve for net in self.nets):
            parts.append("curve")
        guessing = sum(net.guess for net in self.nets)
        if guessing:
            parts.append("guess" if guessing == len(self.nets) else f"guess {guessing} of {len(self.nets)}")
        if self.guidance != 5:
            parts.append(f"guidance {self.guidance:g}")
        if not self.negative:
            parts.append("no negative prompt")
        if self.scheduler is not Scheduler.UNIPC:
            parts.append(self.scheduler.name)
        if self.sigmas is not Sigmas.DEFAULT:
            parts.append(self.sigmas)
        if self.size != (64, 64):
            parts.append(f"{self.size[0]}x{self.size[1]}")
        if self.pictures > 1:
            parts.append(f"{self.pictures} pictures " + ("together" if self.batch > 1 else "one by one"))
        if self.steps != 5:
            parts.append(f"{self.steps} steps")
        return ", ".join(part for part in parts if part)


_TASKS: dict[Task, str] = {"text": "t2i", "image": "i2i", "inpaint": "inpaint"}


def _net_words(nets: tuple[Net, ...]) -> str:
    if not nets:
        return "no net"
    names = [net.folder.partition("-")[2] for net in nets]
    words = "+".join(names)
    scales, windows = {net.scale for net in nets}, [net.window for net in nets]
    if scales != {1.0}:
        words += " x" + "/".join(f"{net.scale:g}" for net in nets)
    if set(windows) != {(0.0, 1.0)}:
        words += " [" + " ".join(f"{start:g}-{end:g}" for start, end in windows) + "]"
    return words


def without(job: Job) -> dict[str, Job]:
    """For each option that the job makes use of, the same job without it: what the option has to matter against."""
    found: dict[str, Job] = {}

    def nets(**changes: object) -> Job:
        return replace(job, nets=tuple(replace(net, **changes) for net in job.nets))  # type: ignore[arg-type]

    if job.nets:
        found["nets"] = replace(job, nets=())
    for index in range(len(job.nets)) if len(job.nets) > 1 else ():
        found[f"net {index + 1}"] = replace(job, nets=job.nets[:index] + job.nets[index + 1 :])
    if any(net.scale != 1 for net in job.nets):
        found["scales"] = nets(scale=1.0)
    if any(net.window != (0, 1) for net in job.nets):
        found["windows"] = nets(start=0.0, end=1.0)
    if any(net.curve for net in job.nets):
        found["curve"] = nets(curve=())
    if any(net.guess and not net.folder.endswith("pool") for net in job.nets):  # nets that pool guess anyhow
        found["guess"] = nets(guess=False)
    if any(net.mode is not None for net in job.nets):
        other = {ControlKind.DEPTH: ControlKind.NORMAL}
        changed = tuple(
            replace(net, kind=other.get(net.kind, ControlKind.DEPTH)) if net.mode is not None else net
            for net in job.nets
        )
        found["mode"] = replace(job, nets=changed)
    if job.guidance != 5 and (job.guided or job.guidance <= 1 or job.checkpoint.endswith("lcm")):
        found["guidance"] = replace(job, guidance=5.0)
    if job.guided and job.negative != NEGATIVE:
        found["negative prompt"] = replace(job, negative=NEGATIVE)
    if job.scheduler is not Scheduler.UNIPC:
        found["scheduler"] = replace(job, scheduler=Scheduler.UNIPC, sigmas=Sigmas.DEFAULT)
    if job.sigmas is not Sigmas.DEFAULT:
        found["sigmas"] = replace(job, sigmas=Sigmas.DEFAULT)
    if job.task == "inpaint" and not job.checkpoint.endswith("inpaint"):
        found["mask"] = replace(job, task="image")
    if job.task == "image":
        found["image"] = replace(job, task="text", strength=1.0)
    if job.task != "text" and job.strength != 1:
        found["strength"] = replace(job, strength=1.0)
    return found
