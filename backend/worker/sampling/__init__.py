"""Control images and a prompt to pictures."""

from .generation import Brief, Caches, Generated, Step, generate
from .hints import HintCache
from .prompts import PromptCache

__all__ = ["Brief", "Caches", "Generated", "HintCache", "PromptCache", "Step", "generate"]
