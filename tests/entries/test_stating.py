"""What a user states and does not fit is told in the user's words, never as a fault of the program."""

import pytest

from whorl.core.errors import InputError
from whorl.core.evidence import Document
from whorl.entries.kinds import Dispute, Notice, Organisation, Status
from whorl.entries.stating import require_stated, stated


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
    [
        (
            Status,
            {"state": "withdrawn", "reason": "x" * 4001},
            "--reason: expected at most 4000 characters, found 4001",
        ),
        (Status, {"state": "withdrawn", "reason": "a\tb"}, "--reason: .*control"),
        (Status, {"state": "withdrawn", "reason": "x", "evidence": ("abc",)}, "--because: .*id of an entry.*'abc'"),
        (Status, {"state": "withdrawn", "reason": "x", "evidence": ("a" * 52,) * 21}, "--because: .*at most 20"),
        (Status, {"state": "owned", "reason": "x"}, "--state: expected 'verified'.*found 'owned'"),
        (Status, {"state": "withdrawn"}, "--reason: .*required"),
        (Dispute, {"grounds": "a\u202eb"}, "--grounds: .*invisible"),
        (Notice, {"colour": "red", "title": "x", "text": "x"}, "notice: .*a red notice states relation"),
    ],
)
def test_what_does_not_fit_is_named_with_what_was_expected_and_found(
    kind: type[Document], fields: dict[str, object], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        stated(kind, fields, options={"evidence": "--because"})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": ""}, "--claimant: .*is empty"),
        ({"name": "x" * 201}, "--claimant: expected at most 200 characters, found 201"),
        ({"name": "Northwind\u202e"}, "--claimant: .*invisible"),
        ({"name": "Northwind Labs", "jurisdiction": "nl"}, "--jurisdiction: .*such as NL.*found 'nl'"),
    ],
)
def test_parts_are_checked_before_the_rest_is_known(fields: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        require_stated(Organisation, fields, options={"name": "--claimant"})


def test_what_fits_is_stated() -> None:
    require_stated(Organisation, {"name": "Northwind Labs", "jurisdiction": "NL"})
    assert stated(Dispute, {"grounds": "It is not so."}) == Dispute(grounds="It is not so.")


def test_a_file_is_named_instead_of_options() -> None:
    with pytest.raises(InputError, match=r"finding\.json: grounds: "):
        stated(Dispute, {"grounds": "\x00"}, where="finding.json")
