"""Names in a case: what reads like another name is refused when it is entered, not when the dossier is built."""

import played_case as played
import pytest
from hypothesis import given
from hypothesis import strategies as st
from played_case import Play

from whorl.core.errors import VerificationError
from whorl.dossiers.codes import code_key_commitment
from whorl.dossiers.events import Joined, Model, Party
from whorl.dossiers.naming import reads_like, require_plain, twins

ALIKE = [
    ("Northwind Labs", "NORTHWIND LABS"),
    ("Northwind Labs", "Northwind  Labs"),
    ("Northwind Labs", "North\u3164wind Labs"),
    ("Northwind Labs", "Northwind Labs\ufe0f"),
    ("Northwind Labs", "\uff2eorthwind Labs"),
    ("Northwind Labs", "Northwind\u00a0Labs"),
    ("Stra\u00dfe AI", "STRASSE AI"),
    ("Office Labs", "O\ufb03ce Labs"),
    ("Meridian AI", "Meridian Al"),
    ("Meridian AI", "Meridian A1"),
    ("Meridian AI", "meridian ai"),
    ("Meridian AI", "Meridian A|"),
    ("Harrow-10", "HARROW-1O"),
    ("model", "rnodel"),
    ("Northwind", "Northvvind"),
    ("OPEX", "\u041e\u0420\u0415\u0425"),
    ("TOKEN", "\u03a4\u039f\u039a\u0395\u039d"),
    ("\u0389\u03bb\u03b9\u03bf\u03c2", "\u0389\u039b\u0399\u039f\u03a3"),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_names_that_read_alike(one: str, other: str) -> None:
    assert reads_like(one) == reads_like(other)
    assert twins(["Harbour Models", one, other]) == (one, other)


def test_names_that_do_not() -> None:
    assert twins(["Northwind Labs", "Northwind Lab", "Harbour Models", "Harbour Model 2", "\u5317\u98a8"]) is None


@given(st.text(max_size=40))
def test_one_spelling_is_its_own(name: str) -> None:
    assert reads_like(reads_like(name)) == reads_like(name)


HIDDEN = ["\u200b", "\u202e", "\u2066", "\u034f", "\u115f", "\u1160", "\u3164", "\uffa0", "\u2800", "\ufe0f", "\x1b"]


@pytest.mark.parametrize("letter", HIDDEN)
def test_what_is_not_drawn(letter: str) -> None:
    with pytest.raises(VerificationError, match=rf"found U\+{ord(letter):04X}"):
        require_plain(f"North{letter}wind", where="name")


def renamed(role: str, name: str) -> list[Party]:
    return [one.model_copy(update={"name": name}) if one.role == role else one for one in played.PARTIES.values()]


SAME_PERSON = ["THE COMPLAINANT", "The\u00a0complainant", "The  complainant", "The complain\u1d43nt"]


@pytest.mark.parametrize("name", SAME_PERSON)
def test_two_people_whose_names_read_alike(name: str) -> None:
    with pytest.raises(VerificationError, match=r"rule 4: "):
        Play().do("manager", played.opened(renamed("respondent", name)))


@pytest.mark.parametrize("name", ["Thieves of Harrow", "N\u043erthwind Labs", "Harrow\u3164"])
def test_a_persons_name_is_looked_at_when_it_is_entered(name: str) -> None:
    with pytest.raises(VerificationError, match="rule 8: name of the respondent"):
        Play().do("manager", played.opened(renamed("respondent", name)))
    late = played.party("appeal_reviewer", name=name, key="late")
    with pytest.raises(VerificationError, match="rule 8: name of the appeal_reviewer"):
        Play().until("opened").do("manager", Joined(party=late))


@pytest.mark.parametrize("which", ["questioned", "reference"])
def test_a_models_name_is_looked_at_when_it_is_entered(which: str) -> None:
    stolen = Model(name="harrow-stolen", digest=None)
    with pytest.raises(VerificationError, match=f"rule 8: name of the {which} model"):
        Play().do("manager", played.opened(**{which: stolen}))


def test_every_letter_of_a_title_is_drawn() -> None:
    with pytest.raises(VerificationError, match=r"rule 8: title: .* found U\+3164"):
        Play().do("manager", played.opened(title="Lark\u3164 and Harrow"))
    case = Play().until("unblinded")
    with pytest.raises(VerificationError, match=r"rule 8: title of D-1: .* found U\+FE0F"):
        case.do("respondent", played.acquired("D-1", case.at, title="A log\ufe0f"))


def test_two_models_whose_names_read_alike() -> None:
    with pytest.raises(VerificationError, match="rule 8: expected two models whose names can be told apart"):
        Play().do("manager", played.opened(questioned=Model(name="HARROW", digest=None)))


def test_a_members_name_is_looked_at_at_the_latest_when_it_is_shown() -> None:
    members = [
        one.model_copy(update={"name": "the pirated copy"}) if one.role == "positive_control" else one
        for one in played.MEMBERS
    ]
    case = Play().until("proposed")
    case.do("manager", played.frozen(code_key_commitment=code_key_commitment(played.SALT, members)))
    for number in range(1, 7):
        case.do("manager", played.acquired(f"M-{number}", case.at))
    for code in played.TRUTH:
        case.do("analyst", played.analysed(code))
    with pytest.raises(VerificationError, match="rule 8: name of M-3"):
        case.do("manager", played.unblinded(members))


@pytest.mark.parametrize("where", ["licence", "funding"])
def test_facts_of_the_licence_and_funding_are_fairly_worded(where: str) -> None:
    with pytest.raises(VerificationError, match=r"rule 8: .*expected words"):
        Play().do("manager", played.opened(**{where: "Section 4 was breached by the theft."}))
