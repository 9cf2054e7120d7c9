"""What the panel calls things, for people. Knows no Qt."""

from ..protocol.events import Progress, WorkerChanged, WorkerState
from ..protocol.jobs import Job, JobState, Phase, Priority
from ..protocol.request import (
    ControlKind,
    ControlMapsRequest,
    DownloadRequest,
    GenerateRequest,
    PlanRequest,
    Precision,
    Scheduler,
    Sigmas,
    Variant,
)
from ..protocol.sources import Detector
from .form import pictured
from .job_table import JobRow
from .queue_order import PRIORITIES

KINDS = {
    ControlKind.DEPTH: "Depth",
    ControlKind.NORMAL: "Normal",
    ControlKind.OPENPOSE: "Pose",
    ControlKind.CANNY: "Canny",
    ControlKind.LINEART: "Line art",
    ControlKind.LINEART_ANIME: "Anime line art",
    ControlKind.SOFTEDGE: "Soft edge",
    ControlKind.SCRIBBLE: "Scribble",
    ControlKind.MLSD: "Straight lines",
    ControlKind.SEGMENTATION: "Segmentation",
    ControlKind.INPAINT: "Inpaint",
    ControlKind.TILE: "Tile",
    ControlKind.SHUFFLE: "Shuffle",
    ControlKind.BLUR: "Blur",
    ControlKind.GRAY: "Gray",
    ControlKind.LOW_QUALITY: "Low quality",
}
DETECTORS = {
    Detector.CANNY: "Canny",
    Detector.HED: "HED",
    Detector.PIDINET: "PiDiNet",
    Detector.TEED: "TEED",
    Detector.LINEART: "Line art",
    Detector.LINEART_STANDARD: "Standard line art",
    Detector.LINEART_ANIME: "Anime line art",
    Detector.MLSD: "M-LSD",
    Detector.OPENPOSE: "OpenPose",
    Detector.DWPOSE: "DWPose",
    Detector.MIDAS: "MiDaS",
    Detector.ZOE: "ZoeDepth",
    Detector.LERES: "LeReS",
    Detector.NORMAL_BAE: "NormalBAE",
    Detector.SHUFFLE: "Shuffle",
    Detector.SAM: "Segment Anything",
}
SCHEDULERS = {
    Scheduler.UNIPC: "UniPC",
    Scheduler.DPMPP_2M: "DPM++ 2M",
    Scheduler.DPMPP_2M_SDE: "DPM++ 2M SDE",
    Scheduler.DPMPP_3M: "DPM++ 3M",
    Scheduler.DPMPP_2S: "DPM++ 2S",
    Scheduler.DEIS: "DEIS",
    Scheduler.SA_SOLVER: "SA-Solver",
    Scheduler.EULER: "Euler",
    Scheduler.EULER_ANCESTRAL: "Euler ancestral",
    Scheduler.DPM2: "DPM2",
    Scheduler.DPM2_ANCESTRAL: "DPM2 ancestral",
    Scheduler.HEUN: "Heun",
    Scheduler.LMS: "LMS",
    Scheduler.PNDM: "PNDM",
    Scheduler.DDIM: "DDIM",
    Scheduler.DDPM: "DDPM",
    Scheduler.LCM: "LCM",
    Scheduler.TCD: "TCD",
}
_NOISY = "adds noise in every step, so that other numbers of steps give other pictures"
SCHEDULER_HINTS = {
    Scheduler.UNIPC: "Good pictures in few steps",
    Scheduler.DPMPP_2M: "Good pictures in few steps",
    Scheduler.DPMPP_2M_SDE: f"Rich in detail; {_NOISY}",
    Scheduler.DPMPP_3M: "An order higher than DPM++ 2M; wants some more steps",
    Scheduler.DPMPP_2S: "DPM++ of the second order in single steps",
    Scheduler.DEIS: "Good pictures in few steps, near to those of DPM++ 2M",
    Scheduler.SA_SOLVER: f"Adams' method; {_NOISY}",
    Scheduler.EULER: "Plain and robust",
    Scheduler.EULER_ANCESTRAL: f"Soft; {_NOISY}",
    Scheduler.DPM2: "Accurate, for twice the work of a step",
    Scheduler.DPM2_ANCESTRAL: f"Twice the work of a step; {_NOISY}",
    Scheduler.HEUN: "Accurate, for twice the work of a step",
    Scheduler.LMS: "Linear multistep",
    Scheduler.PNDM: "What Stable Diffusion was published with",
    Scheduler.DDIM: "The first quick one; wants more steps",
    Scheduler.DDPM: f"As the models were trained; wants hundreds of steps and {_NOISY}",
    Scheduler.LCM: "For latent consistency models: 2 to 8 steps, guidance of 1 to 2",
    Scheduler.TCD: "For models distilled by trajectory consistency: 2 to 8 steps, guidance of 1 to 2",
}
SIGMAS = {
    Sigmas.DEFAULT: "Default",
    Sigmas.KARRAS: "Karras",
    Sigmas.EXPONENTIAL: "Exponential",
    Sigmas.BETA: "Beta",
    Sigmas.TRAILING: "Trailing (SGM Uniform)",
}
PRECISIONS = {
    Precision.AUTO: "Auto",
    Precision.FLOAT32: "float32",
    Precision.FLOAT16: "float16",
    Precision.BFLOAT16: "bfloat16",
}
STATES = {
    JobState.QUEUED: "Waiting",
    JobState.RUNNING: "Running",
    JobState.SUCCEEDED: "Done",
    JobState.FAILED: "Failed",
    JobState.CANCELLED: "Cancelled",
    JobState.INTERRUPTED: "Interrupted",
}
CLIENTS = {"blender": "Blender", "panel": "Panel", "script": "Script"}
RENDER_CLIENTS = frozenset({"blender", "script"})
"""The clients whose jobs hold passes out of Blender."""

