"""Handling labels: an empty list means nobody, and nothing widens on the way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from whorl.entries.handling import CLEAR, Handling, may_see, narrows

BUREAUS = ["bureau.example/a", "bureau.example/b"]
READERS = [*BUREAUS, "firm", "issuer", None]


@st.composite
def labels(draw: st.DrawFn) -> Handling:
    label = draw(st.sampled_from(["clear", "bureaus", "named", "own"]))
    recipients = draw(st.lists(st.sampled_from(READERS[:3]), max_size=3, unique=True)) if label == "named" else []
    return Handling(label=label, recipients=tuple(recipients), onward=draw(st.booleans()))


def _sees(handling: Handling, reader: str | None) -> bool:
    return may_see(handling, reader=reader, issuer="issuer", is_bureau=str(reader).startswith("bureau"))


@given(labels(), labels())
def test_whoever_sees_a_narrowed_label_saw_the_earlier_one(earlier: Handling, later: Handling) -> None:
    if narrows(later, earlier, bureaus=BUREAUS):
        assert all(_sees(earlier, reader) or not _sees(later, reader) for reader in READERS)
        assert earlier.onward or not later.onward


@given(labels())
def test_a_label_narrows_itself_and_everything_narrows_clear(handling: Handling) -> None:
    assert narrows(handling, handling, bureaus=BUREAUS)
    assert narrows(handling, CLEAR, bureaus=())


def test_an_empty_list_of_recipients_means_nobody_but_the_issuer() -> None:
    # MISP/MISP issue 4200: an empty list published to everybody.
    assert [reader for reader in READERS if _sees(Handling(label="named"), reader)] == ["issuer"]


def test_recipients_beside_another_label_are_refused() -> None:
    with pytest.raises(ValidationError, match="named"):
        Handling(label="bureaus", recipients=("firm",))


def test_nobody_unknown_sees_what_is_not_clear() -> None:
    for label in ("bureaus", "named", "own"):
        assert not _sees(Handling(label=label), None)
