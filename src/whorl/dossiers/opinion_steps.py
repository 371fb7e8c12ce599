"""Steps 8 and 9: the opinion is of this case, and every number of it follows from what lies beside it."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Final

from pydantic import ValidationError

from whorl.core.errors import InputError, VerificationError
from whorl.core.strict_json import parse_json_object
from whorl.dossiers.composing import MAX_FINDING_BYTES, CaseDocuments, compose_opinion
from whorl.dossiers.custody import Event
from whorl.dossiers.differences import differences
from whorl.dossiers.events import Opined
from whorl.dossiers.examination import Examination, Found, NotChecked, Passed
from whorl.dossiers.opinion import Opinion, parse_opinion
from whorl.dossiers.proceeding import proceed
from whorl.dossiers.ratios_again import TOLERANCE
from whorl.dossiers.recorded import require_recorded
from whorl.dossiers.references import opinion_in_force
from whorl.statistics.ratio_population import Population

MAX_OPINION_BYTES: Final = 2 << 20
MAX_POPULATION_BYTES: Final = 16 << 20


def opinion_step(examination: Examination) -> Found:
    """The opinion in force is of this case, of its protocol, and states the headline that the chain does."""
    found = _in_force(examination)
    if not isinstance(found, tuple):
        return found
    events, place, event = found
    opinion = _opinion(examination, event)
    case = events[0].record.hash.hex()
    if opinion.case != case:
        raise VerificationError(f"expected an opinion on case {case[:16]}..., found one on {opinion.case[:16]}...")
    kinds = [one.record.kind for one in events]
    if kinds.index("frozen") != opinion.protocol_sequence:
        raise VerificationError(
            f"expected an opinion on the protocol of event {kinds.index('frozen')}, found one on event "
            f"{opinion.protocol_sequence}"
        )
    stated = None if opinion.headline is None else opinion.headline.log10_lr
    if stated != event.headline_log10:
        raise VerificationError(
            f"expected the headline that the chain states ({event.headline_log10}), found {stated} in the opinion"
        )
    return Passed(f"version {event.version}, event {place}, is of this case; its verdict is {opinion.verdict}")


def numbers_step(examination: Examination) -> Found:
    """The opinion is composed again from the chain, the findings and the populations, and comes out the same."""
    found = _in_force(examination)
    if not isinstance(found, tuple):
        return found
    events, place, event = found
    if any(one.body is None for one in events[:place]):
        raise VerificationError(
            "expected an opinion whose numbers can be made again, found one that rests on events that were erased: it "
            "must be erased with them"
        )
    state = proceed(events[:place])
    opinion = _opinion(examination, event)
    documents = CaseDocuments(
        findings={
            one.document: examination.dossier.read(
                f"data/findings/{one.document.removeprefix('sha256:')}.json", most=MAX_FINDING_BYTES
            )
            for one in state.analysed
        },
        populations=_populations(examination, () if state.protocol is None else state.protocol.populations),
    )
    for one in state.analysed:  # controls are judged by what the chain says of them
        require_recorded(state, one, documents.findings[one.document])
    again = compose_opinion(
        state, documents, case=opinion.case, protocol_sequence=opinion.protocol_sequence, remarks=opinion.remarks
    )
    largest, places = differences(opinion.model_dump(mode="json"), again.model_dump(mode="json"), where="opinion")
    if places:
        raise VerificationError(f"expected what follows from the findings, found something else: {places[0][:400]}")
    if largest > TOLERANCE:
        raise VerificationError(
            f"expected the numbers that follow from the findings within {TOLERANCE:g}, found one that differs by "
            f"{largest:.3g}"
        )
    tested = sum(one.outcome == "tested" for one in opinion.treated)
    again_by = "a second analyst made the findings again" if state.replications else "no second analyst made them again"
    detail = (
        f"the whole opinion was composed again: {tested} alternatives with a ratio, {len(opinion.controls)} controls, "
        f"largest difference {largest:.1g}; that the findings follow from the exhibits is not asked here: {again_by}; "
    )
    shipped, strange = _shipped_population(), sorted(documents.populations)
    if strange == [shipped]:
        return Passed(f"{detail}ratios rest on the population of this release")
    return NotChecked(
        f"{detail}ratios rest on populations that this release does not know "
        f"({', '.join(one[:19] for one in strange if one != shipped)}...): ask who made them, of which models"
    )


def _shipped_population() -> str:
    """Digest of the population that comes with the reader's release: one of somebody's making can say anything."""
    return Population.model_validate_json(files("whorl.comparison").joinpath("population.json").read_bytes()).digest


def _in_force(examination: Examination) -> Found | tuple[Sequence[Event], int, Opined]:
    events = examination.events
    if events is None:
        return NotChecked("the chain could not be read, see step 5")
    digest = opinion_in_force(events)
    if digest is None:
        return Passed("no opinion is in force in this case, so nothing is claimed")
    for place in reversed(range(len(events))):
        body = events[place].body
        if isinstance(body, Opined) and body.document.removeprefix("sha256:") == digest:
            if f"data/opinion-{body.version}.json" not in examination.dossier.sizes:
                return NotChecked("the opinion is not in the dossier, see step 7")
            return events, place, body
    raise AssertionError("the opinion in force is one that an event names")


def _opinion(examination: Examination, event: Opined) -> Opinion:
    name = f"data/opinion-{event.version}.json"
    return parse_opinion(examination.dossier.read(name, most=MAX_OPINION_BYTES), what=name, most=MAX_OPINION_BYTES)


def _populations(examination: Examination, digests: Sequence[str]) -> dict[str, Population]:
    found = {}
    for digest in digests:
        name = f"data/populations/{digest.removeprefix('sha256:')}.json"
        data = examination.dossier.read(name, most=MAX_POPULATION_BYTES)
        parse_json_object(data, what=name, max_bytes=MAX_POPULATION_BYTES, max_depth=16)
        try:
            population = Population.model_validate_json(data)
        except ValidationError:
            raise InputError(f"{name}: expected a calibrated population, found something else") from None
        found[population.digest] = population
    return found
