"""OpenPose JSON in and out: people for a pose control, and the scene's people for other programs."""

import json
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, StringProperty
from bpy_extras.io_utils import ExportHelper, ImportHelper

from ..protocol.errors import InvalidPose, NoArmature, UnderpaintError
from ..protocol.openpose_json import people_from_json, people_to_json
from . import camera as cameras
from . import inspector, properties
from .openpose_text import counted
from .registration import of_classes


class UNDERPAINT_OT_import_openpose(ImportHelper, bpy.types.Operator):
    """Take the pose control's people from OpenPose JSON, as the webui's and ComfyUI's editors write it"""

    bl_idname = "underpaint.import_openpose"
    bl_label = "Import OpenPose JSON"
    bl_options = {"REGISTER", "UNDO"}

    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})
    directory: StringProperty(subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})
    files: CollectionProperty(type=bpy.types.OperatorFileListElement, options={"HIDDEN", "SKIP_SAVE"})

    def execute(self, context: Any) -> set[str]:
        try:
            name, content = _read(self._paths())
            frames = people_from_json(content)
        except (OSError, UnicodeDecodeError, InvalidPose) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        most = max(len(frame.people) for frame in frames)
        if not most:
            self.report({"ERROR"}, f'Nobody is in "{name}"')
            return {"CANCELLED"}
        text = bpy.data.texts.new(name)
        text.from_string(content)
        _pose_control(context.scene.underpaint).pose_text = text
        inspector.touch()
        frames_told = f", {len(frames)} frames" if len(frames) > 1 else ""
        self.report({"INFO"}, f"{counted(most)}{frames_told}")
        for note in dict.fromkeys(note for frame in frames for note in frame.notes):
            self.report({"WARNING"}, note)
        self._compare_shapes(context.scene, frames[0].canvas)
        return {"FINISHED"}

    def _paths(self) -> list[Path]:
        folder = bpy.path.abspath(self.directory)
        chosen = sorted(item.name for item in self.files if item.name)
        return [Path(folder, name) for name in chosen] or [Path(bpy.path.abspath(self.filepath))]

    def _compare_shapes(self, scene: Any, canvas: Any) -> None:
        picture = cameras.frame(scene)
        if canvas is None:
            words = f"The file doesn't say how large its picture is; {picture.width} x {picture.height} is taken"
            self.report({"WARNING"}, words)
        elif abs(canvas.width * picture.height / (canvas.height * picture.width) - 1) > 0.02:
            words = f"The people are stretched from {canvas.width} x {canvas.height}"
            self.report({"WARNING"}, f"{words} to {picture.width} x {picture.height}")


def _read(paths: list[Path]) -> tuple[str, str]:
    """A name and one JSON: that of the file, or a list of the frames of several. Raises OSError or InvalidPose."""
    texts = [path.read_text(encoding="utf-8-sig") for path in paths]
    if len(texts) == 1:
        return paths[0].name, texts[0]
    frames: list[object] = []
    for path, text in zip(paths, texts, strict=True):
        try:
            people_from_json(text)
        except InvalidPose as error:
            raise InvalidPose(reason=f"{path.name}: {error.details['reason']}") from error
        content = json.loads(text)
        frames += content if isinstance(content, list) else [content]
    return paths[0].name, json.dumps(frames)


def _pose_control(settings: Any) -> Any:
    """The active control where it is one of the pose, or else the first of the list, or a new one."""
    active = settings.active_control
    numbers = [number for number, item in enumerate(settings.controls) if item.kind == "OPENPOSE"]
    if active in numbers:
        return settings.controls[active]
    if not len(settings.controls):  # depth, normal and pose, which the empty list stands for
        properties.add_default_controls(settings)
        numbers = [number for number, item in enumerate(settings.controls) if item.kind == "OPENPOSE"]
    if not numbers:
        item = settings.controls.add()
        item.kind, item.name = "OPENPOSE", properties.label_of("OPENPOSE")
        numbers = [len(settings.controls) - 1]
    settings.active_control = numbers[0]
    return settings.controls[numbers[0]]


class UNDERPAINT_OT_export_openpose(ExportHelper, bpy.types.Operator):
    """Write the people that the camera sees as OpenPose JSON, for the webui's and ComfyUI's editors"""

    bl_idname = "underpaint.export_openpose"
    bl_label = "Export OpenPose JSON"
    bl_options = {"REGISTER"}

    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})
    frames: EnumProperty(
        name="Frames",
        items=(
            ("CURRENT", "Current Frame", "The current frame alone"),
            ("FILES", "A File Each", "Each frame of the scene's range in a file with its number"),
            ("LIST", "One File", "The scene's range in one file, as a list"),
        ),
    )
    as_list: BoolProperty(
        name="As a List",
        description="Put a single frame into a list, as ComfyUI wants it; the webui and its editor want it bare",
    )

    @classmethod
    def poll(cls, context: Any) -> bool:
        if context.mode != "OBJECT" and context.mode != "POSE":
            cls.poll_message_set("Leave the current mode for Object Mode first")
            return False
        if bpy.app.is_job_running("RENDER"):  # a second render beside it would take Blender's own apart
            cls.poll_message_set("Blender is rendering: let it finish, or cancel it with Esc")
            return False
        return True

    def draw(self, _context: Any) -> None:
        self.layout.use_property_split = True
        self.layout.prop(self, "frames", expand=True)
        row = self.layout.column()
        row.active = self.frames != "LIST"
        row.prop(self, "as_list")

    def execute(self, context: Any) -> set[str]:
        scene = context.scene
        every = self.frames != "CURRENT"
        numbers = (
            range(scene.frame_start, scene.frame_end + 1, scene.frame_step) if every else [scene.frame_current_final]
        )
        path = Path(bpy.path.abspath(self.filepath))
        window_manager = context.window_manager
        window_manager.progress_begin(0, len(numbers))
        try:
            seen: dict[float, Any] = {}
            for done, number in enumerate(numbers):
                window_manager.progress_update(done)
                seen[number] = _people(context, number)
            most = max(len(frame["people"]) for frame in seen.values())
            if not most:
                raise NoArmature()
            files = self._write(path, seen)
        except (UnderpaintError, OSError) as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        finally:
            window_manager.progress_end()
        self.report({"INFO"}, f"{counted(most)} in {len(seen)} frames written" if every else f"{counted(most)} written")
        empty = [number for number, frame in seen.items() if not frame["people"]]
        if empty:
            self.report({"WARNING"}, f"Nobody is in {len(empty)} of the frames, from frame {empty[0]} on")
        return {"FINISHED"} if files else {"CANCELLED"}

    def _write(self, path: Path, seen: dict[float, Any]) -> int:
        if self.frames == "FILES":
            contents = {
                path.with_name(f"{path.stem}_{number:04d}{path.suffix}"): self._one(frame)
                for number, frame in seen.items()
            }
        elif self.frames == "LIST":
            contents = {path: list(seen.values())}
        else:
            contents = {path: self._one(next(iter(seen.values())))}
        for target, content in contents.items():
            target.write_text(json.dumps(content), encoding="utf-8")
        return len(contents)

    def _one(self, frame: Any) -> Any:
        return [frame] if self.as_list else frame


def _people(context: Any, number: float) -> dict[str, object]:
    """A frame as its control map is drawn from: joints behind the camera or out of the picture are left out."""
    from .capture import People, capture

    seen = capture(context.scene, context.view_layer, frame=number, people=People.REQUIRED)
    return people_to_json(seen.people, seen.extent)


register, unregister = of_classes((UNDERPAINT_OT_import_openpose, UNDERPAINT_OT_export_openpose))
