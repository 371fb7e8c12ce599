"""What an opinion says in words: fixed sentences, so that whoever composes it again gets the same."""

from collections.abc import Mapping, Sequence
from typing import Final

from whorl.dossiers.events import Alternative, Verdict
from whorl.dossiers.opinion import AnswerFinding, Headline, Weighed

_ENDING: Final = " This does not state how anybody obtained anything, nor how probable any proposition is."
_SPOKEN: Final[Mapping[Alternative, str]] = {
    "independent": "independent training",
    "common_ancestor": "a common ancestor",
    "shared_data": "training on the same data",
    "shared_teacher": "a common teacher",
    "reverse_direction": "descent in the other direction",
    "same_seed": "a common start alone",
    "published_idea": "a published idea",
}


def statement_of(
    verdict: Verdict,
    headline: Headline | None,
    shared: Headline | None,
    tested: Sequence[Weighed],
    answers: Sequence[AnswerFinding],
) -> str:
    """The opinion in one paragraph: what the ratios say, then what the answers show."""
    ending = "".join(map(_of_answers, answers)) + _ENDING
    match verdict:
        case "void":
            return "The run is void: a control did not come out as it must, and no ratio of it counts." + ending
        case "not_answerable":
            return "No alternative could be weighed: there is no ratio to report." + ending
        case "inconclusive":
            if headline is None:
                return "No ratio bears on the claim, and what was found does not decide it." + ending
            return (
                "The findings do not tell the claim from the alternative that explains them best, "
                f"{_SPOKEN[headline.against]}. That is no finding of independence." + ending
            )
        case "supports_alternative":
            assert headline is not None
            return (
                f"The findings are at least about {_times(-headline.log10_lr)} times more probable under "
                f"{_SPOKEN[headline.against]} than under the claim. A descendant that was changed in ways which no "
                "family of the population shows could look alike." + ending
            )
        case "supports_claim":
            assert headline is not None
            return (
                f"The findings are at least about {_times(headline.log10_lr)} times more probable under the claim than "
                f"under the least favourable alternative that was tested, {_SPOKEN[headline.against]}."
                + _untold(tested)
                + ending
            )
        case "supports_shared_weights":
            assert headline is not None
            assert shared is not None
            return (
                f"The findings are at least about {_times(shared.log10_lr)} times more probable if trained weights are "
                f"shared than under the least favourable alternative without, {_SPOKEN[shared.against]}. They do not "
                "tell descent of the questioned model from a common ancestor, nor from descent in the other direction."
                + _untold(tested)
                + ending
            )


def _untold(tested: Sequence[Weighed]) -> str:
    told = {one.alternative for one in tested}
    open_ones = [name for name in _SPOKEN if name not in told]
    if not open_ones:
        return ""
    return " Not tested, and so not excluded: " + ", ".join(_SPOKEN[name] for name in open_ones) + "."


def _times(log10: float) -> str:
    """Two digits, towards 1: a bound is not rounded up."""
    value = 10.0**log10
    scale = 10 if value < 10 else 1
    return f"{int(value * scale) / scale:g}" if value < 1000 else f"10^{int(log10 * 10) / 10:g}"


def _of_answers(one: AnswerFinding) -> str:
    rank = "" if one.p is None else f" (rank p = {one.p:.2g} among {one.controls} control models)"
    early = " The answers were recorded before the protocol was fixed." if one.recorded_early else ""
    match one.relation:
        case "supported":
            said = (
                f" By their answers the two agree as models do that share trained weights{rank}. That is seen in "
                "answers alone and does not tell which came first."
            )
        case "not_independent":
            said = (
                f" By their answers the two stand nearer than control models of other lines do{rank}. That speaks "
                "against independence and does not tell what it comes from: shared weights, learning from the other's "
                "answers, a common teacher and the same public data would look alike."
            )
        case "none_found":
            power = (
                ""
                if one.power is None
                else (
                    f"; shared weights would have been seen with probability {one.power:.2f} if answers are not altered"
                )
            )
            said = (
                f" By their answers nothing stands out{rank}{power}. A teacher whose manner was not taken over is not "
                "seen, nor is a model whose answers are altered on their way."
            )
        case "inconclusive":
            said = f" Their answers do not decide{rank}."
    odd = (
        ""
        if not one.oddities
        else (f" The questioned endpoint was odd in {one.oddities} ways, which the finding lists.")
    )
    return said + odd + early
