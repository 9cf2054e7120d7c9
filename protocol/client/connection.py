"""One client's conversation with the service, over one kept-alive connection and one for events."""

import http.client
import ssl
import uuid
from collections.abc import Generator, Iterator
from contextlib import closing
from types import TracebackType

from .. import arrays, wire
from ..arrays import AnyArray, ArrayRef, UInt8Array
from ..errors import (
    BackendUnreachable,
    BlobMissing,
    InvalidArray,
    NotStoppedFromHere,
    RemoteTokenRefused,
    TokenRefused,
    UnderpaintError,
)
from ..events import Event
from ..jobs import Job, JobPage, JobSubmission, Move, Priority
from ..models import Catalogue, FamilyId, ModelKind, ModelPage
from ..request import Request
from ..version import Hello, check_compatible
from . import finding, transport
from .endpoint import Endpoint
from .event_stream import EventStream, error_from
from .home import Home

CALL_TIMEOUT_S = 30.0  # no answer takes long; jobs are waited for through events
_PIECE_BYTES = 256 << 10  # of a body


class Connection:
    """A conversation with the service; to be used from one thread at a time.

    Every call may be sent twice without harm (ids and hashes come from here), so a connection that the
    service has closed in the meantime is opened again once, at the place where `home` says the service
    is now. All calls raise BackendUnreachable when it doesn't answer, TokenRefused, CertificateRefused where it is
    on another computer, and the typed error that the service answered.
    """

    def __init__(
        self, endpoint: Endpoint, token: str, *, home: Home | None = None, timeout_s: float = CALL_TIMEOUT_S
    ) -> None:
        self.endpoint = endpoint
        """Where the service is, as far as known."""
        self.home = home
        """Where to look when the service isn't there any more."""
        self._token = token
        self._timeout_s = timeout_s
        self._http: http.client.HTTPConnection | None = None

    @classmethod
    def to(cls, home: Home, *, timeout_s: float = CALL_TIMEOUT_S) -> "Connection":
        """A conversation with the service of `home`, on this computer or another.

        Raises BackendUnreachable when none runs, RemoteInvalid.
        """
        endpoint, token = finding.find(home)
        return cls(endpoint, token, home=home, timeout_s=timeout_s)

    def another(self, *, timeout_s: float = CALL_TIMEOUT_S) -> "Connection":
        """A second conversation with the same service, for another thread or with other patience."""
        return Connection(self.endpoint, self._token, home=self.home, timeout_s=timeout_s)

    def __enter__(self) -> "Connection":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up. The next call would connect again."""
        if self._http is not None:
            self._http.close()
            self._http = None

    # ---- calls

    def hello(self) -> Hello:
        """Who is there. Raises VersionMismatch when the two don't speak the same language."""
        hello = wire.loads(Hello, self._call("GET", "/v1/hello"), ignore_unknown=True)
        check_compatible(hello)
        return hello

    def upload(self, array: AnyArray) -> ArrayRef:
        """Hand over a float32 or uint8 array; what the service has already isn't sent."""
        if array.nbytes > arrays.MAX_ARRAY_BYTES:
            raise InvalidArray(reason=f"{array.nbytes} bytes, the limit is {arrays.MAX_ARRAY_BYTES}")
        data = arrays.encode(array)
        ref = arrays.reference(array, data)
        if not self._has(ref.sha256):
            self._call("PUT", f"/v1/blobs/{ref.sha256}", data)
        return ref

    def download(self, ref: ArrayRef) -> AnyArray:
        """Fetch an array. Raises BlobMissing, or InvalidArray when it isn't what was promised."""
        data = self._call("GET", f"/v1/blobs/{ref.sha256}")
        if arrays.digest(data) != ref.sha256:
            raise InvalidArray(reason=f"{ref.sha256} arrived damaged")
        array = arrays.decode(data)
        if array.shape != ref.shape or array.dtype.name != ref.dtype:
            raise InvalidArray(reason=f"{array.dtype} {array.shape} where {ref.dtype} {ref.shape} was promised")
        return array

    def holds(self, ref: ArrayRef) -> bool:
        """Whether the service has an array; in time it gives up those that no job needs."""
        return self._has(ref.sha256)

    def submit(
        self,
        request: Request,
        *,
        job_id: str | None = None,
        client: str = "",
        retry_interrupted: bool = True,
        transient: bool = False,
        priority: Priority = Priority.NORMAL,
    ) -> Job:
        """Queue a job; submitting the same one twice is one job. A transient one goes first and leaves no trace.

        Raises InvalidRequest and its siblings, BlobMissing, JobConflict, DiskFull.
        """
        submission = JobSubmission(
            request=request,
            client=client,
            retry_interrupted=retry_interrupted,
            transient=transient,
            priority=priority,
        )
        path = f"/v1/jobs/{job_id or uuid.uuid4().hex}"
        return wire.loads(Job, self._call("PUT", path, wire.dumps(submission).encode()), ignore_unknown=True)

    def job(self, job_id: str) -> Job:
        """A job as it is now. Raises JobUnknown."""
        return wire.loads(Job, self._call("GET", f"/v1/jobs/{job_id}"), ignore_unknown=True)

    def jobs(self, before: int | None = None, limit: int = 50) -> JobPage:
        """Jobs, newest first, a page at a time."""
        query = f"?limit={limit}" + ("" if before is None else f"&before={before}")
        return wire.loads(JobPage, self._call("GET", f"/v1/jobs{query}"), ignore_unknown=True)

    def queue(self) -> JobPage:
        """The jobs that wait, next one first, as many as a page holds. For services that can "queue"."""
        return wire.loads(JobPage, self._call("GET", "/v1/queue"), ignore_unknown=True)

    def cancel(self, job_id: str) -> Job:
        """Ask for a job's end; harmless when it has ended. Raises JobUnknown."""
        return wire.loads(Job, self._call("POST", f"/v1/jobs/{job_id}/cancel"), ignore_unknown=True)

    def move(self, job_id: str, *, before: str = "", priority: Priority | None = None) -> Job:
        """Give a waiting job another place: before another one, or behind all of a priority.

        Raises JobUnknown, and JobNotQueued when either job doesn't wait (any more).
        """
        body = wire.dumps(Move(before=before, priority=priority)).encode()
        return wire.loads(Job, self._call("POST", f"/v1/jobs/{job_id}/move", body), ignore_unknown=True)

    def retry(self, job_id: str, *, client: str = "") -> Job:
        """Queue the same request once more, as a job of its own. Raises JobUnknown, BlobMissing, DiskFull."""
        job = self.job(job_id)
        return self.submit(job.request, client=client or job.client, transient=job.transient, priority=job.priority)

    def collected(self, job_id: str) -> None:
        """Say that everything a job made is here: until then the service gives it up last. Raises JobUnknown."""
        self._call("POST", f"/v1/jobs/{job_id}/collected")

    def preview(self, job_id: str) -> UInt8Array | None:
        """The newest preview of a job, (height, width, 3) as large as the latents; None when there is none."""
        data = self._call("GET", f"/v1/jobs/{job_id}/preview")
        return arrays.decode(data) if data else None

    def models(self, kind: ModelKind | None = None, family: FamilyId | None = None) -> ModelPage:
        """The models on the backend's computer, as far as they are found; those of a kind or family alone.

        Ask again in a moment while `scanning`. For services that know "models".
        """
        chosen = {"kind": kind, "family": family}
        query = "&".join(f"{name}={value.value}" for name, value in chosen.items() if value is not None)
        path = f"/v1/models?{query}" if query else "/v1/models"
        return wire.loads(ModelPage, self._call("GET", path), ignore_unknown=True)

    def thumbnail(self, model_id: str) -> bytes | None:
        """A model's small picture (PNG, JPEG or WebP, as its first bytes tell); None when there is none.

        Raises ModelMissing for an id that isn't in the list (any more).
        """
        return self._call("GET", f"/v1/models/{model_id}/thumbnail") or None

    def rescan_models(self) -> None:
        """Have all folders of models looked through again; `models` says when that is done."""
        self._call("POST", "/v1/models/rescan")

    def catalogue(self) -> Catalogue:
        """The models that are recommended to those who have none. For services that know "models"."""
        return wire.loads(Catalogue, self._call("GET", "/v1/models/catalogue"), ignore_unknown=True)

    def shutdown(self) -> None:
        """Ask the service to leave. Jobs stay in the queue for the next one.

        Raises NotStoppedFromHere where it is another computer's.
        """
        if self.endpoint.remote:
            raise NotStoppedFromHere(url=self.endpoint.url)
        self._call("POST", "/v1/shutdown")

    def events(self, since: int | None = None, *, poll_s: float = 0.05) -> Generator[Event | None, None, None]:
        """What happens from now on, or after revision `since`; None whenever nothing came for `poll_s`.

        Uses a socket of its own, from the first `next` to the generator's end. Raises BackendUnreachable
        when the service leaves or falls silent.
        """
        with closing(EventStream(self.endpoint, self._token, since)) as stream:
            yield from stream.poll(poll_s)

    # ---- transport

    def _has(self, sha256: str) -> bool:
        try:
            self._call("HEAD", f"/v1/blobs/{sha256}")
        except BlobMissing:
            return False
        return True

    def _call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """One call's answer; raises the error that it describes."""
        try:
            status, data = self._exchange(method, path, body)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if isinstance(error, TimeoutError | ssl.SSLCertVerificationError) or not self._look_again():
                raise transport.unreachable(self.endpoint, error) from error
            try:
                status, data = self._exchange(method, path, body)
            except (OSError, http.client.HTTPException) as again:
                self.close()
                raise transport.unreachable(self.endpoint, again) from again
        if status < 300:
            return data
        if method == "HEAD" and status == 404:  # an answer to HEAD has no body that could say it
            raise BlobMissing(sha256=path.rpartition("/")[2])
        if method == "HEAD" and status == 401:
            raise self._error(wire.dumps(TokenRefused(path="its token file").info()).encode())
        raise self._error(data)

    def _exchange(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        if self._http is None:
            self._http = transport.open_http(self.endpoint, self._timeout_s)
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            if body is None:
                self._http.request(method, path, headers=headers)
            else:
                headers["Content-Length"] = str(len(body))
                self._http.request(method, path, body=_pieces(body), headers=headers)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            if body is None:
                raise
            # A service that refuses a body answers without reading all of it; its answer tells why.
        response = self._http.getresponse()
        data = response.read()
        if response.will_close:
            self.close()
        return response.status, data

    def _look_again(self) -> bool:
        """Find out where the service is now; whether trying again makes sense."""
        if self.home is None:
            return True
        try:
            self.endpoint, self._token = finding.find(self.home)
        except BackendUnreachable:
            return False
        return True

    def _error(self, body: bytes) -> UnderpaintError:
        error = error_from(body)
        if isinstance(error, TokenRefused) and self.endpoint.remote:
            return RemoteTokenRefused(url=self.endpoint.url)
        if isinstance(error, TokenRefused) and self.home is not None:
            return TokenRefused(path=self.home.token_file)
        return error


def _pieces(body: bytes) -> Iterator[memoryview]:
    """A body in parts: a socket's timeout is for one `sendall`, and a large array over a slow network takes longer."""
    view = memoryview(body)
    for start in range(0, len(view), _PIECE_BYTES):
        yield view[start : start + _PIECE_BYTES]
