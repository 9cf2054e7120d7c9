"""The part that runs inside Blender; the only one that imports bpy, and only once it is registered."""

import atexit
import importlib
from types import ModuleType

# In the order of registration: what others refer to comes first.
_MODULES = (
    "properties",
    "main_thread",
    "compat",
    "engine",
    "presets",
    "operators",
    "program_log",
    "operators_backend",
    "operators_install",
    "operators_controls",
    "operators_painting",
    "operators_extras",
    "operators_downloads",
    "inspector",
    "operators_generate",
    "operators_depth",
    "operators_maps",
    "operators_segmentation",
    "operators_results",
    "rig_mapping",
    "operators_mapping",
    "operators_rig_files",
    "operators_openpose",
    "ui",
    "preferences",
)

_active: list[ModuleType] = []
"""What is registered now, in order."""


def is_registered() -> bool:
    """Whether Blender knows this copy of the add-on's classes."""
    return bool(_active)


def _is_module() -> bool:
    import bpy

    return not bpy.app.binary_path  # `bpy.app.module` is not in 4.2


def register() -> None:
    """Make the add-on known to Blender, all of it or, when anything fails, nothing of it."""
    if _active:
        return
    try:
        for name in _MODULES:
            module = importlib.import_module(f".{name}", __name__)
            module.register()
            _active.append(module)
    except BaseException:
        unregister()
        raise
    # `import bpy` ends without switching add-ons off, and with an engine still registered bpy 4.5 hangs there and
    # 4.2 crashes. Blender itself has taken its types back by the time that Python's exit functions run.
    if _is_module():
        atexit.register(unregister)


def unregister() -> None:
    """Take back everything that `register` did; one module's failure doesn't keep the others registered."""
    atexit.unregister(unregister)
    failures: list[Exception] = []
    while _active:
        try:
            _active.pop().unregister()
        except Exception as error:
            failures.append(error)
    if failures:
        raise ExceptionGroup("parts of Underpaint could not be unregistered", failures)
