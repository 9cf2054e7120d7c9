"""Making, mending and examining the backend on this computer: standard library and `protocol` alone, no bpy, no torch.

Blender's preferences and the command line `underpaint` stand on it.
"""
