# SPDX-License-Identifier: GPL-3.0-or-later
"""Underpaint: a 3D scene as the underpainting of a picture.

This file is both the package's face for pip and the extension's face for Blender. It imports nothing
at module level, so that `import underpaint` costs nothing and works without Blender.
"""

__version__ = "0.1.0"


def register() -> None:
    """Called by Blender when the extension is switched on."""
    from . import addon

    addon.register()


def unregister() -> None:
    """Called by Blender when the extension is switched off."""
    from . import addon

    addon.unregister()
