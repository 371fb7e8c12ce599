"""Words that an opinion or a proposition may not use, because they claim what no comparison of models can show.

Four faults: an offence is named; a share of a model is said to be another's; a conclusion is called sure; a probability
of the proposition is given where only one of the evidence can be (the transposed conditional). The rules are about free
text; that a ratio never comes without interval, caps and population, its type ensures.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from whorl.core.errors import VerificationError
from whorl.entries.names import mixed_scripts


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fault:
    """One kind of fault.

    Parameters
    ----------
    deniable : whether the words may stand in a clause that denies them, as in "is not a proof"
    """

    pattern: re.Pattern[str]
    why: str
    deniable: bool = False


def _fault(pattern: str, why: str, *, deniable: bool = False) -> _Fault:
    return _Fault(pattern=re.compile(pattern), why=why, deniable=deniable)


_COPIED: Final = (
    r"(?:a |the )?(?:cop(?:y|ies|ied)|clones?|cloned|deriv(?:ed|ative)|distill?ed|descend(?:s|ed|ant)?|taken)"
)
_PEOPLE: Final = r"(?:[a-z0-9'_./-]+ ){0,6}"
_OFFENCE: Final = _fault(
    r"\b(?:theft|thefts|thief|thieves|steal(?!th\b)\w*|stole|stolen|pira(?:cy|t\w*)|plagiar\w*|infring\w*|misappropriat\w*"
    r"|fraud\w*|crime|crimes|criminal\w*|illegal\w*|illicit\w*|unlawful\w*|guilt\w*|counterfeit\w*|forger(?:y|ies)"
    r"|embezzl\w*|loot\w*|rip(?:s|ped|ping)?[ -]?offs?|rip(?:s|ped|ping) (?:[a-z0-9'_./-]+ ){1,3}off|offences?"
    r"|offenses?|violat\w*|breach\w*|cheat\w*|culprit\w*|perpetrat\w*|liable|liability|trespass\w*|smuggl\w*"
    r"|pilfer\w*|bootleg\w*|lifted from|unauthori[sz]ed(?:ly)?)\b",
    "names an offence or a guilt; whether there is one is for a court, which knows the licence and the facts",
)
_FAULTS: Final = (
    _OFFENCE,
    _fault(
        r"(?:\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|[a-z]{3,5}teen|twenty|thirty|forty|fifty"
        r"|sixty|seventy|eighty|ninety|hundred)\b)[\d.,]* ?-?"
        r"(?:%|percent\b|per cent\b|percentage\b|pct\b)"
        r"(?! ?-?(?:interval|confidence|credible|bound|upper|lower|limit|level))",
        "gives a percentage; a share of agreement is not a share of copying: state the ratio and its interval",
    ),
    _fault(
        r"\d out of (?:the |all |its |every )?[\d.,]*\d (?:[a-z-]+ )?"
        r"(?:weights?|parameters?|layers?|tensors?|neurons?)\b",
        "gives a share of agreement as if it were one of copying; state the ratio and its interval",
    ),
    _fault(
        r"\b(?:two thirds|three quarters|half|most|all|large parts?|parts?) of [a-z0-9'_./-]+(?: [a-z0-9'_./-]+){0,3} "
        rf"(?:is|are|was|were) (?:{_COPIED}|from)\b",
        "gives a share of one model that is said to be another; state the ratio and its interval",
    ),
    _fault(
        r"\b(?:certain|certainly|certainty|undoubted\w*|undeniabl\w*|irrefutabl\w*|conclusive(?:ly)?|definite(?:ly)?"
        r"|beyond (?:any |all |a )?(?:reasonable )?doubts?|no doubts?|without (?:a |any )?doubts?|unquestionabl\w*"
        r"|obvious(?:ly)?|clearly|undisputed|indisputabl\w*|confirm(?:s|ed)?)\b",
        "calls a conclusion sure; evidence has an interval and caps",
        deniable=True,
    ),
    _fault(
        r"\b(?:prov(?:e|es|ed|en|ing|ably)|proofs?|establish(?:es|ed)? (?:that|guilt)|smoking gun)\b",
        "speaks of proof; evidence has an interval and caps",
        deniable=True,
    ),
    _fault(
        rf"\b(?:probabilit(?:y|ies)|likelihood|odds|chances?) (?:that|of (?:{_COPIED}|copying|descent|derivation))\b",
        "gives a probability of the proposition; state how probable the evidence is under each proposition",
        deniable=True,
    ),
    _fault(
        rf"\b(?:probably|presumably|likely|unlikely|surely) (?:(?:that|to (?:be|have been)|been|was|is|were) )?"
        rf"{_PEOPLE}?{_COPIED}\b|\b(?:is|was|were|are) (?:very |most |highly |more )?(?:likely|probably) (?:a |to )",
        "says how probable the proposition is; state how probable the evidence is under each proposition",
        deniable=True,
    ),
    _fault(
        r"\bconsistent with\b",
        "says consistent with, which is true of the alternatives too; state the ratio against each of them",
    ),
    _fault(
        r"\bno (?:evidence|sign|indication|trace)s? (?:of|for|that)\b",
        "says no evidence of, where only a stated power gives a meaning to a miss; state what would have been seen",
    ),
)
_DENIAL: Final = re.compile(
    r"\b(?:(?:does|do|did|can|could|is|are|was|would) ?(?:not|n't|never)|cannot|nor|neither|not (?:a|the|any)"
    r"|nothing (?:here )?(?:says|states|shows))\b[^,]{0,70}$"
)
_DISGUISED: Final = re.compile(r"(?<![a-z0-9$@])[0-9$]?[a-z][a-z0-9$@]{3,23}(?![a-z0-9$@])")
"""A short word of letters in which some may be drawn by other signs; digests are longer, and begin with more digits."""
_SIGNS: Final = tuple(str.maketrans("013457$@", f"o{one}eastsa") for one in "il")
_CLAUSE: Final = re.compile(r"[.;:!?](?:\s|$)|\bbut\b|\bhence\b|\btherefore\b|\bso that\b|\bthus\b")


def wording_faults(text: str) -> tuple[str, ...]:
    """What is wrong with a text, one sentence for each fault, quoting the words; empty if nothing is.

    Parameters
    ----------
    text : plain words in English; other languages are not looked into
    """
    scripts = mixed_scripts(text)
    mixed = (f"expected words of one script, found one that mixes {' and '.join(scripts)}",) if scripts else ()
    return (*mixed, *_found(_plain(text)))


def require_fair(text: str, *, where: str) -> None:
    """Check free text that will stand in a case.

    Raises
    ------
    VerificationError
        If it names an offence, gives a percentage, calls a conclusion sure or transposes the conditional.
    """
    if faults := wording_faults(text):
        raise VerificationError(f"{where}: {faults[0]}; write it anew")


def _found(plain: str) -> Iterator[str]:
    start = 0
    for end in [*_CLAUSE.finditer(plain), None]:
        clause = plain[start : len(plain) if end is None else end.start()]
        for fault in _FAULTS:
            match = _first(fault, clause)
            if match is not None:
                yield _said(match, fault)
        start = len(plain) if end is None else end.end()
    for word in _DISGUISED.findall(plain):
        signs = sum(not letter.isalpha() for letter in word)
        if 0 < 2 * signs < len(word) and any(_OFFENCE.pattern.search(word.translate(table)) for table in _SIGNS):
            yield _said(word, _OFFENCE)


def _said(match: str, fault: _Fault) -> str:
    return f"expected words that a comparison can bear, found {match!a}: it {fault.why}"


def _first(fault: _Fault, clause: str) -> str | None:
    for match in fault.pattern.finditer(clause):
        if not (fault.deniable and _DENIAL.search(clause[: match.start()])):
            return match.group()[:80]
    return None


def _plain(text: str) -> str:
    """Lower case, one kind of dash and space, no accents and no marks between letters."""
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    kept = "".join(letter for letter in decomposed if unicodedata.category(letter) not in ("Mn", "Cf"))
    dashes = re.sub(r"[\u2010-\u2015\u2212]", "-", kept).replace("\u2019", "'")
    return re.sub(r"\s+", " ", dashes)
