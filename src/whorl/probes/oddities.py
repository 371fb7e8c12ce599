"""What is odd about an endpoint, seen from its replies alone: for people to judge, never evidence by itself.

Each flag is a fact with its count. None of them says why: a change of the served name may be a roll-out, a gateway or
a swap.
"""

from collections import Counter
from typing import Final

from whorl.endpoints.exchange import Reply
from whorl.probes.battery import Battery, Item
from whorl.probes.transcript import Answered

LEAST_ITEMS_FOR_CANNED: Final = 10
NAMES_SHOWN: Final = 4
LONGEST_NAME: Final = 80


class Oddities:
    """Counts over replies, one at a time, in any order.

    Parameters
    ----------
    asked_for : the model's name as it was asked for; empty where there is none
    """

    def __init__(self, battery: Battery, *, asked_for: str) -> None:
        self._items: dict[str, Item] = {item.id: item for item in battery.items}
        self._asked_for = asked_for
        self._replies = 0
        self._names: Counter[str | None] = Counter()
        self._fingerprints: Counter[str | None] = Counter()
        self._prompt_tokens: dict[str, int] = {}
        self._without_usage = 0
        self._differing_usage = 0
        self._impossible_usage = 0
        self._filtered = 0
        self._empty = 0
        self._only_reasoning = 0
        self._too_long = 0
        self._with_text: set[str] = set()
        self._texts: set[str] = set()

    def add(self, entry: Answered) -> None:
        """Count one reply."""
        reply = entry.reply
        self._replies += 1
        self._names[reply.served_model] += 1
        self._fingerprints[reply.system_fingerprint] += 1
        self._filtered += reply.finish == "filtered"
        if reply.text:
            self._with_text.add(entry.item)
            if len(self._texts) < 2:  # two are enough to know that not all are the same
                self._texts.add(reply.text)
        elif reply.finish != "filtered":
            self._empty += 1
            self._only_reasoning += bool(reply.reasoning)
        self._too_long += _is_too_long(reply, self._items[entry.item])
        self._add_usage(entry)

    def flags(self) -> tuple[str, ...]:
        """One sentence for each oddity; none where nothing is odd."""
        found = [*self._name_flags(), *self._usage_flags(), *self._answer_flags()]
        return tuple(found)

    def _add_usage(self, entry: Answered) -> None:
        usage = entry.reply.usage
        if usage is None or usage.prompt_tokens is None or usage.completion_tokens is None:
            self._without_usage += 1
            return
        first = self._prompt_tokens.setdefault(entry.item, usage.prompt_tokens)
        self._differing_usage += first != usage.prompt_tokens
        self._impossible_usage += usage.prompt_tokens == 0 or (usage.completion_tokens == 0 and entry.reply.text != "")

    def _name_flags(self) -> list[str]:
        found = []
        if len(self._names) > 1:
            found.append(f"{len(self._names)} names of the served model: {_counted(self._names)}")
        elif self._names and self._asked_for:
            (served,) = self._names
            if served is not None and served != self._asked_for:
                found.append(f"asked for {self._asked_for[:LONGEST_NAME]!r}, served {served[:LONGEST_NAME]!r}")
        if len(self._fingerprints) > 1:
            found.append(f"{len(self._fingerprints)} system fingerprints: {_counted(self._fingerprints)}")
        return found

    def _usage_flags(self) -> list[str]:
        found = []
        if self._without_usage:
            found.append(f"token counts are missing from {self._of(self._without_usage)}")
        if self._differing_usage:
            found.append(f"the same question had another prompt token count in {self._of(self._differing_usage)}")
        if self._impossible_usage:
            found.append(f"token counts are 0 where there was text in {self._of(self._impossible_usage)}")
        return found

    def _answer_flags(self) -> list[str]:
        found = []
        if self._too_long:
            found.append(f"max_tokens was not kept to in {self._of(self._too_long)}")
        if self._filtered:
            found.append(f"a filter ended {self._of(self._filtered)}")
        if self._empty:
            only = f", {self._only_reasoning} of them with reasoning only" if self._only_reasoning else ""
            found.append(f"no text in {self._of(self._empty)}{only}")
        if len(self._with_text) >= LEAST_ITEMS_FOR_CANNED and len(self._texts) == 1:
            found.append(f"the same text for all {len(self._with_text)} items that have a text")
        return found

    def _of(self, count: int) -> str:
        return f"{count} of {self._replies} answers ({count / self._replies:.1%})"


def _is_too_long(reply: Reply, item: Item) -> bool:
    """By the reported count, or by words where it hides the excess: hardly a tokenizer has tokens of several words."""
    reported = reply.usage.completion_tokens if reply.usage is not None else None
    return (reported is not None and reported > item.max_tokens) or len(reply.text.split()) > item.max_tokens


def _counted(names: Counter[str | None]) -> str:
    commonest = sorted(names.items(), key=lambda named: (-named[1], named[0] or ""))
    shown = [
        f"{'none' if name is None else repr(name[:LONGEST_NAME])} ({count})" for name, count in commonest[:NAMES_SHOWN]
    ]
    more = len(names) - len(shown)
    return ", ".join([*shown, f"and {more} more"] if more > 0 else shown)
