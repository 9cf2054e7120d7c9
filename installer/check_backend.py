"""Checks of the environment that the backend runs in, and of the graphics card as it sees it."""

import platform

from ..protocol.errors import BackendNotInstalled
from . import environment
from .environment import Unanswered
from .findings import Computer, Finding, ok, problem, warning
from .plan import MODULES, Plan
from .variants import CUDA_DRIVER, Build, Hardware

INSTALL = 'Press "Install Backend" in Edit > Preferences > Add-ons > Underpaint, or run "underpaint install".'
REPAIR = (
    'Press "Repair or Update Backend" in Edit > Preferences > Add-ons > Underpaint, '
    'or run "underpaint install --repair".'
)
_LITTLE_VRAM = 4e9
_CUDA_DRIVERS = {"12": 525, "13": CUDA_DRIVER}
"""The first driver of each major CUDA on Linux, from the same table."""


def check_system(_computer: Computer) -> Finding:
    """What this program runs on."""
    return ok(
        "System",
        f"{platform.system()} {platform.release()} on {platform.machine()}, this program runs on Python "
        f"{platform.python_version()}.",
    )


def check_installed(computer: Computer) -> Finding:
    """Whether there is an environment, and its Python runs."""
    check = "Backend"
    try:
        python = computer.python
    except BackendNotInstalled:
        if computer.environ.get("UNDERPAINT_BACKEND_PYTHON"):
            return problem(
                check,
                "UNDERPAINT_BACKEND_PYTHON names a Python that is not there.",
                "Set it to the backend's Python, or unset it.",
            )
        if computer.home.environment.exists():
            return problem(check, "The environment has lost its Python.", REPAIR)
        return problem(check, f"It is not installed in {computer.home.environment}.", INSTALL)
    try:
        survey = computer.survey
    except Unanswered as error:
        return problem(check, f"The environment's Python, {python}, does not work: {error}.", REPAIR)
    own = "" if python == computer.home.python else " (chosen by UNDERPAINT_BACKEND_PYTHON)"
    return ok(check, f"Installed, with Python {survey.python}: {python}{own}.")


def check_packages(computer: Computer) -> Finding:
    """Whether the packages are those that are wanted, and whole."""
    check = "Packages"
    try:
        survey = computer.survey
    except (BackendNotInstalled, Unanswered):
        return problem(check, "They can't be looked at without the backend's Python.", INSTALL)
    if survey.wrong:
        named = [f"{name} ({what})" for name, what in list(survey.wrong.items())[:5]]
        more = f" and {len(survey.wrong) - 5} more" if len(survey.wrong) > 5 else ""
        return problem(check, f"Not as they should be: {', '.join(named)}{more}.", REPAIR)
    plan = Plan(
        home=computer.home,
        requirements=computer.requirements,
        download_bytes=0,
        installed_bytes=0,
        needed_bytes=0,
    )
    if computer.python == computer.home.python and environment.is_outdated(plan):
        return warning(check, "This version of Underpaint was made for other versions of them.", REPAIR)
    named = [f"{name} {survey.versions[name]}" for name in ("torch", "diffusers") if name in survey.versions]
    return ok(check, f"All {len(survey.versions)} are there and whole: {', '.join(named)}.")


def check_imports(computer: Computer) -> Finding:
    """Whether what the backend needs can be loaded."""
    check = "Libraries"
    try:
        failed = environment.failing_imports(computer.python, MODULES)
    except (BackendNotInstalled, Unanswered) as error:
        return problem(check, f"They can't be loaded: {error}".rstrip(".") + ".", REPAIR)
    if failed:
        named = "; ".join(f"{name}: {error}" for name, error in failed.items())
        return problem(check, f"Not all of them load: {named}.", REPAIR)
    return ok(check, "PyTorch, diffusers and what they need load.")


def check_device(computer: Computer) -> Finding:
    """Where pictures would be painted."""
    check = "Graphics card"
    try:
        said = computer.torch
    except (BackendNotInstalled, Unanswered) as error:
        return problem(check, f"PyTorch can't be asked: {error}".rstrip(".") + ".", REPAIR)
    if said["device"] == "cuda":
        kind = f"ROCm {said['rocm']}" if said["rocm"] else f"CUDA {said['cuda']}"
        more = f", the first of {said['cards']}" if said["cards"] > 1 else ""
        words = f"{said['name']}{more}: {said['free'] / 1e9:.1f} of {said['total'] / 1e9:.1f} GB free, {kind}."
        if said["total"] < _LITTLE_VRAM:
            return warning(check, words, "It is little memory: expect SD 1.5, slowly. Check Memory says how slowly.")
        return ok(check, words)
    if said["device"] == "mps":
        return ok(check, f"{said['name']}: up to {said['total'] / 1e9:.1f} GB of the computer's memory.")
    return _without_card(check, computer.hardware, said)


def _without_card(check: str, hardware: Hardware, said: dict[str, object]) -> Finding:
    on_processor = f"Pictures are painted on the processor, with {said['threads']} threads: minutes for each."
    if hardware.nvidia and said["cuda"]:
        needed = _CUDA_DRIVERS.get(str(said["cuda"]).split(".")[0])
        newer = f"CUDA {said['cuda']} wants driver {needed} or newer. " if needed else ""
        return problem(
            check,
            f"There is an NVIDIA card ({hardware.nvidia}), and PyTorch can't use it.",
            f"Install NVIDIA's current driver, then restart the computer. {newer}"
            'Does "nvidia-smi" in a terminal show the card?',
        )
    if hardware.nvidia or hardware.amd:
        build = Build.CUDA if hardware.nvidia else Build.ROCM
        card = hardware.nvidia or hardware.amd
        return warning(
            check,
            f"There is a card ({card}), but the PyTorch that is installed is not made for it. {on_processor}",
            f'Run "underpaint install --variant {build}": it says what it needs.',
        )
    return warning(check, f"None that PyTorch can use. {on_processor}")
