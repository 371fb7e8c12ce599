"""The page about cases says what the code does: kinds and roles, rule numbers, stages, checklist and example."""

import hashlib
import json
import re
from pathlib import Path
from typing import get_args

from whorl.core.digest import canonical_json
from whorl.dossiers.events import ALTERNATIVES, EventKind, Role, parse_body
from whorl.dossiers.proceeding import RULES, Stage

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/specs/case.md").read_text()
CODE = "".join((ROOT / "src/whorl/dossiers" / f"{name}.py").read_text() for name in (
    "proceeding", "people_rules", "filing_rules", "preparing_rules", "issuing_rules"
))  # fmt: skip


def test_every_rule_of_the_code_is_on_the_page() -> None:
    numbers = [int(number) for number in re.findall(r"^(\d+)\. ", PAGE, re.MULTILINE)]
    assert numbers == list(range(1, 31))
    used = {int(number) for number in re.findall(r"rule (\d+):", CODE)}
    assert used <= set(numbers)
    assert {2, 4, 6, 10, 11, 13, 14, 15, 16, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 29, 30} <= used


def test_every_kind_with_those_who_may() -> None:
    rows = dict(re.findall(r"^\| (\w+) \| ([a-z ,;()]+) \| ", PAGE, re.MULTILINE))
    assert set(get_args(EventKind)) <= set(rows)
    for kind, rule in RULES.items():
        named = {role for role in get_args(Role) if re.search(rf"\b{role.replace('_', ' ')}\b", rows[kind])}
        named -= {"reviewer"} if "appeal reviewer" in rows[kind] else set()
        assert named == rule.roles, kind


def test_every_alternative_and_stage() -> None:
    assert all(alternative in PAGE for alternative in ALTERNATIVES)
    drawing = PAGE.split("```")[1]
    assert all(stage in drawing for stage in get_args(Stage) if stage != "new")


def test_the_example_of_a_statement() -> None:
    block = next(part for part in PAGE.split("```") if part.startswith("json"))
    body = re.search(r'"body": (\{.*?\})\}', block, re.DOTALL)
    assert body is not None
    stated = json.loads(body.group(1))
    assert parse_body(canonical_json(stated)).kind == "closed"
    assert f'"sha256": "{hashlib.sha256(canonical_json(stated)).hexdigest()[:4]}..."' in block
