"""People in the scene, from armatures: `observe` reads Blender, `people` puts them on the picture."""

from .observe import Figure, Observed, observe
from .people import people

__all__ = ["Figure", "Observed", "observe", "people"]
