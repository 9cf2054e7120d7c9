"""What stands between a program and the backend."""

from .base import UnderpaintError


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
