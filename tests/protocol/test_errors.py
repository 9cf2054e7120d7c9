"""The tree of errors: one code each, and sentences that fill."""

import string

import pytest
from underpaint.protocol import errors
from underpaint.protocol.errors import ErrorInfo, InvalidSize, UnderpaintError
from underpaint.protocol.version import PROTOCOL_MAJOR, Hello, check_compatible

TREE = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, UnderpaintError)]


def test_codes_are_unique():
    assert len({kind.code for kind in TREE}) == len(TREE) > 25


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_every_error_crosses_the_wire_with_its_sentence(kind):
    names = [name for _, name, _, _ in string.Formatter().parse(kind.sentence) if name]
    error = kind(**{name: f"<{name}>" for name in names})
    back = error.info().error()
    assert type(back) is kind
    assert str(back) == str(error)
    assert all(f"<{name}>" in str(error) for name in names)


def test_the_tree_in_the_docstring_is_the_tree():
    assert all(kind.__name__ in errors.__doc__ for kind in TREE)


def test_an_unknown_code_from_a_newer_peer_is_still_an_error():
    assert "new_code" in str(ErrorInfo(code="new_code", details={"why": "x"}).error())


def test_a_missing_detail_does_not_break_the_sentence():
    assert "?" in str(InvalidSize(width=1))


def test_another_major_version_is_named_with_both():
    hello = Hello(protocol_major=PROTOCOL_MAJOR + 1, protocol_minor=4, software_version="9", pid=1, revision=0)
    with pytest.raises(errors.VersionMismatch, match=rf"{PROTOCOL_MAJOR}\.\d+.*{PROTOCOL_MAJOR + 1}\.4"):
        check_compatible(hello)
