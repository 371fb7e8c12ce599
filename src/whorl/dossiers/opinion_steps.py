"""Steps 8 and 9: the opinion is of this case, and every number of it follows from what lies beside it."""

from collections.abc import Sequence

from whorl.core.errors import VerificationError
from whorl.dossiers.composing import CaseDocuments
from whorl.dossiers.custody import Event
from whorl.dossiers.examination import Examination, Found, NotChecked, Passed
from whorl.dossiers.issued_opinion import MAX_OPINION_BYTES, Issued, confirm_opinion, frozen_at, issued_opinion
from whorl.dossiers.opinion import parse_opinion
from whorl.dossiers.ratios_again import unknown_populations
from whorl.dossiers.recorded import MAX_FINDING_BYTES
from whorl.dossiers.state import State
from whorl.statistics.ratio_population import MAX_BYTES, parse_populations


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
    stated = None if opinion.headline is None else opinion.headline.log10_lr
    if stated != issued.event.headline_log10:
        raise VerificationError(
            f"expected the headline that the chain states ({issued.event.headline_log10}), found {stated} in the "
            "opinion"
        )
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
    strange = unknown_populations(confirmed.documents.populations)
    if not strange:
        return Passed(f"{detail}ratios rest on the population of this release")
    return NotChecked(
        f"{detail}ratios rest on populations that this release does not know "
        f"({', '.join(one.digest[:19] for one in strange)}...): ask who made them, of which models"
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
    def read(folder: str, digest: str, most: int) -> bytes:
        return examination.dossier.read(f"data/{folder}/{digest.removeprefix('sha256:')}.json", most=most)

    digests = () if state.protocol is None else state.protocol.populations
    return CaseDocuments(
        findings={one.document: read("findings", one.document, MAX_FINDING_BYTES) for one in state.analysed},
        populations=parse_populations({digest: read("populations", digest, MAX_BYTES) for digest in digests}),
    )
