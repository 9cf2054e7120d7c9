"""Why a checkpoint, ControlNet, adapter or detector can't be used."""

from .base import UnderpaintError


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
