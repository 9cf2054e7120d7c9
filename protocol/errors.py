"""Every error that Underpaint raises on purpose, as one tree.

    UnderpaintError
    |- RequestError        the request can't be right, whoever runs it
    |  |- InvalidRequest, InvalidArray, InvalidSize, InvalidPose, InvalidMapping,
    |     MissingControlImage
    |- SceneError          the Blender scene lacks something
    |  |- NoCamera, PanoramicCamera, StereoRender, RegionTooSmall, ReversedClip, BrokenCamera,
    |     BeautyNeedsWholeFrame, BeautyNeedsPersistentData, MovingParallelCamera,
    |     NothingRendered, NothingInView, NoArmature, UnmappedRig, NothingSelected, NoUVMap, NotInView,
    |     NotEditable, NoPicture
    |- BackendError        no conversation with the backend
    |  |- BackendNotInstalled, BackendNotStarted, BackendUnreachable, TokenRefused, VersionMismatch,
    |     RemoteUnreachable (a BackendUnreachable), RemoteTokenRefused (a TokenRefused), CertificateRefused,
    |     RemoteInvalid, NotStoppedFromHere,
    |     InstallFailed, InstallImpossible, InstallOffline, InstallNeedsSpace, UninstallFailed
    |- ModelError          a checkpoint, ControlNet or detector can't be used
    |  |- ModelMissing, ModelBroken, ModelPickled, ConversionFailed, ModelMismatch, AdapterMismatch,
    |     ControlNetNotChosen, DetectorMissing, ModelGated, DownloadFailed, ModelFolderRefused
    |- JobError            the job ended otherwise than in success
       |- JobUnknown, JobConflict, JobNotQueued, JobCancelled, JobInterrupted, OutOfMemory,
          DoesNotFit, DiskFull, QueueLocked, BlobMissing, WorkerFailed

Codes and details cross the wire as `ErrorInfo`; the sentence is made where a person reads it, by
`str(error)`. A sentence says what is wrong and what to do next.
"""

from dataclasses import dataclass, field
from typing import ClassVar


class UnderpaintError(Exception):
    """Base of the tree. `details` fill the class's `sentence` and cross the wire with its `code`."""

    code: ClassVar[str] = "error"
    sentence: ClassVar[str] = "{reason}"

    def __init__(self, **details: object) -> None:
        self.details = {name: str(value) for name, value in details.items()}
        super().__init__(str(self))

    def __str__(self) -> str:
        return self.sentence.format_map(_Missing(self.details))

    def info(self) -> "ErrorInfo":
        """The form that crosses the wire."""
        return ErrorInfo(code=self.code, details=self.details)