_PHASES = {
    Phase.CAPTURE: "Reading the passes",
    Phase.CONVERT: "Converting the passes",
    Phase.UPLOAD: "Sending the images",
    Phase.QUEUE: "Waiting in the queue",
    Phase.LOAD: "Loading the models",
    Phase.FETCH: "Downloading",
    Phase.CONDITIONING: "Making the control maps",
    Phase.ENCODE: "Reading the prompt",
    Phase.STEP: "Painting",
    Phase.DECODE: "Decoding the picture",
    Phase.STORE: "Storing the picture",
    Phase.DOWNLOAD: "Fetching the picture",
    Phase.WRITE_BACK: "Writing the picture back",
}


def is_starting(worker: WorkerChanged | None) -> bool:
    """Whether jobs wait for the worker itself."""
    return worker is not None and worker.state is WorkerState.STARTING


def queued(worker: WorkerChanged | None) -> str:
    """What a job that has not begun waits for."""
    return "Loading PyTorch" if is_starting(worker) else "Waiting in the queue"


def phase(progress: Progress) -> str:
    """What the worker is doing: "Painting picture 2 of 4, step 7 of 20"."""
    words = _PHASES[progress.phase]
    if progress.phase is Phase.FETCH and progress.note:
        return progress.note
    if progress.pictures > 1 and progress.phase is Phase.STEP:
        words += f" picture {progress.picture} of {progress.pictures}"
    if progress.phase is Phase.STEP and progress.steps:
        return f"{words}, step {progress.step} of {progress.steps}"
    return words


def title(job: Job) -> str:
    """One line that tells a job from others: its prompt."""
    if isinstance(job.request, ControlMapsRequest):
        kinds = ", ".join(KINDS[control.kind] for control in job.request.controls)
        return f"Control maps: {kinds}"
    if isinstance(job.request, PlanRequest):
        return f"Memory check: {one_line(job.request.picture.prompt)}"
    if isinstance(job.request, DownloadRequest):
        return f"Download: {'/'.join(filter(None, (job.request.reference, job.request.file)))}"
    return one_line(job.request.prompt)


def one_line(prompt: str) -> str:
    """A prompt without its line breaks."""
    return " ".join(prompt.split()) or "No prompt"


def client(job: Job) -> str:
    """Who asked for the job."""
    return CLIENTS.get(job.client, job.client or "Unknown")


def summary(row: JobRow, now: float) -> str:
    """The second line of a job in the list: state, who asked, when, how long."""
    job = row.job
    if job.state is JobState.RUNNING and row.progress is not None:
        return f"{phase(row.progress)} · {client(job)}"
    parts = [STATES[job.state], client(job), ago(now - job.created_at)]
    if job.state is JobState.QUEUED and job.priority is not Priority.NORMAL:
        parts.insert(1, f"{PRIORITIES[job.priority].lower()} priority")
    if job.state is JobState.SUCCEEDED and (took := duration_s(job)) is not None:
        parts[0] = f"{STATES[job.state]} in {duration(took)}"
    if isinstance(job.request, GenerateRequest) and (count := len(job.request.pictures)) > 1:
        parts.insert(1, f"{count} pictures")
    return " · ".join(parts)


def details(job: Job, shown: Variant | None = None) -> str:
    """What made the pictures, in one line; of several, what made the one that is `shown`."""
    request = pictured(job.request)
    if request is None:
        return title(job)
    parts = [f"{request.size.width} × {request.size.height}"]
    if isinstance(request, GenerateRequest):
        parts += [f"{request.steps} steps", SCHEDULERS[request.scheduler]]
        if request.sigmas is not Sigmas.DEFAULT:
            parts.append(f"{SIGMAS[request.sigmas]} noise levels")
        parts.append(f"seed {request.seed if shown is None else shown.seed}")
        if len(request.pictures) > 1 and shown is None:
            parts.append(f"{len(request.pictures)} pictures")
        if shown is not None and shown.prompt != request.prompt:
            parts.insert(0, f"“{one_line(shown.prompt)}”")
    if (took := duration_s(job)) is not None:
        parts.append(duration(took))
    return " · ".join(parts)


def how(job: Job) -> tuple[str, ...]:
    """Where and how the job ran, and what its user should know of that; nothing before it has succeeded."""
    result = job.result
    return () if result is None else tuple(filter(None, (result.plan, *result.notes)))


def duration_s(job: Job) -> float | None:
    """How long the job ran; None while it has not."""
    if job.started_at is None or job.ended_at is None:
        return None
    return max(0.0, job.ended_at - job.started_at)


def duration(seconds: float) -> str:
    """A length of time: "0.4 s", "12 s", "3 min 20 s"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def ago(seconds: float) -> str:
    """How long ago: "just now", "5 min ago", "3 h ago", "2 days ago"."""
    if seconds < 60:
        return "just now"
    for limit, unit_s, unit in ((3600, 60, "min"), (86400, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds // unit_s)} {unit} ago"
    days = int(seconds // 86400)
    return "yesterday" if days == 1 else f"{days} days ago"


def file_name(job: Job, plate: str = "", shown: Variant | None = None) -> str:
    """What to call the job's picture, or one of its control maps, when it is saved; `shown` is which of several."""
    named = plate or (title(job) if shown is None else one_line(shown.prompt))
    kept = "".join(character if character.isalnum() else " " for character in named.lower())
    stem = "-".join(kept.split()[:6]) or "picture"
    own = job.request.pictures[0] if isinstance(job.request, GenerateRequest) else None
    picture = shown or own
    return f"{stem[:60]}{'' if picture is None else f'-{picture.seed}'}.png"
