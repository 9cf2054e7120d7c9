"""A module's classes, registered all or none."""

from collections.abc import Callable, Sequence
from typing import Any

import bpy


def of_classes(classes: Sequence[Any]) -> tuple[Callable[[], None], Callable[[], None]]:
    """`register` and `unregister` for classes that are registered in order and unregistered backwards."""

    def register() -> None:
        done: list[Any] = []
        try:
            for cls in classes:
                bpy.utils.register_class(cls)
                done.append(cls)
        except BaseException:
            for cls in reversed(done):
                bpy.utils.unregister_class(cls)
            raise

    def unregister() -> None:
        for cls in reversed(classes):
            bpy.utils.unregister_class(cls)

    return register, unregister
