"""Sockets to the service: plain ones on loopback, TLS to another computer; and what went wrong with them, in words."""

import functools
import http.client
import socket
import ssl

from ..errors import BackendError, BackendUnreachable, CertificateRefused, RemoteUnreachable
from .endpoint import Endpoint


def open_socket(endpoint: Endpoint, timeout_s: float) -> socket.socket:
    """A connection over which the token may be sent. Raises OSError; ssl.SSLCertVerificationError is one."""
    plain = socket.create_connection((endpoint.host, endpoint.port), timeout=timeout_s)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not endpoint.remote:
            return plain
        return _context(endpoint.certificate).wrap_socket(plain, server_hostname=endpoint.host)
    except BaseException:
        plain.close()
        raise


def open_http(endpoint: Endpoint, timeout_s: float) -> http.client.HTTPConnection:
    """A connection for calls. Raises OSError."""
    connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=timeout_s)
    connection.auto_open = 0  # else it would open another one by itself, and that one without TLS
    connection.sock = open_socket(endpoint, timeout_s)
    return connection


def unreachable(endpoint: Endpoint, error: Exception | str) -> BackendError:
    """Why there is no conversation, as the error to raise."""
    reason = str(error) or type(error).__name__
    if not endpoint.remote:
        return BackendUnreachable(reason=reason)
    if isinstance(error, ssl.SSLCertVerificationError):
        return CertificateRefused(url=endpoint.url, reason=error.verify_message)
    return RemoteUnreachable(url=endpoint.url, reason=reason)


def trusting(certificate: str) -> ssl.SSLContext:
    """What a client verifies a service with: the pinned certificate (PEM) and nothing else, and the host's name.

    Raises ssl.SSLError where it is no certificate.
    """
    # Not ssl.create_default_context: its strict mode (Python 3.13) asks of a certificate what public authorities owe,
    # which says nothing about one that is known to the byte.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies the certificate and the name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN  # one that somebody signed can be pinned, too
    context.load_verify_locations(cadata=certificate)
    return context


@functools.lru_cache(maxsize=4)
def _context(certificate: str) -> ssl.SSLContext:
    return trusting(certificate)
