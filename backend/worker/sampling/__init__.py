"""Control images and a prompt to pictures."""

from .generation import Brief, Caches, Generated, generate
from .hints import HintCache
from .prompts import PromptCache
from .steps import Step

__all__ = ["Brief", "Caches", "Generated", "HintCache", "PromptCache", "Step", "generate"]
