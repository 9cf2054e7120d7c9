"""What brackets and tags in a prompt mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from underpaint.backend.worker.sampling.prompt_syntax import LoraTag, Prompt, Span, parse, plain, without_tags
from underpaint.protocol.errors import InvalidRequest


def spans(text: str) -> list[tuple[str, float]]:
    """The first part's words, with their weights to four digits."""
    return [(span.text.strip(), round(span.weight, 4)) for span in parse(text).parts[0]]


# what AUTOMATIC1111's parser gives for the same texts, but for the space around words
WEIGHTS = [
    ("a cat", [("a cat", 1)]),
    ("a (cat)", [("a", 1), ("cat", 1.1)]),
    ("((a)) cat", [("a", 1.21), ("cat", 1)]),
    ("[a] cat", [("a", 0.9091), ("cat", 1)]),
    ("(a:1.5) cat", [("a", 1.5), ("cat", 1)]),
    ("(a: 1.5 ) cat", [("a", 1.5), ("cat", 1)]),
    ("(a:.5)", [("a", 0.5)]),
    ("(a:0)", [("a", 0)]),
    ("(a:-1)", [("a", -1)]),
    ("((a:1.5) b)", [("a", 1.65), ("b", 1.1)]),
    ("(a (b:1.5):2)", [("a", 2), ("b", 3)]),
    ("(a", [("a", 1.1)]),
    ("((a", [("a", 1.21)]),
    ("[a", [("a", 0.9091)]),
    ("a)", [("a)", 1)]),
    ("a]", [("a]", 1)]),
    ("a:1.5)", [("a:1.5)", 1)]),
    (r"\(a\)", [("(a)", 1)]),
    (r"\[a\] (b\))", [("[a]", 1), ("b)", 1.1)]),
    (r"a\\(b)", [("a\\", 1), ("b", 1.1)]),
    (r"a \ b", [("a \\ b", 1)]),
    ("a: b, c:d", [("a: b, c:d", 1)]),
    ("(a:b:1.2)", [("a:b", 1.2)]),
    ("[(a)]", [("a", 1)]),
    ("(a [b) c]", [("a", 1.1), ("b", 1), ("c", 0.9091)]),
    ("(a:1.2.3)", [("a:1.2.3", 1.1)]),
    ("", []),
    ("   ", []),
    ("()", []),
    ("(:1.5)", []),
]


@pytest.mark.parametrize(("text", "expected"), WEIGHTS)
def test_weights(text: str, expected: list[tuple[str, float]]) -> None:
    assert spans(text) == expected


def test_break_parts_a_prompt_wherever_it_stands() -> None:
    def parts(text: str) -> list[list[tuple[str, float]]]:
        return [[(span.text.strip(), span.weight) for span in part] for part in parse(text).parts]

    assert parts("a BREAK b") == [[("a", 1)], [("b", 1)]]
    assert parts("(a BREAK b:1.2)") == [[("a", 1.2)], [("b", 1.2)]]
    assert parts("a BREAK") == [[("a", 1)]]
    assert parts("BREAK a") == [[], [("a", 1)]]
    assert parts("a BREAK BREAK b") == [[("a", 1)], [], [("b", 1)]]
    assert parts("BREAKFAST, BREAKs") == [[("BREAKFAST, BREAKs", 1)]]
    assert parts("") == [[]]


def test_a_plain_text_is_text() -> None:
    text = "((a)) [b:c:0.5] <lora:x:1> BREAK \\( AND"
    assert plain(text) == Prompt(parts=((Span(text=text),),))


