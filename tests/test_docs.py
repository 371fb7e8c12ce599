"""The documents say what the code does: links lead somewhere, and examples are accepted."""

import re
from pathlib import Path

import pytest

from whorl.core.evidence import Finding

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "demo").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert missing == []


def test_the_example_of_a_finding_is_one() -> None:
    text = (ROOT / "docs/specs/finding.md").read_text()
    example = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    assert example is not None
    finding = Finding.model_validate_json(example.group(1))
    assert finding.questioned.name
