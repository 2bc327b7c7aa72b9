"""What the documents name is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOPS = ("agent", "parser", "collector", "proto", "src", "tests", "packaging", ".ci")
PATH = re.compile(rf"(?:`|\]\()((?:{'|'.join(map(re.escape, TOPS))})/[\w./*-]*)")


@pytest.mark.parametrize("document", sorted(path.name for path in ROOT.glob("*.md")))
def test_every_path_in_a_document_is_there(document: str) -> None:
    named = set(PATH.findall((ROOT / document).read_text()))
    # Upper-case parts stand for any name.
    concrete = {path for path in named if not re.search(r"/[A-Z]+(\.|/|$)", path)}
    missing = sorted(path for path in concrete if not any(ROOT.glob(path.rstrip("/"))))
    assert missing == []


@pytest.mark.parametrize("document", sorted(path.name for path in ROOT.glob("*.md")))
def test_links_between_documents_lead_somewhere(document: str) -> None:
    links = re.findall(r"\]\(((?!https?:)[^)#]+)\)", (ROOT / document).read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []
