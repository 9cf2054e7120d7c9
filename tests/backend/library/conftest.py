"""Folders of models for all tests here."""

from library_folders import a1111, comfyui, models, no_cache

__all__ = ["a1111", "comfyui", "models", "no_cache"]
