"""Schedulers, noise levels and number formats, as the interface shows them. No bpy: property callbacks read it."""

from ..protocol.request import Scheduler, Sigmas

_HEADING = ""  # an identifier that Blender takes for the head of a column
_RESTLESS = "Adds noise at each step, so the picture changes with their number"

# (identifier, label, tooltip, number): the numbers are saved in files, so they never change.
SCHEDULERS = (
    (_HEADING, "Few Steps", "", 0),
    ("UNIPC", "UniPC", "Good pictures in few steps", 0),
    ("DPMPP_2M", "DPM++ 2M", "Good pictures in few steps; a common choice", 1),
    ("DPMPP_3M", "DPM++ 3M", "One order higher than DPM++ 2M; wants some more steps", 9),
    ("DPMPP_2S", "DPM++ 2S", "DPM++ by single steps of the second order", 10),
    ("DEIS", "DEIS", "Good pictures in few steps; near to DPM++ 2M", 11),
    (_HEADING, "Noise at Each Step", "", 0),
    ("DPMPP_2M_SDE", "DPM++ 2M SDE", f"Rich in detail. {_RESTLESS}", 8),
    ("SA_SOLVER", "SA-Solver", f"Adams' method with noise. {_RESTLESS}", 12),
    ("EULER_ANCESTRAL", "Euler Ancestral", f"Soft and lively. {_RESTLESS}", 3),
    ("DPM2_ANCESTRAL", "DPM2 Ancestral", f"Twice the work for each step. {_RESTLESS}", 14),
    ("DDPM", "DDPM", f"As the models were trained; wants hundreds of steps. {_RESTLESS}", 15),
    (_HEADING, "Classic", "", 0),
    ("EULER", "Euler", "Plain and robust", 2),
    ("HEUN", "Heun", "Accurate; twice the work for each step", 5),
    ("DPM2", "DPM2", "Accurate; twice the work for each step", 13),
    ("LMS", "LMS", "Linear multistep", 7),
    ("DDIM", "DDIM", "The classic; wants more steps", 4),
    ("PNDM", "PNDM", "The one that Stable Diffusion was published with", 6),
    (_HEADING, "Distilled Models", "", 0),
    ("LCM", "LCM", "For latent consistency models: 2 to 8 steps, guidance of 1 to 2", 16),
    ("TCD", "TCD", "For models distilled by trajectory consistency: 2 to 8 steps, guidance of 1 to 2", 17),
)

SIGMAS = (
    ("DEFAULT", "Default", "As the checkpoint's own configuration says", 0),
    ("KARRAS", "Karras", "More steps at little noise: finer detail in few steps", 1),
    ("EXPONENTIAL", "Exponential", "Each level is the same part of the one before", 2),
    ("BETA", "Beta", "More steps at both ends, where the picture begins and where it is finished", 3),
    ("TRAILING", "Trailing (SGM Uniform)", "Even steps from pure noise: for Lightning, Hyper and Turbo models", 4),
)

PRECISIONS = (
    ("AUTO", "Automatic", "What the device does well and what fits", 0),
    ("FLOAT32", "Single (float32)", "The most exact and the largest; what processors compute in", 1),
    ("FLOAT16", "Half (float16)", "Half as large, and quick on graphics cards", 2),
    ("BFLOAT16", "Half (bfloat16)", "Half as large, with the range of single precision and less detail", 3),
)


def scheduler_label(scheduler: Scheduler) -> str:
    """What a scheduler is called in the interface."""
    return next(label for identifier, label, *_ in SCHEDULERS if identifier == scheduler.name)


def sigmas_label(sigmas: Sigmas) -> str:
    """What a spread of noise levels is called in the interface."""
    return next(label for identifier, label, *_ in SIGMAS if identifier == sigmas.name)
