"""What the analyses of alternatives say on a terminal: the figures, what is left open, and what they do not show."""

import textwrap
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

from whorl.cases.documents import LEAST_TOLD, DocumentRatio, DocumentsWeight
from whorl.cases.filtering import Filter, Filtration, Residue
from whorl.cases.prompt_filtering import PromptFiltration
from whorl.cli.summary import LABEL_WIDTH, WIDTH, print_facts, print_lines
from whorl.comparison.ancestor_document import AncestorRatio, AncestorTest, BandFigures, Figure, Kept, Possibility
from whorl.comparison.wording import at_least, sentence, short_digest, tenths, visible
from whorl.core.evidence import Subject
from whorl.dossiers.events import Alternative
from whorl.dossiers.heard import MAX_HEARD_BYTES

LONGEST_NAME: Final = 120
TORNADO_SHOWN: Final = 5
LISTED: Final = 12

_READINGS: Final = {
    "questioned_holds_reference": "The questioned model holds the reference's change",
    "reference_holds_questioned": "The reference holds the questioned model's change",
    "common_ancestor": "A common ancestor",
    "on_the_way": "One change is the other, shorter or longer",
    "unchanged": "Undecided: one of the two is the ancestor",
    "undecided": "Undecided",
}
_AGAINST: Final = {"common_ancestor": "siblings on other text", "same_data": "siblings on the same text"}
_POSSIBILITIES: Final[dict[Possibility, str]] = {
    "questioned_from_reference": "The questioned model continues the reference",
    "reference_from_questioned": "The reference continues the questioned model",
    "siblings": "Two trainings of the ancestor, on other text",
    "siblings_same_text": "Two trainings of the ancestor, on the same text",
    "unpublished_parent": "Both continue an unpublished checkpoint",
    "wrong_ancestor": "Another revision of the ancestor",
    "merge_of_reference": "The questioned model is a merge with the reference",
    "merge_of_questioned": "The reference is a merge with the questioned model",
    "interpolation": "One lies between the ancestor and the other",
}
_STANDINGS: Final = {
    "open": "What stays open",
    "disfavoured": "What the figures speak against, without excluding it",
}
_PAIRINGS: Final = {"as_stored": "as stored", "reordered": "in another order of neurons", "rotated": "after a rotation"}
_ALTERNATIVES: Final[dict[Alternative, str]] = {
    "independent": "independent training",
    "common_ancestor": "a common ancestor",
    "shared_data": "the same data",
    "shared_teacher": "a common teacher",
    "reverse_direction": "the other direction",
    "same_seed": "a common start alone",
    "published_idea": "a published idea",
}
_UNFILTERED: Final = (
    "No filter was set: what models of one kind and size have in common anyway is in these counts. Name public "
    "ancestors (--ancestor) and filters (--filters)."
)
_OF_FILTRATION: Final = (
    "The counts are no probability and no share of copying.",
    "What no filter takes out may have an explanation that nobody named.",
    "Who set or contested a filter is what the files say; whoever reads decides which filters stand.",
)
_OF_DOCUMENTS: Final = (
    "The ranges are judgements of whoever stated them; nothing here says that they are right.",
    "No ratio takes an alternative off the list; those that a document makes equally true stay equal.",
    "Nothing is said of how probable any proposition was before.",
)


def print_ancestor(test: AncestorTest) -> None:
    """The ancestor test: reading, figures, ratios, and every possibility with its standing."""
    title = "Not comparable" if test.reading is None else _READINGS[test.reading]
    print_facts(title, {})
    print_lines(sentence(test.statement), "")
    for label, subject in (("Ancestor", test.ancestor), ("Questioned", test.questioned), ("Reference", test.reference)):
        _fact(label, _model(subject))
    figures = list(_ancestor_figures(test))
    if figures:
        print_lines("")
    for label, value in figures:
        _fact(label, value)
    _print_ancestor_ratios(test)
    for standing, heading in _STANDINGS.items():
        kept = [one for one in test.possibilities if one.standing == standing]
        if kept:
            print_lines("", heading)
            for one in kept:
                _item(_possibility(one))
    _print_limits(test.limits)


def print_filtration(found: Filtration) -> None:
    """The filtration: what is left per layer, what was taken out, why and by whom, and what of the rest agrees."""
    whole, *others = found.residues
    print_facts(_left(whole), {})
    if not found.filters:
        print_lines(_UNFILTERED)
    for label, subject in (("Questioned", found.questioned), ("Reference", found.reference)):
        if subject is not None:
            _fact(label, _model(subject))
    for place, subject in enumerate(found.ancestors):
        _fact("" if place else "Ancestors", _model(subject))
    print_lines("", "By all filters" if others else "By layer")
    _print_layers(whole)
    for residue in others:
        print_lines("", f"By uncontested filters alone: {_left(residue)}")
        _print_layers(residue)
    _print_filters(found)
    _print_contests(found)
    _print_rest(found)
    for one in found.prompts:
        _print_prompts(one, several=len(found.prompts) > 1)
    if len(found.model_dump_json(indent=2).encode()) > MAX_HEARD_BYTES:
        print_lines("", "The document is larger than what an opinion quotes of a filed one: record fewer elements.")
    _print_limits(_OF_FILTRATION)


