"""CLIP's tokenizer as it is shipped, against numbers that are published and against OpenAI's way to make them."""

import gzip

import pytest
from underpaint.backend.worker.models.clip_tokenizer import WORDS, clip_tokenizer, merges, vocabulary
from underpaint.backend.worker.models.shapes import SHIPPED

START, END = 49406, 49407


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("a photo of a cat", [320, 1125, 539, 320, 2368]),  # as in CLIP's and diffusers' documentation
        ("a photo of a dog", [320, 1125, 539, 320, 1929]),
        ("hello world!", [3306, 1002, 256]),
        ("A  Photo\nOF a Cat", [320, 1125, 539, 320, 2368]),
        ("", []),
    ],
)
def test_texts_have_the_numbers_that_clip_was_trained_with(text: str, numbers: list[int]) -> None:
    assert clip_tokenizer()(text).input_ids == [START, *numbers, END]


def test_every_number_is_there_once() -> None:
    assert sorted(vocabulary().values()) == list(range(WORDS))
    assert (vocabulary()["<|startoftext|>"], vocabulary()["<|endoftext|>"]) == (START, END)
    assert (vocabulary()["!"], vocabulary()["a</w>"]) == (0, 320)
    assert len(merges()) == 48894


def test_what_fills_up_a_prompt() -> None:
    for tokenizer, number in ((clip_tokenizer(), END), (clip_tokenizer(pad="!"), 0)):
        found = tokenizer("cat", padding="max_length", max_length=77, truncation=True).input_ids
        assert found == [START, 2368, END, *[number] * 74]
        assert tokenizer.model_max_length == 77


def test_what_is_shipped_is_small_and_says_whose_it_is() -> None:
    packed = SHIPPED / "clip" / "merges.txt.gz"
    assert packed.stat().st_size < 250_000
    assert gzip.decompress(packed.read_bytes()).startswith(b"i n\nt h\n")
    assert "OpenAI" in (SHIPPED / "clip" / "LICENSE").read_text()
    assert "github.com/openai/CLIP" in (SHIPPED / "README.md").read_text()
