"""Events and pages in, rows out; and what the rows say."""

import dataclasses

import pytest
from underpaint.protocol.arrays import ArrayRef, DType
from underpaint.protocol.errors import (
    BackendNotInstalled,
    BackendUnreachable,
    DetectorMissing,
    InvalidSize,
    JobCancelled,
    ModelMissing,
    OutOfMemory,
    UnderpaintError,
)
from underpaint.protocol.events import Alive, JobChanged, PreviewReady, Progress, WorkerChanged, WorkerState
from underpaint.protocol.geometry import Extent
from underpaint.protocol.jobs import Job, JobResult, JobState, Phase
from underpaint.protocol.request import Control, ControlKind, GenerateRequest, PlanRequest, Variant
from underpaint.protocol.sources import ReadyMap
from underpaint.qt_panel import link as links
from underpaint.qt_panel import notices, words
from underpaint.qt_panel.job_table import (
    JobRow,
    JobTable,
    unended,
    with_event,
    with_jobs,
    without_old_looks,
    without_worker,
)
from underpaint.qt_panel.link import BackendStopped, Link, LinkState
from underpaint.qt_panel.notices import Action
from underpaint.qt_panel.plates import next_looked_at, no_picture_words, plates

MAP = ArrayRef(sha256="b" * 64, shape=(64, 64, 3), dtype=DType.UINT8)
PICTURE = dataclasses.replace(MAP, sha256="c" * 64)


def job(
    name: str, state: JobState = JobState.QUEUED, *, revision: int = 1, created: float = 100, **more: object
) -> Job:
    request = GenerateRequest(
        prompt=f"a {name}\n in oil",
        size=Extent(width=64, height=96),
        controls=(Control(kind=ControlKind.DEPTH, source=ReadyMap(image=MAP)),),
        seed=4,
    )
    made = Job(id=name, client="blender", state=state, request=request, revision=revision, created_at=created)
    return dataclasses.replace(made, **more)


def changed(job: Job) -> JobChanged:
    return JobChanged(revision=job.revision, job=job)


def step(name: str, number: int) -> Progress:
    return Progress(job_id=name, phase=Phase.STEP, step=number, steps=20, fraction=number / 20)


def ids(table: JobTable) -> list[str]:
    return [row.job.id for row in table.rows]


def test_of_looks_that_are_over_the_newest_stay_and_the_one_in_view() -> None:
    looks = [job(f"look{number}", JobState.SUCCEEDED, created=number, transient=True) for number in range(100)]
    waits = job("waits", transient=True, created=1)
    table = with_jobs(JobTable(), (*looks, waits, job("picture", JobState.SUCCEEDED, created=0)))
    kept = ids(without_old_looks(table, {"look3"}))
    assert kept == ["waits", *(f"look{number}" for number in range(99, 83, -1)), "look3", "picture"]
    assert without_old_looks(with_jobs(JobTable(), looks[:16]), ()) == with_jobs(JobTable(), looks[:16])


def test_control_maps_stay_in_view_beside_a_running_picture() -> None:
    look = job("look", JobState.SUCCEEDED, transient=True)
    table = with_jobs(JobTable(), (look, job("own", JobState.RUNNING)))
    assert next_looked_at(table, {"own"}, "look") == "look"


def test_a_job_from_its_queueing_to_its_end() -> None:
    table = with_event(JobTable(), changed(job("a")))
    table = with_event(table, changed(job("a", JobState.RUNNING, revision=2, attempts=1)))
    table = with_event(table, step("a", 7))
    table = with_event(table, PreviewReady(job_id="a", step=7))
    assert table.row("a").progress.step == 7
    assert table.row("a").preview_step == 7
    table = with_event(table, changed(job("a", JobState.SUCCEEDED, revision=3, attempts=1)))
    assert table.revision == 3
    assert table.row("a") == JobRow(job=job("a", JobState.SUCCEEDED, revision=3, attempts=1))
    assert with_event(table, step("a", 8)) is table, "late news of a job that is over"


