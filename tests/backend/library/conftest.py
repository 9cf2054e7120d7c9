"""Folders of models for all tests here."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "families"))
sys.path.insert(0, str(Path(__file__).parents[1] / "worker"))

from library_folders import a1111, comfyui, models, no_cache

__all__ = ["a1111", "comfyui", "models", "no_cache"]
