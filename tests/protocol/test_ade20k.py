"""ADE20K's classes: the list, the search in it, and what an object's name gives away."""

import pytest
from underpaint.protocol.ade20k import NAMES, PALETTE, class_of, classes, guess


def _found(words: str) -> list[str]:
    return [NAMES[index] for index in classes(words)]


def test_there_are_150_names_and_none_twice() -> None:
    assert len(NAMES) == len(PALETTE) == len(set(NAMES)) == 150
    assert [class_of(name) for name in NAMES] == list(range(150))
    assert class_of("carp") is None


def test_a_search_looks_at_beginnings_of_words_and_at_synonyms() -> None:
    assert _found("car")[0] == "car"
    assert "rug" in _found("car")  # carpet
    assert _found("door screen") == ["screen door"]
    assert _found("  TV ") == ["television"]
    assert _found("arpet") == []
    assert _found("") == list(NAMES)


def test_a_search_puts_names_that_begin_so_first() -> None:
    found = _found("table")
    assert found[0] == "table"
    assert set(found) == {"table", "pool table", "coffee table"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Chair", "chair"),
        ("Chair.003", "chair"),
        ("SM_Chair_01", "chair"),
        ("chairs", "chair"),
        ("officeChair2", "swivel chair"),
        ("Table_Lamp", "lamp"),
        ("coffee-table", "coffee table"),
        ("TREES", "tree"),
        ("Shelves", "shelf"),
        ("Boxes.001", "box"),
        ("BLACK_CAR", "car"),
        ("SMCar", "car"),
        ("Carpet", "rug"),
        ("Window.Frame", "windowpane"),
    ],
)
def test_a_name_is_understood_by_whole_words(name: str, expected: str) -> None:
    index = guess(name)
    assert index is not None
    assert NAMES[index] == expected


@pytest.mark.parametrize("name", ["Cube", "Plane", "Plane.001", "Suzanne", "Scar", "Cargo", "", "001"])
def test_a_name_that_says_nothing_is_left_alone(name: str) -> None:
    assert guess(name) is None
