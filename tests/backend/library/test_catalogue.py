"""The catalogue: it loads, it agrees with the table of conventions, and it keeps to itself what it isn't sure of."""

import json
import re
from collections import Counter

import pytest
from underpaint.backend.library.advice import advice_for
from underpaint.backend.library.catalogue import FILE, catalogue
from underpaint.backend.worker.conditioning import unions
from underpaint.backend.worker.conditioning.table import NetKind, convention
from underpaint.backend.worker.families import FAMILIES
from underpaint.protocol.checks import check
from underpaint.protocol.errors import InvalidRequest
from underpaint.protocol.models import CatalogueEntry, FamilyId, ModelKind
from underpaint.protocol.request import ControlKind, DownloadRequest, Scheduler

ENTRIES = catalogue().entries
NETS = [entry for entry in ENTRIES if entry.kind is ModelKind.CONTROLNET]
# Kinds that the table has a row for and no net in safetensors is known of.
NONE_KNOWN: dict[FamilyId, set[ControlKind]] = {
    FamilyId.SD15: set(),
    FamilyId.SDXL: set(),
}


def named(entry: CatalogueEntry) -> str:
    return f"{entry.reference}/{entry.file}".rstrip("/")


def test_nothing_in_it_is_unknown_to_the_protocol() -> None:
    """The types are strict; and no field is spelled in the file that stays at its default."""
    raw = json.loads(FILE.read_text(encoding="utf-8"))["entries"]
    assert len(raw) == len(ENTRIES) > 60
    assert FILE.read_text(encoding="utf-8").endswith("}\n")


def test_no_model_is_named_twice() -> None:
    assert [name for name, times in Counter(map(named, ENTRIES)).items() if times > 1] == []


@pytest.mark.parametrize("entry", ENTRIES, ids=named)
def test_each_can_be_downloaded_and_says_where_its_facts_are_from(entry: CatalogueEntry) -> None:
    check(DownloadRequest(reference=entry.reference, file=entry.file))
    assert not entry.file or entry.file.endswith(".safetensors")
    assert re.match(r"https://\S+", entry.source)
    assert entry.title
    assert entry.size_bytes == 0 or 10**6 < entry.size_bytes < 10**11
    assert bool(entry.control_kinds) == (entry.kind is ModelKind.CONTROLNET) == bool(entry.convention)
    assert {ControlKind(kind) for kind in entry.control_kinds}.issubset(ControlKind)
    if entry.advice is not None and entry.advice.scheduler is not None:
        Scheduler(entry.advice.scheduler)


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry.kind is ModelKind.LORA], ids=named)
def test_few_step_loras_are_advised_as_they_are_once_they_are_here(entry: CatalogueEntry) -> None:
    title = (entry.file or entry.reference).rpartition("/")[2].removesuffix(".safetensors")
    found = advice_for(title=title, kind=entry.kind, family=entry.family, metadata={}, traits=())
    assert found is not None
    assert entry.advice == found


@pytest.mark.parametrize("entry", NETS, ids=named)
def test_each_kind_of_a_net_has_a_convention(entry: CatalogueEntry) -> None:
    union = unions.known(entry.reference)
    if union is not None:
        assert union.family is entry.family
        assert set(map(ControlKind, entry.control_kinds)) == set(union.modes)
    modes = union is not None and union.mode_count > 0
    for kind in entry.control_kinds:
        convention(entry.family, ControlKind(kind), NetKind.UNION if modes else NetKind.PLAIN)


@pytest.mark.parametrize("family", [FamilyId.SD15, FamilyId.SDXL])
def test_every_kind_that_the_table_knows_has_a_net(family: FamilyId) -> None:
    known = {kind for kind in ControlKind if _has_row(family, kind)}
    offered = {ControlKind(kind) for entry in NETS if entry.family is family for kind in entry.control_kinds}
    assert known - offered == NONE_KNOWN[family]


@pytest.mark.parametrize("family", list(FamilyId))
def test_every_family_has_a_checkpoint_and_a_net(family: FamilyId) -> None:
    kinds = {entry.kind for entry in ENTRIES if entry.family is family}
    assert {ModelKind.CHECKPOINT, ModelKind.CONTROLNET} <= kinds


def test_every_tiny_decoder_that_previews_look_for_is_offered() -> None:
    offered = {entry.reference for entry in ENTRIES if entry.kind is ModelKind.TINY_DECODER}
    assert {family.tiny_decoder for family in FAMILIES.values() if family.tiny_decoder} <= offered


def test_every_union_net_that_is_known_is_offered() -> None:
    assert {name for union in unions.UNIONS.values() for name in union.repositories} <= {
        entry.reference for entry in NETS
    }


def _has_row(family: FamilyId, kind: ControlKind) -> bool:
    for net in NetKind:
        try:
            convention(family, kind, net)
        except InvalidRequest:
            continue
        return True
    return False
