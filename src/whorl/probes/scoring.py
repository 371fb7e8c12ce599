"""The scorers that exist, what each may get wrong, and how a reply is scored.

A scorer reads the reply of one item and nothing else: not the model's name, not other replies. Its error was measured
where labelled answers exist (`docs/methods/probes.md`) and is said to be unmeasured where they do not.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from whorl.core.errors import InputError
from whorl.endpoints.exchange import Finish, Reply
from whorl.probes.battery import Item
from whorl.probes.choice_scorers import first_token, letter, named_option, one_word, short_answer
from whorl.probes.conduct_scorers import attack, guardrail, revision
from whorl.probes.context_scorers import canaries, needle, prompt_tokens, verbatim_prefix, which_fact
from whorl.probes.scored import FILTERED, Scored, Scorer
from whorl.probes.style_features import style

COUNTS: Final = "prompt_tokens/1"
"""The scorer that reads what an endpoint reports, and no text."""

SCORERS: Final[Mapping[str, Scorer]] = MappingProxyType(
    {
        "letter/1": letter,
        "named_option/1": named_option,
        "one_word/1": one_word,
        "short_answer/1": short_answer,
        "first_token/1": first_token,
        "canaries/1": canaries,
        "needle/1": needle,
        "which_fact/1": which_fact,
        "verbatim_prefix/1": verbatim_prefix,
        COUNTS: prompt_tokens,
        "guardrail/1": guardrail,
        "revision/1": revision,
        "attack/1": attack,
        "style/1": style,
    }
)
"""Scorer by name/version. A change that can change a label is a new version."""

ERRORS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "letter/1": "on 8,330 real answers to ten-option questions it named another letter than the benchmark's reader "
        "for 0.5 % and none for 0.6 %; for one of 15 models another letter for 4 %",
        "named_option/1": "reads letters as letter/1 does; not measured on labelled answers of its own",
        "one_word/1": "not measured; an answer of more than four words counts as none",
        "short_answer/1": "not measured; spelling variants of one answer count as different ones",
        "first_token/1": "none beyond the transcript: the text is taken as it came",
        "canaries/1": "not measured; a code with one wrong letter counts as not found",
        "needle/1": "not measured; a code with one wrong letter counts as not found",
        "which_fact/1": "not measured; a code with one wrong letter counts as not found",
        "verbatim_prefix/1": "not measured; an answer that starts with other words than the text is left out",
        COUNTS: "none beyond what the endpoint reports",
        "guardrail/1": "agrees with people in 91 to 96 % of answers of models that it was not written on; blind to a "
        "refusal in the form of a statement of policy, so it misses some models' refusals altogether",
        "revision/1": "not measured; an answer that does not begin with yes or no is left out",
        "attack/1": "not measured; a word that is only described or hinted at counts as kept",
        "style/1": "none as a count; its classes are cuts in a continuum",
    }
)
"""What each scorer may get wrong, in a line; the figures and how they were measured: `docs/methods/probes.md`."""


def score(item: Item, reply_text: str, finish: Finish) -> Scored:
    """The label, and the value where there is one, of one reply's text.

    A reply that a content filter withheld is "(filtered)" whatever the scorer: that is the provider's doing.

    Raises
    ------
    InputError
        If the item names a scorer that this release does not know, or its key lacks what the scorer needs.
    """
    scorer = SCORERS.get(item.scorer)
    if scorer is None:
        known = ", ".join(SCORERS)
        raise InputError(f"item {item.id} names the scorer {item.scorer!r}; this release knows {known}")
    if finish == "filtered":
        return Scored(label=FILTERED, value=None)
    return scorer(item, reply_text, finish)


def score_reply(item: Item, reply: Reply) -> Scored:
    """The score of a whole reply: as `score`, and from the reported usage for items about token counts."""
    if item.scorer == COUNTS and reply.usage is not None and reply.usage.prompt_tokens is not None:
        return Scored(label=str(reply.usage.prompt_tokens), value=float(reply.usage.prompt_tokens))
    return score(item, reply.text, reply.finish)
