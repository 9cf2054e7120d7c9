"""Runs inside a Blender that has the extension: renders a small frame through it, and says what it saw.

Arguments after `--`: the picture to write, the report to write, and optionally the zip, where Blender's
command line has not installed it already.
"""

import json
import sys
from pathlib import Path

import bpy

NAME = "bl_ext.user_default.underpaint"


def install(archive: Path) -> None:
    import addon_utils

    addon_utils.enable("bl_pkg")
    bpy.ops.extensions.package_install_files(
        filepath=str(archive), repo="user_default", enable_on_install=True, overwrite=True
    )


def render(picture: Path) -> None:
    scene = bpy.context.scene
    scene.render.engine = "UNDERPAINT"
    scene.render.resolution_x, scene.render.resolution_y = 128, 64
    scene.render.resolution_percentage = 100
    scene.underpaint.prompt = "a box in a quiet room"
    scene.underpaint.steps = 2
    scene.view_settings.view_transform = "Standard"
    scene.render.image_settings.file_format = "PNG"
    scene.render.filepath = str(picture)
    bpy.ops.render.render(write_still=True)


def main() -> None:
    picture, report, *archive = (Path(argument) for argument in sys.argv[sys.argv.index("--") + 1 :])
    for each in archive:
        install(each)
    render(picture)
    report.write_text(
        json.dumps(
            {
                "blender": bpy.app.version_string,
                "enabled": NAME in bpy.context.preferences.addons,
                "loaded_from": str(Path(sys.modules[NAME].__file__).parent),
                "of_the_checkout": sorted(name for name in sys.modules if name.partition(".")[0] == "underpaint"),
            }
        )
    )


main()
