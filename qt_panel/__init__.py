"""The standalone panel: everything the backend can do, without Blender. The only package that imports PySide6.

Pure data and rules: `form`, `job_table`, `link`, `plates`, `notices`, `words`, `messages`. Threads: `session`.
The rest is widgets, and `presenter` between the two.
"""
