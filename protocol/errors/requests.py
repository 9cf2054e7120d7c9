"""What a request has wrong, whoever runs it."""

from .base import UnderpaintError


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
