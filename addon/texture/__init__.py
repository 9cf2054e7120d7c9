"""Pictures as textures: `project` takes one from its camera onto meshes.

`bake.bake_view` is the part without Blender: arrays in, arrays out, one view at a time with weights.
"""

from .projection import Report, project, report_of

__all__ = ["Report", "project", "report_of"]
