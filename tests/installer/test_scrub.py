"""What is shown to others holds nothing private: a log full of it, in every spelling."""

from pathlib import Path

import pytest
from underpaint.installer import scrub
from underpaint.protocol.client import Home

ROOTS_HOME = "/" + "root"
TOKEN = "0f" * 32
PROMPT = 'a castle of "Jürgen", at dusk'


@pytest.fixture(autouse=True)
def jurgen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user, and his computer."""
    monkeypatch.setenv("HOME", "/home/jürgen")
    monkeypatch.setenv("USERPROFILE", r"C:\Users\Jürgen Groß")
    monkeypatch.setenv("LOGNAME", "jürgen")
    monkeypatch.setattr("platform.node", lambda: "groß-pc")


def scrubbed(text: str, folder: str = "/mnt/große platte/underpaint") -> str:
    return scrub.scrub(text, home=Home(Path(folder)), prompts=[PROMPT, "two lines\nof a prompt", "sun"])


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ('File "/home/jürgen/scenes/room.py", line 3', 'File "~/scenes/room.py", line 3'),
        ("file:///home/j%C3%BCrgen/scenes", "file://~/scenes"),
        ("/home/anna/.cache", "~/.cache"),
        ("/Users/anna/Library/Underpaint", "~/Library/Underpaint"),
        (r"C:\Users\Jürgen Groß\AppData\Local", r"~\AppData\Local"),
        (r"c:\users\jürgen groß\appdata", r"~\appdata"),
        (r'{"path": "C:\\Users\\Jürgen Groß\\AppData"}', r'{"path": "~\\AppData"}'),
        ("C:/Users/Jürgen Groß/AppData", "~/AppData"),
        ("file:///C:/Users/J%C3%BCrgen%20Gro%C3%9F/AppData", "file:///~/AppData"),
        (r"C:\Users\JRGENG~1\AppData\Local\Temp", r"~\AppData\Local\Temp"),
        (r"D:\Users\Anna Maria\models", r"~\models"),
        ("/mnt/große platte/underpaint/logs/service.log", "[data folder]/logs/service.log"),
        ("on groß-pc as jürgen", "on [computer] as [user]"),
        (f"Bearer {TOKEN}", "Bearer [token]"),
        (f"token={TOKEN};", "token=[64 hex digits];"),
        ("hf_abcdefghijklmnopqrstuvwxyz", "[token]"),
        ("https://anna:secret@index.invalid/simple", "https://[credentials]@index.invalid/simple"),
        (f"ValueError: {PROMPT}", "ValueError: [prompt]"),
        (f"ValueError: {PROMPT.upper()}", "ValueError: [prompt]"),
        (f"ValueError({PROMPT!r})", "ValueError('[prompt]')"),
        ('JSON a castle of \\"Jürgen\\", at dusk', "JSON [prompt]"),
        ("> of a prompt <", "> [prompt] <"),
        ('"negative_prompt": "fog, and Anna", "seed": 3', '"negative_prompt": [prompt], "seed": 3'),
        ("sunday stays, jürgens too", "sunday stays, jürgens too"),
        ("/homework/jürgensen and /usr/home", "/homework/jürgensen and /usr/home"),
    ],
)
def test_what_is_private_is_taken_out_and_the_rest_stays(said: str, shown: str) -> None:
    assert scrubbed(said) == shown


def test_the_data_folder_within_the_home_is_named_as_what_it_is() -> None:
    home = "/home/jürgen/.local/share/underpaint"
    assert (
        scrubbed("/home/jürgen/.local/share/underpaint/models and /home/jürgen/x", home)
        == "[data folder]/models and ~/x"
    )


def test_a_user_called_root_takes_no_words_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "root")
    monkeypatch.setenv("HOME", "/root")
    assert scrubbed(f"the root of {ROOTS_HOME}/x") == "the root of ~/x"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("KeyError: 'a fox in the snow'", "KeyError: '[text]'"),
        ('said "a fox in the snow" twice', 'said "[text]" twice'),
        ("No module named 'torch'", "No module named 'torch'"),
        ("it doesn't run, and it can't either", "it doesn't run, and it can't either"),
        ('File "/opt/underpaint/x.py", line 3, in run', 'File "/opt/underpaint/x.py", line 3, in run'),
    ],
)
def test_quoted_sentences_are_left_out_of_logs(said: str, shown: str) -> None:
    assert scrub.without_quotations(said) == shown
