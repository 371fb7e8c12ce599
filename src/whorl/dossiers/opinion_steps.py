"""Steps 8 and 9: the opinion is of this case, and every number of it follows from what lies beside it."""

from collections.abc import Sequence

from whorl.core.errors import VerificationError
from whorl.dossiers.composing import CaseDocuments
from whorl.dossiers.custody import Event
from whorl.dossiers.events import Acquired
from whorl.dossiers.examination import Examination, Found, NotChecked, Passed
from whorl.dossiers.heard import MAX_HEARD_BYTES
from whorl.dossiers.issued_opinion import (
    MAX_OPINION_BYTES,
    Issued,
    confirm_opinion,
    frozen_at,
    issued_opinion,
    require_stated,
)
from whorl.dossiers.opinion import parse_opinion
from whorl.dossiers.populations import MAX_POPULATION_BYTES, calibrated
from whorl.dossiers.ratios_again import unknown_populations
from whorl.dossiers.recorded import MAX_FINDING_BYTES
from whorl.dossiers.state import State


def opinion_step(examination: Examination) -> Found:
    """The opinion in force is of this case, of its protocol, and states the headline that the chain does."""
    found = _in_force(examination)
    if not isinstance(found, tuple):
        return found
    events, issued = found
    opinion = parse_opinion(_opinion(examination, issued), what="opinion", most=MAX_OPINION_BYTES)
    case = events[0].record.hash.hex()
    if opinion.case != case:
        raise VerificationError(f"expected an opinion on case {case[:16]}..., found one on {opinion.case[:16]}...")
    if opinion.protocol_sequence != frozen_at(events):
        raise VerificationError(
            f"expected an opinion on the protocol of event {frozen_at(events)}, found one on event "
            f"{opinion.protocol_sequence}"
        )
    require_stated(opinion, issued.event)
    return Passed(
        f"version {issued.event.version}, event {issued.place}, is of this case; its verdict is {opinion.verdict}"
    )


def numbers_step(examination: Examination) -> Found:
    """The opinion is composed again from the chain, the findings and the populations, and comes out the same."""
    found = _in_force(examination)
    if not isinstance(found, tuple):
        return found
    events, issued = found
    confirmed = confirm_opinion(
        _opinion(examination, issued), events, issued, documents_of=lambda state: _documents(examination, state)
    )
    tested = sum(one.outcome == "tested" for one in confirmed.opinion.treated)
    repeated = confirmed.state.replications
    again_by = "a second analyst made the findings again" if repeated else "no second analyst made them again"
    detail = (
        f"the whole opinion was composed again: {tested} alternatives with a ratio, "
        f"{len(confirmed.opinion.controls)} controls, largest difference {confirmed.largest:.1g}; that the findings "
        f"follow from the exhibits is not asked here: {again_by}; "
    )
    strange = [one.digest for one in unknown_populations(confirmed.documents.populations)]
    ranked = [one.population for one in confirmed.opinion.answers if one.population is not None]
    if not strange and not ranked:
        return Passed(f"{detail}ratios rest on the population of this release")
    return NotChecked(
        f"{detail}figures rest on populations that this release does not know "
        f"({', '.join(digest[:19] for digest in (*strange, *ranked))}...): ask who made them, of which models"
    )


def _in_force(examination: Examination) -> Found | tuple[Sequence[Event], Issued]:
    events = examination.events
    if events is None:
        return NotChecked("the chain could not be read, see step 5")
    issued = issued_opinion(events)
    if issued is None:
        return Passed("no opinion is in force in this case, so nothing is claimed")
    if _name(issued) not in examination.dossier.sizes:
        return NotChecked("the opinion is not in the dossier, see step 7")
    return events, issued


def _name(issued: Issued) -> str:
    return f"data/opinion-{issued.event.version}.json"


def _opinion(examination: Examination, issued: Issued) -> bytes:
    return examination.dossier.read(_name(issued), most=MAX_OPINION_BYTES)


def _documents(examination: Examination, state: State) -> CaseDocuments:
    def read(place: str, digest: str, most: int) -> bytes:
        return examination.dossier.read(f"data/{place.format(digest.removeprefix('sha256:'))}", most=most)

    digests = () if state.protocol is None else state.protocol.populations
    return CaseDocuments(
        findings={one.document: read("findings/{}.json", one.document, MAX_FINDING_BYTES) for one in state.analysed},
        filed={
            one.digest: read("exhibits/{}", one.digest, MAX_HEARD_BYTES)
            for one in state.acquired
            if one.access == "document" and _size(examination, one) <= MAX_HEARD_BYTES
        },
        populations=calibrated({digest: read("populations/{}", digest, MAX_POPULATION_BYTES) for digest in digests}),
    )


def _size(examination: Examination, one: Acquired) -> int:
    return examination.dossier.sizes.get(f"data/exhibits/{one.digest.removeprefix('sha256:')}", 0)
