"""The families of probes: what each is for, what it can and cannot show, what it costs, how it is read; and batteries.

The strength of a family as evidence is the statistics' business and needs control models; this table says what the
questions are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from whorl.core.errors import InputError
from whorl.probes import (
    bias_pairs,
    border_inputs,
    constitution,
    context_window,
    failure_transfer,
    guardrails,
    low_entropy,
    style,
    tokenizer,
    wrong_answers,
)
from whorl.probes.battery import Battery, Family, Item
from whorl.probes.generating import Size
from whorl.probes.scoring import ERRORS
from whorl.probes.wrappers import WRAPPERS

__all__ = ["BATTERIES", "FAMILIES", "WRAPPERS", "ProbeFamily", "battery"]

LARGEST_SEED: Final = 2**53 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeFamily:
    """One family of probes, for a generator and for a plan that is printed."""

    name: Family
    generate: Callable[[int, Size], tuple[Item, ...]]
    purpose: str
    shows: str
    cannot_show: str
    cost: str
    scorers: tuple[str, ...]
    confounders: tuple[str, ...]

    @property
    def errors(self) -> tuple[str, ...]:
        """What its scorers may get wrong, one line for each."""
        return tuple(f"{scorer}: {ERRORS[scorer]}" for scorer in self.scorers)


_TABLE: Final = (
    ProbeFamily(
        name="tokenizer",
        generate=tokenizer.items,
        purpose="which tokenizer the endpoint uses, and how long a hidden prompt is",
        shows="two endpoints with different tokenizers are different endpoints; a claimed tokenizer that does not fit",
        cannot_show="descent: tokenizers are public and are shared by unrelated models",
        cost="very short answers; needs a reported usage for the counts, none for the cuts",
        scorers=("prompt_tokens/1", "verbatim_prefix/1"),
        confounders=(
            "a gateway that counts for itself",
            "cached tokens left out of the count",
            "a model that cannot repeat",
        ),
    ),
    ProbeFamily(
        name="wrong_answers",
        generate=wrong_answers.items,
        purpose="which wrong option is chosen, and what is said about things that do not exist",
        shows="shared errors beyond what the questions invite every model to: the strongest text channel",
        cannot_show="anything from raw agreement: it needs the answers of many unrelated models to the same items",
        cost="one short answer per item; most evidence comes from items that are got wrong",
        scorers=("letter/1", "short_answer/1"),
        confounders=(
            "equal ability",
            "the same public training data",
            "hidden reasoning, which the limit of 16 tokens cuts",
        ),
    ),
    ProbeFamily(
        name="low_entropy",
        generate=low_entropy.items,
        purpose="what is chosen when anything may be chosen, at temperature 1",
        shows="whether two endpoints draw from one distribution, cell by cell",
        cannot_show="descent by itself: a system prompt, the sampler and quantisation move it",
        cost="ten draws of a one-word answer per cell",
        scorers=("one_word/1",),
        confounders=(
            "top-p, top-k and penalties set by the server",
            "caching of answers",
            "a temperature that is ignored",
        ),
    ),
    ProbeFamily(
        name="border_inputs",
        generate=border_inputs.items,
        purpose="first tokens on the edge between two, at temperature 0",
        shows="small changes of one endpoint over time, from its own earlier splits",
        cannot_show="anything about descent: other hardware, batching or precision moves the same splits",
        cost="four one-token answers per input; most inputs turn out not to be on an edge",
        scorers=("first_token/1",),
        confounders=(
            "batching and hardware",
            "several back ends behind one name",
            "reasoning endpoints, which show no first token",
        ),
    ),
    ProbeFamily(
        name="guardrails",
        generate=guardrails.items,
        purpose="comply, partial, deflect, refuse or ask back, on graded and contrasting requests",
        shows="a description of conduct; a claimed model whose known conduct is absent",
        cannot_show="descent: conduct follows regulation, system prompts and post-training more than weights",
        cost="one answer of up to 120 tokens per item",
        scorers=("guardrail/1",),
        confounders=(
            "the system prompt",
            "a provider's filter",
            "shared regulation",
            "scorer error, which differs between models",
        ),
    ),
    ProbeFamily(
        name="constitution",
        generate=constitution.items,
        purpose="which of two principles wins, and whether a questioned answer is held",
        shows="a profile of preferences and of yielding, net of a preference for the first option",
        cannot_show="descent by itself: the same written principles are trained into unrelated models",
        cost="one letter per trade-off, asked twice; up to 80 tokens per questioned answer",
        scorers=("named_option/1", "revision/1"),
        confounders=("preference for a place", "the system prompt", "ability, for questioned answers"),
    ),
    ProbeFamily(
        name="failure_transfer",
        generate=failure_transfer.items,
        purpose="which public kinds of attack succeed on targets that are harmless to print, against placebos",
        shows="shared weaknesses beyond those that control models share",
        cannot_show="descent by itself: weaknesses to public attacks are common, and are trained away in versions",
        cost="one answer of up to 100 tokens per attack and per placebo",
        scorers=("attack/1",),
        confounders=("endpoints without a system prompt", "ability to encode or spell", "a provider's filter"),
    ),
    ProbeFamily(
        name="bias_pairs",
        generate=bias_pairs.items,
        purpose="which of two people who differ in one everyday attribute is preferred",
        shows="habits of preference, net of a preference for the first option",
        cannot_show="descent by itself, nor anything about people: the attributes are invented or trivial",
        cost="one letter per pair, asked in both orders",
        scorers=("named_option/1",),
        confounders=("preference for a place", "refusal to choose", "the system prompt"),
    ),
    ProbeFamily(
        name="style",
        generate=style.items,
        purpose="how open questions on quiet topics are answered: length, layout, openers, function words",
        shows="closeness of manner, which follows a teacher's version closely",
        cannot_show="descent by itself: public instruction sets, an era's taste and a system prompt carry it too",
        cost="one answer of up to 200 tokens per question",
        scorers=("style/1",),
        confounders=("the system prompt", "the same public instruction data", "the token limit, for lengths"),
    ),
    ProbeFamily(
        name="context_window",
        generate=context_window.items,
        purpose="what is cut from long texts, where facts are found in them, which of two contradicting ones wins",
        shows="truncation policy and effective length of an endpoint: two endpoints that differ here differ",
        cannot_show="lineage, ever: a property of gateway and serving stack first, and of shared recipes second",
        cost="long questions, short answers: most of a battery's input tokens",
        scorers=("canaries/1", "needle/1", "which_fact/1"),
        confounders=("the serving stack", "a retrieval step in front of the model", "ability to copy codes"),
    ),
)

FAMILIES: Final[Mapping[Family, ProbeFamily]] = MappingProxyType({family.name: family for family in _TABLE})
"""Every family, in the order in which a battery asks them: cheap and strong first, long texts last."""

BATTERIES: Final = ("quick", "standard", *FAMILIES)
"""Names that `battery` takes: about 300 requests, about 2,500, and each family alone with more items of its own."""


def battery(name: str, seed: int) -> Battery:
    """The battery of a name and a seed; the same two give the same items, and the same digest, everywhere.

    Items are named and drawn by family, stratum and number only: those of "quick" are among those of "standard", and
    a family's in "standard" among those of its own battery.

    Raises
    ------
    InputError
        If no battery has the name, or the seed is not a whole number of 0 .. 2**53 - 1.
    """
    if name not in BATTERIES:
        raise InputError(f"no battery is called {name!r}; there are {', '.join(BATTERIES)}")
    if not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"a battery's seed is a whole number from 0 to {LARGEST_SEED}, got {seed}")
    sizes: dict[str, Size] = {"quick": "quick", "standard": "standard"}
    size = sizes.get(name)
    asked = [family for family in _TABLE if size is not None or family.name == name]
    items = tuple(item for family in asked for item in family.generate(seed, size or "alone"))
    return Battery(name=name, seed=seed, items=items)
