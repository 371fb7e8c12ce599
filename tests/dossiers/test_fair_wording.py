"""Good and bad wording. The examples are those of the forensic reference page of this project, and near misses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whorl.core.errors import VerificationError
from whorl.dossiers.wording import require_fair, wording_faults

GOOD = [
    "The agreement pattern is at least about 18 times (central value 60) more probable if S was fine-tuned from V than "
    "if both were separately fine-tuned from public model A (interval 18-60; its upper end is the cap set by 96 "
    "families). It is about 4 times more probable than if S's developer used the same published preference data. This "
    "does not state how S's developer obtained anything, nor the probability that S is a copy.",
    "Lark was fine-tuned from Harrow.",
    "Both models were separately trained from the public model Ash.",
    "The evidence is about 60 times more probable if the first proposition is true than if the second is.",
    "The ratio would fall below 10 if the population had only 20 families.",
    "0 of 212 pairs, 41 families, with the upper 95 % bound 1.7 in 100; log10 ratio 1.2 (95 % interval 0.8 to 1.6).",
    "This is not a proof of independence.",
    "The result is uncertain.",
    "The test cannot prove descent, and does not say who did what.",
    "The student was distilled from the teacher's published answers.",
    "Harrow's weights descend from Lark's.",
    "Both started from the same random weights, and were trained apart.",
    "The stealth mode of the endpoint was off; 3 of 5 left agree, and 2 of 7 were filtered.",
    "sha256:1007e57ea1f0c3d957e41b0175a1c9d3f2b7e60c4a8d5e9f1b2c3d4e5f60718a",
    "Model gu2-7b, revision 57ea1abc, and its l0ra adapter were read.",
    "Ten out of a hundred families have such a ratio or a higher one.",
]
BAD = {
    "74 % of S is V": "percentage",
    "74% of S is V": "percentage",
    "The models are 93.5 per cent identical.": "percentage",
    "A similarity of ninety percent was measured.": "percentage",
    "Half of Lark is copied from Harrow.": "share",
    "Most of S was taken from V.": "share",
    "99.96 % certain": "percentage",
    "It is certain that S descends from V.": "sure",
    "There is no doubt.": "sure",
    "The descent is confirmed.": "sure",
    "This clearly shows descent.": "sure",
    "p < 10^-200, hence proven": "proof",
    "The comparison proves that S is a copy.": "proof",
    "No other origin is possible; this is proof.": "proof",
    "no evidence of derivation": "no evidence",
    "The findings are consistent with copying.": "consistent",
    "Meridian AI stole the weights.": "offence",
    "The weights were stolen.": "offence",
    "a case of theft": "offence",
    "Lark is pirated.": "offence",
    "Lark infringes the licence of Harrow.": "offence",
    "a breach of contract": "offence",
    "plagiarised": "offence",
    "sto\u00adlen weights": "offence",
    "St\u00f3len weights": "offence",
    "\uff53tolen weights": "offence",
    "STEALING": "offence",
    "an unauthorised copy": "offence",
    "It was used in an unauthorized manner.": "offence",
    "The weights were pilfered.": "offence",
    "Lark was lifted from Harrow.": "offence",
    "a bootlegged model": "offence",
    "Meridian AI ripped Harrow off.": "offence",
    "a ripped-off model": "offence",
    "St0len weights": "offence",
    "5tolen weights": "offence",
    "p1r4cy": "offence",
    "i11ega1ly used": "offence",
    "Ninety-nine per  cent of Lark is from Harrow.": "percentage",
    "90 pct of Lark comes from Harrow.": "percentage",
    "99 out of 100 weights of Lark come from Harrow.": "share",
    "11 out of 12 attention layers agree.": "share",
    "The probability that S is a copy of V is high.": "probability of the proposition",
    "The likelihood that S descends from V is 60.": "probability of the proposition",
    "S is probably a copy of V.": "how probable the proposition is",
    "It is likely that S was derived from V.": "how probable the proposition is",
    "S was very likely derived from V.": "how probable the proposition is",
    "The chances that both are independent are one in a million.": "probability of the proposition",
}


@pytest.mark.parametrize("text", GOOD)
def test_good_wording(text: str) -> None:
    assert wording_faults(text) == ()
    require_fair(text, where="statement")


@pytest.mark.parametrize("text", BAD)
def test_bad_wording(text: str) -> None:
    assert any(BAD[text] in fault for fault in wording_faults(text)), wording_faults(text)
    with pytest.raises(VerificationError, match=r"statement: expected words .* write it anew"):
        require_fair(text, where="statement")


def test_letters_that_only_look_alike() -> None:
    assert "mixes Cyrillic and Latin" in wording_faults("The weights were st\u043elen.")[0]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("good", GOOD[:2])
def test_bad_wording_is_not_hidden_among_good(good: str, bad: str) -> None:
    assert wording_faults(f"{good} {bad}")
    assert wording_faults(f"{bad.rstrip('.')}. {good}")
    assert wording_faults(bad.replace(" ", "\n  "))
    assert wording_faults(bad.upper())


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    assert all(isinstance(fault, str) for fault in wording_faults(text))


def test_long_texts_are_read_in_little_time() -> None:
    wording_faults("likely that " + "very much so " * 400)
    wording_faults("most of " * 1000)
    wording_faults("9" * 4000)
