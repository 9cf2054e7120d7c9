"""The types in docs/protocol.md are those of the code."""

import shutil

import protocol_types


def test_the_document_lists_the_types_as_they_are():
    assert protocol_types.main(["--check"]) == 0, "run tools/protocol_types.py"


def test_a_type_that_changed_is_noticed(tmp_path, monkeypatch):
    document = tmp_path / "protocol.md"
    shutil.copy(protocol_types.DOCUMENT, document)
    monkeypatch.setattr(protocol_types, "DOCUMENT", document)
    document.write_text(document.read_text().replace("| `priority` |", "| `importance` |"))
    assert protocol_types.main(["--check"]) == 1
    protocol_types.main([])
    assert protocol_types.main(["--check"]) == 0
