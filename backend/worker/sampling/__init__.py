"""Control images and a prompt to a picture."""

from .generation import Generated, generate
from .prompts import PromptCache

__all__ = ["Generated", "PromptCache", "generate"]