def print_documents(weight: DocumentsWeight) -> None:
    """The documents' ratios against every alternative, and what would move the least favourable one."""
    least = weight.least_favourable
    print_facts(_weight_title(least), {})
    print_lines(_weight_statement(least), "")
    print_lines(f"{'log10 of the ratio against':<30}{'least':>8}{'central':>9}{'most':>8}")
    for ratio in weight.ratios:
        mark = "  least favourable" if ratio is least else ""
        print_lines(
            f"  {_ALTERNATIVES[ratio.against]:<28}{ratio.lower:>8.2f}{ratio.central:>9.2f}{ratio.upper:>8.2f}{mark}"
        )
    if not all(ratio.exact for ratio in weight.ratios):
        print_lines("Least and most come of a search among the ends of the ranges, where all of them are too many.")
    if least.tornado:
        print_lines("", f"What moves the ratio against {_ALTERNATIVES[least.against]}, others in the middle")
        for moved in least.tornado[:TORNADO_SHOWN]:
            print_lines(f"  {moved.parameter:<28}{moved.at_lower:>8.2f} to {moved.at_upper:.2f}")
        if len(least.tornado) > TORNADO_SHOWN:
            print_lines(f"  and {len(least.tornado) - TORNADO_SHOWN} more, which move it less (see --json)")
    exhibits = weight.exhibits
    print_lines("", "Exhibits")
    for one in exhibits.documents:
        _item(f"{one.code}, filed by {one.filed_by}: {one.says}")
    for alibi in exhibits.alibis:
        seen = alibi.attested
        by = f"as {alibi.filed_by} states" if seen is None else f"by entry {seen.index} of {seen.log}"
        _item(f"{alibi.code}, filed by {alibi.filed_by}: the questioned model existed by {alibi.existed_by}, {by}")
    if weight.remarks:
        print_lines("", "Remarks")
        for remark in weight.remarks:
            _item(sentence(remark))
    _print_limits(_OF_DOCUMENTS)


def _ancestor_figures(test: AncestorTest) -> Iterator[tuple[str, str]]:
    for label, figure in (("beta", test.beta), ("gamma", test.gamma), ("Cosine", test.cosine)):
        if figure is not None:
            yield label, _figure(figure)
    for label, bands in (("Ref. held", test.of_reference), ("Quest. held", test.of_questioned)):
        if bands is not None:
            yield label, _bands(bands)
    if test.lengths is not None:
        yield "Lengths", f"questioned {test.lengths[0]:.3f}, reference {test.lengths[1]:.3f} of the ancestor's"
    if test.pairing is not None:
        yield "Laid over", f"questioned {_PAIRINGS[test.pairing[0]]}; reference {_PAIRINGS[test.pairing[1]]}"


def _figure(figure: Figure) -> str:
    return f"{figure.value:.2f} [{figure.lower:.2f}, {figure.upper:.2f}]"


def _bands(bands: BandFigures) -> str:
    return f"{bands.major.value:.2f} in major directions, {bands.minor.value:.2f} in minor ones"


def _print_ancestor_ratios(test: AncestorTest) -> None:
    if not test.ratios:
        return
    print_lines("", "Ratio for the questioned model's continuing the reference, in log10")
    for ratio in test.ratios:
        print_lines(f"  {'against ' + _AGAINST[ratio.against]:<34}{_ancestor_ratio(ratio)}")
    print_lines(
        f"  Calibrated on {test.ratios[0].families[0]} families, population {short_digest(test.reference_population)}."
    )


def _ancestor_ratio(ratio: AncestorRatio) -> str:
    cap = min(ratio.caps.values())
    return (
        f"{ratio.log10_lr:>5.2f}  central {tenths(ratio.central)} [{tenths(ratio.lower)}, {tenths(ratio.upper)}], "
        f"cap {cap:.2f}"
    )


def _possibility(one: Kept) -> str:
    return f"{_POSSIBILITIES[one.possibility]}: {one.reason}"


def _left(residue: Residue) -> str:
    """What is left, and no more: a filter that nobody set may explain it."""
    compared, agreeing = (sum(getattr(one, name) for one in residue.layers) for name in ("compared", "agreeing"))
    if compared == 0:
        return "These filters leave nothing to compare"
    agree = "agrees" if agreeing == 1 else "agree"
    return f"Of what no filter takes out, {agreeing} of {compared} {agree}"


