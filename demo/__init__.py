"""The demo: a scene made in code, painted through the installed extension, and what came of it."""
