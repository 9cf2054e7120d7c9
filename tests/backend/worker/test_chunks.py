"""Where long prompts are cut."""

import pytest
import torch
from clip_stages import tokenizer
from underpaint.backend.worker.memory.needs import text_chunks
from underpaint.backend.worker.models.embeddings import Lexicon
from underpaint.backend.worker.sampling.chunks import Chunk, chunks
from underpaint.backend.worker.sampling.prompt_syntax import parse

END = 513  # and padding, of the first tokenizer


def words(prompt: str, lexicon: Lexicon | None = None) -> list[int]:
    """How many tokens of text each chunk has; with this tokenizer every letter is one."""
    return [length(chunk) for chunk in chunks(parse(prompt), tokenizer(), lexicon)]


def length(chunk: Chunk) -> int:
    assert len(chunk.ids) == len(chunk.weights) == 77
    return chunk.ids.index(END) - 1


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("", [0]),
        ("a " * 75, [75]),
        ("a " * 76, [75, 1]),
        ("a " * 150, [75, 75]),
        ("a " * 151, [75, 75, 1]),
        ("a BREAK b", [1, 1]),
        ("BREAK a", [0, 1]),
        ("a " * 80 + "BREAK" + " b" * 3, [75, 5, 3]),
        # a comma within the last 20 takes what follows it along
        ("a " * 60 + ", " + "b " * 20, [61, 20]),
        ("a " * 54 + ", " + "b " * 30, [75, 10]),  # 21 tokens back from the end is too far
        ("a " * 55 + ", " + "b " * 30, [56, 30]),
        ("a " * 74 + ", " + "b " * 3, [75, 3]),
        # a comma never begins a chunk by being moved, and one before does not reach over a chunk's end
        ("a " * 75 + ", " + "b " * 3, [75, 4]),
    ],
)
def test_where_a_prompt_is_cut(prompt: str, expected: list[int]) -> None:
    assert words(prompt) == expected


def test_ids_are_the_tokenizer_s_own_and_padded_as_it_pads() -> None:
    for pad in (None, "!"):
        own = tokenizer(pad)
        for text in ("", "a cat", "A Cat, on; mats — 日本 \n x" * 2):
            expected = own(text, padding="max_length", max_length=77, truncation=True).input_ids
            assert list(chunks(parse(text), own)[0].ids) == expected


def test_weights_go_with_their_tokens_over_a_cut() -> None:
    first, second = chunks(parse("a " * 60 + ", (" + "b " * 20 + ":1.5)"), tokenizer())
    assert set(first.weights) == {1.0}
    assert second.weights[1:21] == (1.5,) * 20
    assert set(second.weights[21:]) == {1.0}
    assert second.weights[0] == 1.0


@pytest.mark.parametrize(
    ("prompt", "least"),
    [("", 1), ("a cat, on a mat", 1), ("word, " * 60, 2), ("word " * 300, 4), ("a BREAK b", 2), ("word. " * 100, 3)],
)
def test_plans_count_with_as_many_chunks_at_least(prompt: str, least: int) -> None:
    assert least <= text_chunks(prompt) <= 3 * least


def test_the_vectors_of_a_word_stay_together() -> None:
    lexicon = Lexicon(vectors={"word": torch.zeros(10, 4)})
    assert words("word", lexicon) == [10]
    found = chunks(parse("a " * 70 + "word b"), tokenizer(), lexicon)
    assert [length(chunk) for chunk in found] == [70, 11]
    assert [place.position for chunk in found for place in chunk.placed] == [1]
    moved = chunks(parse("a " * 60 + ", word " + "b " * 8), tokenizer(), lexicon)
    assert [length(chunk) for chunk in moved] == [61, 18]
    assert [place.position for place in moved[1].placed] == [1]
    assert not moved[0].placed
    huge = Lexicon(vectors={"word": torch.zeros(100, 4)})
    assert words("a word b", huge) == [1, 75, 26]


def test_words_are_found_whole_the_longest_first_in_letters_of_any_size() -> None:
    def found(text: str) -> list[object]:
        lexicon = Lexicon(vectors={"cat": "CAT", "cat toy": "TOY", "<x>": "X", "embedding:cat": "E"})
        return [piece for piece in lexicon.pieces(text) if piece]

    assert found("a cat toy, Cat; cats, bobcat, cat") == ["a ", "TOY", ", ", "CAT", "; cats, bobcat, ", "CAT"]
    assert found("a<x>b embedding:cat") == ["a", "X", "b ", "E"]
    assert found("dog") == ["dog"]
