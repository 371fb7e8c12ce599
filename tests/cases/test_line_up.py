"""The line-up: dealt by the salt alone, each model once, and kept secret."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whorl.cases.line_up import (
    SECRET_FILE,
    Candidate,
    Candidates,
    DealtLineUp,
    Drawn,
    deal,
    forget_dealt,
    read_candidates,
    read_dealt,
    write_dealt,
)
from whorl.core.digest import digest_bytes
from whorl.core.errors import InputError, VerificationError
from whorl.dossiers.codes import code_key_commitment

SALTS = st.binary(min_size=32, max_size=32)


def some(name: str, number: int) -> tuple[Candidate, ...]:
    return tuple(Candidate(name=f"{name} {one}", path=f"/{name}/{one}") for one in range(number))


def candidates(**changed: object) -> Candidates:
    stated = {
        "schema_": "whorl.line-up-candidates/1",
        "questioned": Candidate(name="lark", path="/lark"),
        "reference": Candidate(name="harrow", path="/harrow"),
        "decoys": some("decoy", 6),
        "positive_controls": some("copy", 2),
        "negative_controls": some("stranger", 2),
        "draw": Drawn(decoys=3),
    }
    return Candidates.model_validate(stated | changed)


def dealt(salt: bytes, given_candidates: Candidates | None = None) -> DealtLineUp:
    return deal(given_candidates or candidates(), salt=salt, digest_of=lambda path: digest_bytes(path.encode()))


@given(SALTS)
def test_everybody_once_under_a_code_of_their_own(salt: bytes) -> None:
    line_up = dealt(salt)
    roles = Counter(member.role for member in line_up.members)
    assert roles == {"questioned": 1, "reference": 1, "decoy": 3, "positive_control": 1, "negative_control": 1}
    assert [member.code for member in line_up.members] == [f"M-{number}" for number in range(1, 8)]
    assert len({member.name for member in line_up.members}) == 7
    assert all(member.digest == digest_bytes(member.path.encode()) for member in line_up.members)
    assert line_up.stated.members == 7
    (reference,) = (member for member in line_up.members if member.role == "reference")
    assert line_up.stated.reference == reference.code
    assert line_up.commitment == code_key_commitment(salt, line_up.coded)


@given(SALTS)
def test_the_salt_and_the_names_decide_and_nothing_else(salt: bytes) -> None:
    turned = candidates(decoys=some("decoy", 6)[::-1], positive_controls=some("copy", 2)[::-1])
    assert dealt(salt) == dealt(salt, turned)


def test_every_place_and_every_candidate_comes_up() -> None:
    line_ups = [dealt(number.to_bytes(32, "big")) for number in range(300)]
    places = Counter(member.code for line_up in line_ups for member in line_up.members if member.role == "questioned")
    drawn = Counter(member.name for line_up in line_ups for member in line_up.members if member.role == "decoy")
    assert len(places) == 7
    assert min(places.values()) > 20  # 43 expected; fewer than 21 once in 10,000 for each place
    assert len(drawn) == 6
    assert min(drawn.values()) > 110  # 150 expected


def test_too_few_and_twice() -> None:
    with pytest.raises(InputError, match="at least 3 candidates for decoy, found 2"):
        dealt(bytes(32), candidates(decoys=some("decoy", 2)))
    with pytest.raises(InputError, match="found a name twice"):
        dealt(bytes(32), candidates(decoys=some("copy", 6)))


def test_the_secret_is_for_its_owner_alone(tmp_path: Path) -> None:
    line_up = dealt(bytes(32))
    write_dealt(tmp_path, line_up)
    assert (tmp_path / SECRET_FILE).stat().st_mode & 0o077 == 0
    assert read_dealt(tmp_path, line_up.commitment) == line_up
    assert "lark" not in repr(line_up)
    assert line_up.salt not in repr(line_up)
    (tmp_path / SECRET_FILE).write_text('{"salt": "hidden"}')
    with pytest.raises(InputError) as error:
        read_dealt(tmp_path, line_up.commitment)
    assert "hidden" not in str(error.value)
    with pytest.raises(InputError, match="found something else"):
        write_dealt(tmp_path, line_up)  # what it was nobody knows, so it is not put aside
    (tmp_path / SECRET_FILE).unlink()
    with pytest.raises(InputError, match="found none"):
        read_dealt(tmp_path, line_up.commitment)


def test_of_several_attempts_the_commitment_says_which_one_counts(tmp_path: Path) -> None:
    attempts = [dealt(bytes([number]) * 32) for number in range(3)]
    for one in attempts:
        write_dealt(tmp_path, one)
    for one in attempts:
        assert read_dealt(tmp_path, one.commitment) == one
    assert {file.stat().st_mode & 0o077 for file in tmp_path.iterdir()} == {0}
    with pytest.raises(VerificationError, match="expected the code key that was committed to"):
        read_dealt(tmp_path, dealt(bytes([9]) * 32).commitment)
    (tmp_path / "line-up-of-my-own.json").touch()
    forget_dealt(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["line-up-of-my-own.json"]


def test_the_managers_file(tmp_path: Path) -> None:
    file = tmp_path / "candidates.json"
    document = candidates().model_dump(mode="json", by_alias=True)
    document["questioned"]["path"] = "models/lark"
    file.write_text(json.dumps(document))
    assert read_candidates(file).questioned.path == str(tmp_path.resolve() / "models/lark")
    assert read_candidates(file).reference.path == "/harrow"
    for wrong in ("{}", "[]", json.dumps(document | {"draw": {"decoys": 1}}), json.dumps(document | {"more": 1})):
        file.write_text(wrong)
        with pytest.raises(InputError):
            read_candidates(file)