def _print_layers(residue: Residue) -> None:
    print_lines(f"  {'Layer':<16}{'elements':>10}{'filtered':>10}{'compared':>10}{'agreeing':>10}")
    for one in residue.layers:
        print_lines(f"  {one.layer:<16}{one.elements:>10}{one.filtered:>10}{one.compared:>10}{one.agreeing:>10}")


def _print_filters(found: Filtration) -> None:
    def why(one: Filter) -> tuple[str, ...]:
        return (one.layer, one.by, one.ground, one.reason, one.source)

    if found.filters:
        print_lines("", "Filtered")
    for key, some in groupby(sorted(found.filters, key=why), key=why):
        layer, by, ground, reason, source = key
        names = _listed([one.element for one in some])
        _item(f"{layer}, by {by}, {ground.replace('_', ' ')}: {reason} ({_short_source(source)}): {names}")


def _short_source(source: str) -> str:
    name, comma, digest = source.rpartition(", sha256:")
    return f"{name}, {short_digest('sha256:' + digest)}" if comma and len(digest) == 64 else source


def _print_contests(found: Filtration) -> None:
    element = {one.id: f"{one.layer}/{one.element}" for one in found.filters}
    by_reason: dict[tuple[str, str], list[str]] = {}
    for one in found.contests:
        by_reason.setdefault((one.by, one.reason), []).append(element[one.filter])
    for contest in found.model_contests:
        by_reason.setdefault((contest.by, contest.reason), []).append(contest.model)
    if by_reason:
        print_lines("", "Contested")
    for (by, reason), names in by_reason.items():
        _item(f"by {by}: {reason}: {_listed(names)}")


def _print_rest(found: Filtration) -> None:
    rest = [one for one in found.standings if one.standing != "filtered"]
    for heading, agrees in (("Left, and alike", True), ("Left, and not alike", False)):
        names = [
            f"{one.layer}/{one.element}" + (" (contested)" if one.standing == "contested" else "")
            for one in rest
            if one.agrees is agrees
        ]
        if names:
            print_lines("", heading)
            _item(_listed(names))


def _print_prompts(one: PromptFiltration, *, several: bool) -> None:
    heading = "Prompts" if not several else f"Prompts, by {'all' if one.filters == 'all' else 'uncontested'} filters"
    print_lines("", heading, one.statement)
    _fact("Data set", one.dataset)
    _fact("Prompts", f"{one.prompts} answered by both; {one.not_shown} not answered by enough others")
    _fact("Explained", _listed([f"{model} {count}" for model, count in one.explained.items()]))
    if one.rank is not None:
        _fact("Rank", f"{one.rank:.3f} of the panel, the questioned model counted in, agree at least as often")


def _weight_title(least: DocumentRatio) -> str:
    if abs(least.bounded) < LEAST_TOLD:
        return "Undecided"
    return "The documents speak for descent" if least.bounded > 0 else "The documents speak against descent"


def _weight_statement(least: DocumentRatio) -> str:
    """The least favourable ratio as a sentence on the documents, and never on the proposition."""
    against = _ALTERNATIVES[least.against]
    if abs(least.bounded) < LEAST_TOLD:
        are = "may be" if least.lower <= 0 <= least.upper else "are about"
        return (
            f"Over the stated ranges, the documents {are} as probable under {against} as if the questioned model "
            "descends from the reference."
        )
    times = f"at least {at_least(abs(least.bounded))} times as probable"
    if least.bounded > 0:
        return f"The documents are {times} if the questioned model descends from the reference as under {against}."
    return f"The documents are {times} under {against} as if the questioned model descends from the reference."


def _print_limits(limits: Iterable[str]) -> None:
    print_lines("", "What this does not show")
    for limit in limits:
        _item(limit)


def _model(subject: Subject) -> str:
    return f"{visible(subject.name, LONGEST_NAME)} ({short_digest(subject.digest)})"


def _listed(names: list[str]) -> str:
    more = [] if len(names) <= LISTED else [f"and {len(names) - LISTED} more (see --json)"]
    return ", ".join([*(visible(name, LONGEST_NAME) for name in names[:LISTED]), *more])


def _item(text: str) -> None:
    _print_wrapped(visible(text), first="- ", further="  ")


def _fact(label: str, value: str) -> None:
    _print_wrapped(visible(value), first=label.ljust(LABEL_WIDTH), further=" " * LABEL_WIDTH)


def _print_wrapped(text: str, *, first: str, further: str) -> None:
    print_lines(*textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=further))
