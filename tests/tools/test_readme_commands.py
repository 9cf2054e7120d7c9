"""What the README tells people to type, and where its links lead."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_command_is_a_target_of_the_makefile() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    commands = [line.split("#")[0].split() for block in blocks for line in block.splitlines() if line.strip()]
    commands += [match.split() for match in re.findall(r"`(make [a-z]+)`", README)]
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"demo", "test", "panel", "zip"} <= {words[1] for words in commands}
    for words in commands:
        assert words[0] == "make", words
        assert words[1] in targets, words


def test_every_link_leads_somewhere() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for page in pages:
        for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            if link.startswith("#") or "://" in link:
                continue
            assert (page.parent / link.split("#")[0]).exists(), f"{page.name} links to {link}, which is not there"
