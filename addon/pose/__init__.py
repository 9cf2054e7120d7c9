"""People in the scene, from armatures: `observe` reads Blender, `people` puts them on the picture."""

from .observe import Figure, Observed, Stranger, observe
from .people import ObjectIds, left_out, people

__all__ = ["Figure", "ObjectIds", "Observed", "Stranger", "left_out", "observe", "people"]
