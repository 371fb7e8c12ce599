"""From transcripts to four verdicts. Method page: ``docs/methods/behaviour.md``."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from whorl import __version__
from whorl.comparison.answer_population import AnswerPopulation
from whorl.comparison.answer_sources import dataset_name
from whorl.comparison.asked import LINEAGE_FAMILIES, Asked, labels_of, texts_of
from whorl.comparison.conduct import conduct_rows, profiles
from whorl.comparison.documented_lineage import CIRCUMSTANCES
from whorl.comparison.lineage_verdicts import (
    ScoredTogether,
    learned_verdict,
    line_verdict,
    scored_together,
    similarities,
    weights_verdict,
)
from whorl.comparison.same_endpoint import compare_endpoints
from whorl.comparison.shared_failures import shared_failures
from whorl.core.behaviour import LEVEL, UNKNOWN, Behaviour, BehaviourEvidence, Controls, Verdict, Verdicts
from whorl.core.errors import InputError
from whorl.core.progress import Progress, silent
from whorl.fingerprints.answer_table import AnswerTable
from whorl.probes.battery import Battery
from whorl.statistics.model_calibration import LEAST_CONTROLS

_NAMED = 5  # of many control models
Task: TypeAlias = Literal["compare", "identify", "check_api"]


def compare_behaviour(
    questioned: Asked,
    reference: Asked | None,
    battery: Battery,
    population: AnswerPopulation | None,
    *,
    task: Task = "compare",
    claimed: str | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Behaviour:
    """Every verdict on a questioned endpoint, with or without a reference.

    Parameters
    ----------
    reference : None to look for lines in the population only
    population : None where there is none: then nothing is calibrated, and only the endpoint verdict can be reached
    claimed : what the endpoint is said to serve
    seed : of permutations

    Raises
    ------
    InputError
        If the population holds no answers to this battery.
    """
    dataset = dataset_name(battery)
    table = None if population is None else population.table(dataset)
    if population is not None and table is None:
        raise InputError(
            f"the population has no answers to the battery {dataset}: its data sets are "
            f"{', '.join(one.dataset for one in population.tables[:5])}; "
            "probe its models with the same battery and seed"
        )
    scored = None
    labels: dict[str, dict[str, tuple[str, ...]]] = {}
    if population is not None and table is not None:
        labels = _control_labels(battery, table, population, (questioned, reference))
        scored = scored_together(questioned, reference, battery, table, population, progress)
    evidence: list[BehaviourEvidence] = []
    endpoint = Verdict(outcome="inconclusive", reason="No reference was given: nothing to compare this endpoint with.")
    if reference is not None:
        lines = {} if population is None else {model: population.lineage.line(model) for model in labels}
        found = compare_endpoints(questioned, reference, battery, labels, lines=lines, seed=seed)
        endpoint = found.verdict
        evidence += [*found.evidence, *shared_failures(questioned, reference, battery, labels)]
    weights = weights_verdict(scored)
    line = line_verdict(scored, reference)
    verdicts = Verdicts(
        **{
            "endpoint": endpoint,
            "line": line,
            "weights-related": weights,
            "learned-from": learned_verdict(scored, weights, reference),
        }
    )
    return Behaviour(
        whorl_version=__version__,
        task=task,
        questioned=questioned.about,
        reference=None if reference is None else reference.about,
        claimed=claimed,
        battery=f"{battery.name} {battery.digest}",
        population=None if population is None or scored is None else _controls(population, scored),
        statement=_statement(reference, verdicts, task),
        warnings=_warnings(questioned, reference, scored),
        verdicts=verdicts,
        evidence=tuple(evidence),
        similarities=similarities(scored),
        profiles=profiles(battery, [one for one in (questioned, reference) if one is not None]),
        conduct=conduct_rows(battery, [one for one in (questioned, reference) if one is not None]),
        limits=_limits(questioned, reference, scored),
        parameters={
            "seed": seed,
            "level": LEVEL,
            "least_controls": LEAST_CONTROLS,
            "families": ", ".join(LINEAGE_FAMILIES),
        },
    )


def _control_labels(
    battery: Battery, table: AnswerTable, population: AnswerPopulation, sides: Sequence[Asked | None]
) -> dict[str, dict[str, tuple[str, ...]]]:
    """Labels of the controls that are related to neither side as far as is documented."""
    left_out = {population.lineage.family(one.known_as) for one in sides if one is not None and one.known_as} - {None}
    names = {one.known_as for one in sides if one is not None}
    return {
        model: labels_of(battery, texts_of(table, place))
        for place, model in enumerate(table.models)
        if model not in names and population.lineage.family(model) not in left_out
    }


def _controls(population: AnswerPopulation, scored: ScoredTogether) -> Controls:
    return Controls(
        digest=population.digest,
        models=len(scored.controls),
        families=len({scored.family(place) for place in scored.controls}),
    )


def _statement(reference: Asked | None, verdicts: Verdicts, task: Task) -> str:
    if task == "identify" or reference is None:
        if verdicts.line.outcome == UNKNOWN:
            return "The endpoint belongs to none of the known lines, as far as its answers tell."
        if verdicts.line.outcome == "inconclusive":
            return f"Which line the endpoint belongs to cannot be told. {verdicts.line.reason}"
        return f"The endpoint's answers point to the line {verdicts.line.outcome}. That is a lead, not a finding."
    if task == "check_api":
        words = {
            "same": f"The endpoint answers as {reference.about.name} does",
            "changed": f"The endpoint does not answer as {reference.about.name} does",
            "inconclusive": f"Whether the endpoint serves {reference.about.name} cannot be told",
        }
        plain, named = "No difference was found", f"No difference from {reference.about.name} was found"
        if verdicts.endpoint.reason.startswith(plain):
            return named + verdicts.endpoint.reason.removeprefix(plain)
        return f"{words[verdicts.endpoint.outcome]}. {verdicts.endpoint.reason}"
    words = {
        "supported": "The two models' answers agree as those of models that share trained weights",
        "none_found": "Nothing in the answers points to shared weights",
        "inconclusive": "Whether the two share trained weights cannot be told from these answers",
    }
    return f"{words[verdicts.weights_related.outcome]}. {verdicts.weights_related.reason}"


def _warnings(questioned: Asked, reference: Asked | None, scored: ScoredTogether | None) -> tuple[str, ...]:
    """What changes how every verdict is to be read."""
    asked = [one for one in (questioned, reference) if one is not None]
    warnings = [
        f"{one.about.name}: {one.incomplete}. Only what is there was compared; continue it with `whorl probe`, or get "
        "the whole file."
        for one in asked
        if one.incomplete is not None
    ]
    itself = () if scored is None else scored.itself
    equal = [f"{one.control} ({one.equal} of {one.common})" for one in itself if one.to_the_letter]
    named = [f"{one.control} ({one.equal} of {one.common} answers equal)" for one in itself if not one.to_the_letter]
    only = "It counts as a known line, and as neither control nor possible teacher."
    if equal:
        warnings.append(
            f"{questioned.about.name}: in the population the same answers stand under the name {_few(equal)}: they are "
            f"this transcript, or the same model under another name. {only}"
        )
    if named:
        warnings.append(f"{questioned.about.name}: the population has a model of this name, {_few(named)}. {only}")
    return tuple(warnings)


def _few(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _limits(questioned: Asked, reference: Asked | None, scored: ScoredTogether | None) -> tuple[str, ...]:
    limits = [
        "Answers cannot show that a model is genuine: a copy that is served with other answers is not seen.",
        "Refusals, principles and safety failures are described here and support no statement about lineage: "
        "they follow regulation, system prompts and post-training.",
        "The controls speak for models like themselves: of their time, languages, sizes and makers.",
    ]
    for one in (questioned, reference):
        if one is not None and one.about.answered < one.about.asked:
            limits.append(f"{one.about.name}: {one.about.answered} of {one.about.asked} questions were answered.")
        if one is not None and one.about.flags:
            limits.append(f"{one.about.name}: the endpoint was odd: {'; '.join(one.about.flags)}.")
    if scored is not None and any(scored.pairs.families[place] is None for place in scored.controls):
        limits.append(
            "The descent of some control models is not documented; unknown relatives make it harder to stand out."
        )
    if scored is not None and scored.copies:
        limits.append(
            f"Left out of the controls, for they answer as the reference does, letter by letter: {_few(scored.copies)}."
        )
    unmatched = [kind for kind in CIRCUMSTANCES if scored is not None and not scored.matches(kind)]
    if unmatched:
        limits.append(
            f"Controls were not matched by {', '.join(unmatched)}: the lineage file does not say it of these models."
        )
    return tuple(limits)