def test_a_second_attempt_begins_without_progress() -> None:
    table = with_event(JobTable(), changed(job("a", JobState.RUNNING, revision=2, attempts=1)))
    table = with_event(table, step("a", 19))
    table = with_event(table, changed(job("a", JobState.RUNNING, revision=4, attempts=2)))
    assert table.row("a").progress is None


def test_what_is_old_or_unknown_changes_nothing() -> None:
    table = with_event(JobTable(), changed(job("a", JobState.CANCELLED, revision=5)))
    assert with_event(table, changed(job("a", JobState.RUNNING, revision=4))) is table
    assert with_event(table, step("stranger", 1)) is table
    assert with_event(table, Alive(revision=9)) is table


def test_pages_and_events_in_any_order_make_one_list_newest_first() -> None:
    jobs = [job(name, JobState.SUCCEEDED, created=place, revision=place) for place, name in enumerate("abc", start=1)]
    table = with_jobs(with_event(JobTable(), changed(jobs[1])), (jobs[2], jobs[0]))
    assert ids(table) == ["c", "b", "a"]
    assert with_jobs(table, jobs) is table


def test_what_is_live_goes_with_the_worker() -> None:
    table = with_event(JobTable(), changed(job("a", JobState.RUNNING)))
    table = with_event(with_event(table, step("a", 3)), WorkerChanged(state=WorkerState.BUSY))
    gone = without_worker(table)
    assert gone.worker is None
    assert gone.row("a").progress is None
    assert ids(gone) == ["a"]


def test_the_running_job_comes_before_those_that_wait() -> None:
    table = with_jobs(
        JobTable(),
        (
            job("first", created=1),
            job("running", JobState.RUNNING, created=2),
            job("over", JobState.FAILED, created=3),
            job("theirs", JobState.RUNNING, created=4),
        ),
    )
    assert [row.job.id for row in unended(table, {"first", "running", "over"})] == ["running", "first"]


def test_what_is_looked_at_moves_on_when_it_is_over() -> None:
    own = {"a", "b"}
    both = with_jobs(JobTable(), (job("a", JobState.RUNNING), job("b")))
    assert next_looked_at(both, own, "a") == "a"
    over = with_jobs(both, (job("a", JobState.SUCCEEDED, revision=2),))
    assert next_looked_at(over, own, "a") == "a", "until the next one really begins"
    following = with_jobs(over, (job("b", JobState.RUNNING, revision=3),))
    assert next_looked_at(following, own, "a") == "b"
    assert next_looked_at(following, set(), "a") == "a"


def test_a_jobs_plates() -> None:
    result = JobResult(images=(PICTURE,), control_maps=(MAP,), timings=(), checkpoint="", plan="", versions={})
    assert [plate.label for plate in plates(job("a", result=result))] == ["Picture", "Depth"]
    maps = dataclasses.replace(result, images=())
    assert [plate.ref for plate in plates(job("a", result=maps))] == [MAP]
    assert plates(job("a")) == ()