LORAS = [
    ("<lora:name>", LoraTag(name="name")),
    ("<lora:name:0.8>", LoraTag(name="name", weight=0.8)),
    ("<lora:name:0.5:0.8>", LoraTag(name="name", weight=0.8, text_weight=0.5)),
    ("<lora: My LoRA v1.2 : -0.5 >", LoraTag(name="My LoRA v1.2", weight=-0.5)),
    ("<lyco:name:1.5>", LoraTag(name="name", weight=1.5)),
    ("<LORA:sub/folder/name:.7>", LoraTag(name="sub/folder/name", weight=0.7)),
    ("<lora:name:unet=0.4:te=0.6>", LoraTag(name="name", weight=0.4, text_weight=0.6)),
    ("<lora:name:0.5:unet=0.8>", LoraTag(name="name", weight=0.8, text_weight=0.5)),
    ("<lora:name:0.8:te=0.5>", LoraTag(name="name", weight=0.8, text_weight=0.5)),
    ("<lora:name:te=0>", LoraTag(name="name", text_weight=0)),
]


@pytest.mark.parametrize(("text", "expected"), LORAS)
def test_loras_are_taken_out(text: str, expected: LoraTag) -> None:
    found = parse(f"a {text} cat")
    assert found.loras == (expected,)
    assert [span.text.split() for part in found.parts for span in part] == [["a", "cat"]]
    assert without_tags(f"a {text} cat").split() == ["a", "cat"]


def test_several_loras_keep_their_order_and_other_angles_are_text() -> None:
    found = parse("<lora:b:1><lora:a:0.5> <cat-toy> a < b > c <3 <lora")
    assert [lora.name for lora in found.loras] == ["b", "a"]
    assert found.parts[0][0].text.strip() == "<cat-toy> a < b > c <3 <lora"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("<lora:>", "names no LoRA"),
        ("<lora: :1>", "names no LoRA"),
        ("<lora>", "names no LoRA"),
        ("<lora:a:b>", "can't be read"),
        ("<lora:a:1:2:3>", "can't be read"),
        ("<lora:a:nan>", "can't be read"),
        ("<lora:a:1e9>", "can't be read"),
        ("<lora:a:dyn=1>", "can't be read"),
        ("<lora:a:1000>", "expected -100 to 100"),
        ("(a:1000)", "a weight of 1e+03"),
        ("(" * 10_000 + "a" + ")" * 10_000, "a weight of inf"),
        ("(" * 60 + "a", "a weight of 304"),
    ],
)
def test_what_can_t_be_meant_is_refused(text: str, word: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(text)
    assert word in str(refused.value)


def test_ten_thousand_brackets_take_no_longer_than_their_letters() -> None:
    """Each costs one multiplication; where every one went over all words so far, this would be 10^8."""
    half = "(a" * 10_000
    found = parse(half + ":0)" * 10_000)
    assert {span.weight for span in found.parts[0]} == {0.0}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[cat:dog:0.5]", 'Prompt editing is not supported: "[cat:dog:0.5]"'),
        ("[cat:0.5]", "Prompt editing"),
        ("[cat::0.5]", "Prompt editing"),
        ("[cat:dog:10]", "Prompt editing"),
        ("[cat|dog]", "Alternating words are not supported"),
        ("a cat AND a dog", "Combining prompts with AND"),
        ("<hypernet:style:0.5> a", "Hypernetworks are not supported"),
    ],
)
def test_what_other_programs_do_and_this_one_does_not_is_told(text: str, word: str) -> None:
    (note,) = parse(text).notes
    assert word in note


@pytest.mark.parametrize("text", ["a [cat]", "[a: b]", "(a:1.5)", "sand AND-ish and", "a | b", "<lora:a:1>"])
def test_nothing_is_told_of_what_is_done(text: str) -> None:
    assert parse(text).notes == () or "AND" in text


@given(st.text(alphabet="ab ()[]:\\.15<>|,BREAK", max_size=200))
def test_any_text_is_read_or_refused_and_no_word_is_lost(text: str) -> None:
    try:
        found = parse(text)
    except InvalidRequest:
        return
    kept = "".join(span.text for part in found.parts for span in part)
    for letter in "ab":
        assert kept.count(letter) <= text.count(letter)
    assert len(found.parts) >= 1
    if not set(text) & set("()[]:\\<>BREAK"):
        assert kept.strip() == text.strip()
