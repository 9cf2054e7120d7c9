"""People in the scene, from armatures: `observe` reads Blender, `people` puts them on the picture."""

from .observe import Figure, Observed, observe
from .people import ObjectIds, people

__all__ = ["Figure", "ObjectIds", "Observed", "observe", "people"]