@pytest.mark.parametrize(
    ("row", "summary"),
    [
        (JobRow(job=job("a")), "Waiting · Blender · just now"),
        (JobRow(job=job("a", JobState.RUNNING), progress=step("a", 7)), "Painting, step 7 of 20 · Blender"),
        (
            JobRow(job=job("a", JobState.SUCCEEDED, started_at=101.0, ended_at=113.4)),
            "Done in 12 s · Blender · just now",
        ),
        (JobRow(job=job("a", JobState.FAILED, created=-7300, client="farm")), "Failed · farm · 2 h ago"),
    ],
)
def test_what_a_row_says(row: JobRow, summary: str) -> None:
    assert words.summary(row, now=110) == summary
    assert words.title(row.job) == "a a in oil"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.42, "0.4 s"), (12.4, "12 s"), (61, "1 min 1 s"), (3599.7, "60 min 0 s")]
)
def test_durations(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


def test_a_file_is_called_after_its_picture() -> None:
    assert words.file_name(job("a/../b: c")) == "a-a-b-c-in-oil-4.png"
    assert (
        words.file_name(
            dataclasses.replace(job("a"), request=GenerateRequest(prompt="", size=Extent(width=8, height=8)))
        )
        == "no-prompt-0.png"
    )


def test_a_lost_backend_is_tried_again_and_then_asked_for() -> None:
    link = links.connected("1.0")
    waits: list[float] = []
    for _ in range(20):
        link = links.lost(link, BackendUnreachable(reason="it has stopped"))
        if link.retry_s is None:
            break
        waits.append(link.retry_s)
        link = links.connecting(link)
    assert tuple(waits) == links.RETRY_S
    assert link.state is LinkState.DOWN


@pytest.mark.parametrize(
    ("error", "state", "says"),
    [
        (BackendNotInstalled(python="x"), LinkState.DOWN, "Backend not installed"),
        (BackendStopped(), LinkState.STOPPED, "Backend stopped"),
        (BackendUnreachable(reason="x"), LinkState.WAITING, "Backend lost, reconnecting…"),
    ],
)
def test_what_a_lost_link_says(error: UnderpaintError, state: LinkState, says: str) -> None:
    link = links.lost(links.connected("1.0"), error)
    assert link.state is state
    assert links.words(link, None) == says


def test_a_sound_link_says_what_the_worker_does() -> None:
    link = links.connected("1.0")
    assert links.words(link, None) == "Backend 1.0: ready"
    assert links.words(link, WorkerChanged(state=WorkerState.BUSY, device="cpu")) == "Backend 1.0: painting on cpu"
    assert links.words(Link(), None) == "Starting the backend…"


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (OutOfMemory(device="cpu"), Action.RETRY),
        (ModelMissing(model="x", reason="y"), Action.ALLOW_DOWNLOAD),
        (DetectorMissing(detector="x", reason="y"), Action.ALLOW_DOWNLOAD),
        (BackendUnreachable(reason="x"), Action.RETRY),
    ],
)
def test_a_failed_job_offers_a_way_on(error: UnderpaintError, action: Action) -> None:
    notice = notices.of_job(error, "id")
    assert notice is not None
    assert (notice.text, notice.action, notice.job_id) == (str(error), action, "id")


def test_other_notices() -> None:
    assert notices.of_job(JobCancelled(), "id") is None, "the user knows"
    assert notices.of_form(InvalidSize(width=1, height=1, nearest="8 x 8")).action is Action.ROUND_SIZE
    assert notices.of_backend(BackendStopped()).action is Action.CONNECT


def test_a_plan_offers_no_download() -> None:
    missing = ModelMissing(model="some/model", reason="it was never here")
    failed = job("a", JobState.FAILED, error=missing.info())
    assert notices.of_end(failed).action is Action.ALLOW_DOWNLOAD
    plan = dataclasses.replace(failed, request=PlanRequest(picture=failed.request), transient=True)
    assert notices.of_end(plan).text == notices.of_end(failed).text
    assert notices.of_end(plan).action is None


def test_what_a_plan_is_called_where_somebody_queues_one() -> None:
    result = JobResult(images=(), control_maps=(), timings=(), checkpoint="", plan="on the CPU", versions={})
    pictured = job("a", JobState.SUCCEEDED, result=result)
    plan = dataclasses.replace(pictured, request=PlanRequest(picture=pictured.request))
    assert words.title(plan) == "Memory check: a a in oil"
    assert plates(plan) == ()
    assert no_picture_words(plan, None) == ("Memory check", "on the CPU")


def test_which_of_several_pictures_a_job_paints() -> None:
    two = Progress(job_id="a", phase=Phase.STEP, step=3, steps=9, picture=2, pictures=4)
    assert words.phase(two) == "Painting picture 2 of 4, step 3 of 9"
    assert words.phase(dataclasses.replace(two, phase=Phase.DECODE)) == "Decoding the picture"


def test_each_picture_of_a_job_is_a_plate() -> None:
    request = dataclasses.replace(job("a").request, variants=(Variant(prompt="b", seed=9),))
    other = dataclasses.replace(PICTURE, sha256="d" * 64)
    result = JobResult(images=(PICTURE, other), control_maps=(MAP,), timings=(), checkpoint="", plan="", versions={})
    found = plates(job("a", result=result, request=request))
    assert [plate.label for plate in found] == ["Picture 1", "Picture 2", "Depth"]
    assert found[1].tooltip == "b\nSeed 9"