class _Missing(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "?"


@dataclass(frozen=True, kw_only=True)
class ErrorInfo:
    """An error on the wire."""

    code: str
    details: dict[str, str] = field(default_factory=dict[str, str])

    def error(self) -> UnderpaintError:
        """The exception that this describes; a code from a newer peer becomes UnderpaintError."""
        known = _by_code().get(self.code)
        if known is None:
            return UnderpaintError(reason=f"{self.code}: {self.details}")
        return known(**self.details)


class RequestError(UnderpaintError):
    code = "request"


class InvalidRequest(RequestError):
    code = "invalid_request"
    sentence = "The request is not valid: {reason}."


class InvalidArray(RequestError):
    code = "invalid_array"
    sentence = "An image or pass can't be read: {reason}."


class InvalidSize(RequestError):
    code = "invalid_size"
    sentence = (
        "The picture is {width} x {height}; both sides must be multiples of 8, up to 8192. The nearest is {nearest}."
    )


class InvalidPose(RequestError):
    code = "invalid_pose"
    sentence = "This OpenPose JSON can't be read: {reason}."


class InvalidMapping(RequestError):
    code = "invalid_mapping"
    sentence = "This preset of bones can't be read: {reason}."


class MissingControlImage(RequestError):
    code = "missing_control_image"
    sentence = "The {kind} control has no image. Give it one, or switch the control off."


class SceneError(UnderpaintError):
    code = "scene"


class NoCamera(SceneError):
    code = "no_camera"
    sentence = 'The scene "{scene}" has no active camera. Add one with Add > Camera, then View > Cameras > Set Active.'


class PanoramicCamera(SceneError):
    code = "panoramic_camera"
    sentence = (
        'The camera "{camera}" is panoramic; ControlNets know flat pictures only. '
        "Set its Type to Perspective or Orthographic in the camera properties."
    )


class StereoRender(SceneError):
    code = "stereo_render"
    sentence = "Stereoscopy is on; ControlNets know flat pictures only. Switch it off in Output > Stereoscopy."


class RegionTooSmall(SceneError):
    code = "region_too_small"
    sentence = (
        "A render region needs a frame of more than 64 x 64 pixels, this one has {width} x {height}. "
        "Switch off Render Region in Output > Format."
    )


class ReversedClip(SceneError):
    code = "reversed_clip"
    sentence = (
        'The camera "{camera}" shows nothing: its clip start, {start} m, is not before its clip end, {end} m. '
        "Set them in the camera's Lens panel."
    )


class BrokenCamera(SceneError):
    code = "broken_camera"
    sentence = (
        'The camera "{camera}" has no place to look from: its position, rotation, lens or shift is not a number, '
        "infinite, or scaled to nothing. Look at its transform, and at its parents and constraints."
    )


class BeautyNeedsWholeFrame(SceneError):
    code = "beauty_needs_whole_frame"
    sentence = (
        "A control or start made from the rendered scene needs the whole frame. "
        "Switch off Render Region in Output > Format, or press Generate, which leaves regions out."
    )


class NothingInView(SceneError):
    code = "nothing_in_view"
    sentence = (
        "The camera sees no surface, so every control from the scene would be blank. Point it at something that is "
        "shown in renders, within the camera's clip range, and whose coordinates are finite numbers."
    )


class BeautyNeedsPersistentData(SceneError):
    code = "beauty_needs_persistent_data"
    sentence = (
        "A control or start made from the rendered scene needs Persistent Data for F12. "
        "Switch it on in Render > Performance > Final Render, or press Generate, which does without."
    )


class MovingParallelCamera(SceneError):
    code = "moving_parallel_camera"
    sentence = (
        'The orthographic camera "{camera}" moves, and this Blender\'s motion vectors are wrong for such cameras. '
        "Use a perspective camera from far away, or Blender 4.2."
    )


class NothingRendered(SceneError):
    code = "nothing_rendered"
    sentence = "Cycles did not render the scene. What it says about that is in Blender's console and status bar."


class NoArmature(SceneError):
    code = "no_armature"
    sentence = (
        "The pose control needs a character, and the camera sees no armature. "
        "Add one, bring it into view, or switch the pose control off."
    )


class UnmappedRig(SceneError):
    code = "unmapped_rig"
    sentence = (
        'The armature "{armature}" names its bones in a way that is not known. Not found: {missing}. '
        "Map them in Object Data Properties > Bone Mapping, or tick Not a Person there."
    )


class NothingSelected(SceneError):
    code = "nothing_selected"
    sentence = "No mesh is selected. Select the meshes that should receive the picture."


class NoUVMap(SceneError):
    code = "no_uv_map"
    sentence = (
        'The mesh "{object}" has no UV map. Make one with UV > Smart UV Project in Edit Mode, then project again.'
    )


class NotInView(SceneError):
    code = "not_in_view"
    sentence = (
        "The picture's camera sees nothing of {objects}. Select meshes that are in the picture, "
        "in front of others and shown in renders."
    )


class NotEditable(SceneError):
    code = "not_editable"
    sentence = (
        'The object "{object}" is linked from another file and can\'t get a material here. '
        "Make it local first, with Object > Library Override > Make or Object > Relations > Make Local."
    )


class NoPicture(SceneError):
    code = "no_picture"
    sentence = "There is no picture to project yet. Render with Underpaint first, or pick a result in the history."


class BackendError(UnderpaintError):
    code = "backend"


class BackendNotInstalled(BackendError):
    code = "backend_not_installed"
    sentence = (
        "The Underpaint backend is not installed. In Blender, open Edit > Preferences > Add-ons > Underpaint "
        'and press "Install Backend", or run "underpaint install". (Looked for {python}.)'
    )


class BackendNotStarted(BackendError):
    code = "backend_not_started"
    sentence = "The Underpaint backend did not start: {reason}. Its log is {log}."


class BackendUnreachable(BackendError):
    code = "backend_unreachable"
    sentence = "The Underpaint backend does not answer: {reason}. Try again; it is started when needed."


class TokenRefused(BackendError):
    code = "token_refused"
    sentence = "The Underpaint backend refused the token in {path}. It puts the right one there: try again in a moment."


class RemoteUnreachable(BackendUnreachable):
    code = "remote_unreachable"
    sentence = (
        "The Underpaint backend at {url} does not answer: {reason}. It is not started from here: look whether "
        '"underpaint service" runs there. "underpaint remote forget" has this computer paint again.'
    )


class RemoteTokenRefused(TokenRefused):
    code = "remote_token_refused"
    sentence = (
        "The Underpaint backend at {url} refused the token. Bring the one in its data folder's file remote-token here, "
        'with "underpaint remote use".'
    )


class CertificateRefused(BackendError):
    code = "certificate_refused"
    sentence = (
        "What answers at {url} does not show the certificate that was agreed on ({reason}), so it was told nothing. "
        'If a new one was made there, bring it here, with "underpaint remote use".'
    )


class RemoteInvalid(BackendError):
    code = "remote_invalid"
    sentence = (
        'The backend on another computer can\'t be used: {reason}. "underpaint remote use" sets it anew, '
        '"underpaint remote forget" has this computer paint again.'
    )


class NotStoppedFromHere(BackendError):
    code = "not_stopped_from_here"
    sentence = "The Underpaint backend at {url} is stopped on its own computer, and not from here."


class VersionMismatch(BackendError):
    code = "version_mismatch"
    sentence = (
        "This program speaks protocol {ours}, the running backend ({software}) speaks {theirs}. "
        "Update the older one, then restart the backend."
    )


class InstallFailed(BackendError):
    code = "install_failed"
    sentence = (
        "The backend could not be installed: {reason}. Nothing else was changed. "
        "Install it again to make it anew. The log is {log}."
    )


class InstallImpossible(BackendError):
    code = "install_impossible"
    sentence = "The backend can't be installed: {reason}."


class InstallOffline(BackendError):
    code = "install_offline"
    sentence = (
        "Blender is set to stay offline, and the backend has to be downloaded. "
        'Switch on Edit > Preferences > System > Network > "Allow Online Access", then install again.'
    )


class InstallNeedsSpace(BackendError):
    code = "install_needs_space"
    sentence = (
        "The backend needs {needed_gb} GB in {folder}, and {free_gb} GB are free. Free some space, then try again."
    )


class UninstallFailed(BackendError):
    code = "uninstall_failed"
    sentence = "The backend could not be removed: {reason}."


class ModelError(UnderpaintError):
    code = "model"


class ModelMissing(ModelError):
    code = "model_missing"
    sentence = 'The model "{model}" is not on this computer: {reason}.'


class ModelBroken(ModelError):
    code = "model_broken"
    sentence = 'The model "{model}" can\'t be loaded: {reason}.'


class ModelPickled(ModelBroken):
    code = "model_pickled"
    sentence = (
        'The model "{model}" is a pickle ({file}), which may run any program when it is opened, so only safetensors '
        'are read. Convert it once with: underpaint convert "{path}".'
    )


class ConversionFailed(ModelError):
    code = "conversion_failed"
    sentence = "{model} was not converted: {reason}."


class ModelMismatch(ModelError):
    code = "model_mismatch"
    sentence = (
        'The ControlNet "{controlnet}" is made for {controlnet_family}, the checkpoint "{checkpoint}" is {family}.'
    )


class AdapterMismatch(ModelError):
    code = "adapter_mismatch"
    sentence = (
        'The {kind} "{adapter}" is made for {adapter_family}, the checkpoint "{checkpoint}" is {family}. '
        "Choose one that goes with the checkpoint, or remove it."
    )


class ControlNetNotChosen(ModelError):
    code = "controlnet_not_chosen"
    sentence = (
        'The {kind} control has no ControlNet, and the built-in one doesn\'t fit "{checkpoint}". '
        "Choose a {kind} ControlNet made for this checkpoint, or switch the control off."
    )


class DetectorMissing(ModelError):
    code = "detector_missing"
    sentence = "The {detector} detector has no weights on this computer: {reason}."


class ModelGated(ModelError):
    code = "model_gated"
    sentence = (
        'The model "{model}" is only given to those who accept its terms. Open {url}, accept them, then log in on this '
        'computer with "hf auth login", or set HF_TOKEN, and try again.'
    )


class DownloadFailed(ModelError):
    code = "download_failed"
    sentence = 'The download of "{model}" did not end well: {reason}. What was fetched is kept: try again to go on.'


class ModelFolderRefused(ModelError):
    code = "model_folder_refused"
    sentence = 'The folder of models "{folder}" can\'t be used: {reason}.'


class JobError(UnderpaintError):
    code = "job"


class JobUnknown(JobError):
    code = "job_unknown"
    sentence = "The backend has no job {job_id}."


class JobConflict(JobError):
    code = "job_conflict"
    sentence = "The job {job_id} exists already with another request."


class JobNotQueued(JobError):
    code = "job_not_queued"
    sentence = "The job {job_id} does not wait in the queue (it is {state}), so it has no place there."


class JobCancelled(JobError):
    code = "job_cancelled"
    sentence = "Cancelled."


class JobInterrupted(JobError):
    code = "job_interrupted"
    sentence = "The backend stopped in the middle of the job ({reason}). Nothing is lost: render again."


class OutOfMemory(JobError):
    code = "out_of_memory"
    sentence = "Not enough memory on {device} for this picture. Make it smaller, or use fewer controls."


class DoesNotFit(JobError):
    """Said before anything is loaded; OutOfMemory is what happens when an estimate was wrong."""

    code = "does_not_fit"
    sentence = (
        "{title} at {size} takes {needed} GB at least, and {device} has {available} GB for it; {advice}. "
        "A larger memory budget helps too, where one is set."
    )


class DiskFull(JobError):
    code = "disk_full"
    sentence = "The disk that holds {path} is full. Free some space, then render again."


class QueueLocked(JobError):
    code = "queue_locked"
    sentence = "Another program has the queue {path} locked. Close it, then try again; no job is lost."


class BlobMissing(JobError):
    code = "blob_missing"
    sentence = "The backend no longer has the image {sha256}. Render again, or choose the file again."


class WorkerFailed(JobError):
    code = "worker_failed"
    sentence = "The backend hit an unexpected error: {reason}. Its log is {log}."


def _by_code() -> dict[str, type[UnderpaintError]]:
    found: dict[str, type[UnderpaintError]] = {}
    pending: list[type[UnderpaintError]] = [UnderpaintError]
    while pending:
        kind = pending.pop()
        found[kind.code] = kind
        pending.extend(kind.__subclasses__())
    return found
