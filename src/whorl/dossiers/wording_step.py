"""Step 11: how the opinions are worded."""

from whorl.core.errors import VerificationError
from whorl.core.strict_json import parse_json_object
from whorl.dossiers.examination import Examination, Found, NotChecked, Passed
from whorl.dossiers.issued_opinion import MAX_OPINION_BYTES
from whorl.dossiers.layout import place_of
from whorl.dossiers.opinion import MAX_DEPTH
from whorl.dossiers.references import opinion_in_force
from whorl.dossiers.texts import texts_of
from whorl.dossiers.wording import require_fair
from whorl.entries.names import TEXT_LENGTH


def wording_step(examination: Examination) -> Found:
    """No text of an opinion names an offence, a percentage of copying or a probability of a proposition."""
    dossier = examination.dossier
    names = [name for name in dossier.sizes if (place := place_of(name)) is not None and place.kind == "opinion"]
    if not names:
        return _without_opinion(examination) or NotChecked("no opinion is in the dossier, see step 7")
    count = 0
    for name in sorted(names):
        data = dossier.read(name, most=MAX_OPINION_BYTES)
        document = parse_json_object(data, what=name, max_bytes=MAX_OPINION_BYTES, max_depth=MAX_DEPTH)
        for text in texts_of(document):
            if len(text) > TEXT_LENGTH:
                raise VerificationError(f"{name}: expected texts of at most {TEXT_LENGTH} letters, found a longer one")
            require_fair(text, where=name)
            count += 1
    return Passed(f"{count} texts of {len(names)} opinions name no offence, no percentage and no probability of guilt")


def _without_opinion(examination: Examination) -> Found | None:
    if examination.events is None:
        return NotChecked("the chain could not be read, see step 5")
    if opinion_in_force(examination.events) is None:
        return Passed("no opinion is in force in this case, so nothing is claimed")
    return None
