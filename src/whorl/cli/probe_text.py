"""What ``whorl probe`` says to people: the plan before anything is sent, the receipt after."""

from typing import TYPE_CHECKING

from whorl.cli.summary import print_facts, print_lines
from whorl.comparison.same_endpoint import CHOICES
from whorl.endpoints.capabilities import CALLS
from whorl.probes.battery import Family
from whorl.probes.planning import Amount, Plan
from whorl.probes.taking import Receipt

if TYPE_CHECKING:
    from whorl.comparison.battery_power import BatteryPower
    from whorl.statistics.detection_power import DetectionPower

_ENDINGS = {
    "complete": "Every question was asked",
    "budget": "Stopped by a limit",
    "interrupted": "Interrupted",
    "endpoint_lost": "The endpoint does not answer any more",
}


def plan_lines(plan: Plan) -> list[str]:
    """The plan in a few lines."""
    total = plan.total
    lines = [
        f"Battery {plan.battery}, seed {plan.seed}: {total.requests:,} requests, and {CALLS} to see what the endpoint "
        "does",
        f"Prompts: about {total.prompt_tokens:,} tokens, at most {total.prompt_tokens_at_most:,}; answers: at most "
        f"{total.completion_tokens_at_most:,}",
        f"Cost: {_cost(total)}",
    ]
    if plan.minutes is not None and plan.requests_per_minute is not None:
        lines.append(f"Time: {_minutes(plan.minutes)} at {plan.requests_per_minute:g} requests a minute")
    return lines


def print_plan(plan: Plan) -> None:
    """Print the plan, family by family, to standard output."""
    print_lines(*plan_lines(plan), "")
    width = max(len(part.family) for part in plan.families)
    print(f"{'family':<{width}}  requests  prompt tokens  answers at most  cost at most  expected power")
    for part in plan.families:
        amount = part.amount
        cost = "-" if amount.cost_at_most is None else f"{amount.cost_at_most:.4g}"
        print(
            f"{part.family:<{width}}  {amount.requests:>8,}  {amount.prompt_tokens:>13,}  "
            f"{amount.completion_tokens_at_most:>15,}  {cost:>12}  {part.power}"
        )
    print_lines("", f"Expected power: {plan.power}")
    for part in plan.families:
        print_lines("")
        print_facts(part.family, {"Shows": part.shows, "Cannot show": part.cannot_show})


def whole_power(found: "BatteryPower") -> str:
    """What the whole battery would show, in words."""
    return f"{_swap_power(found.swap)}; {_kin_power(found.kin)}"


def family_power(found: "BatteryPower", family: Family) -> str:
    """What one family would show on its own, in words."""
    if family == CHOICES:
        return f"{_swap_power(found.swap)}; {_kin_power(found.kin_by_family.get(family))}"
    if family in found.kin_by_family:
        return _kin_power(found.kin_by_family[family])
    return "says nothing of lineage"


def _swap_power(power: "DetectionPower | None") -> str:
    return f"swap for another line seen {_share(power)}" if power else "swap for another line not tried: no such models"


def _kin_power(power: "DetectionPower | None") -> str:
    return f"kin stands out {_share(power)}" if power else "kin not tried: too few documented relatives"


def _share(power: "DetectionPower") -> str:
    return f"{power.probability:.2f} ({power.lower:.2f} to {power.upper:.2f}, n = {power.models})"


def print_receipt(receipt: Receipt) -> None:
    """Print what a run left to standard output."""
    endpoint, taken = receipt.endpoint, receipt.taken
    cost = "" if taken.cost is None else f", cost {taken.cost:.4g}"
    facts = {
        "Endpoint": f"{endpoint.address}{f', model {endpoint.model}' if endpoint.model else ''}",
        "Battery": f"{receipt.battery}, seed {receipt.seed}",
        "Answered": f"{receipt.answered:,} of {receipt.questions:,} ({receipt.answered_now:,} by this run)",
        "Given up": f"{receipt.given_up:,}",
        "Taken": (
            f"{taken.requests:,} requests, {taken.prompt_tokens:,} prompt tokens, {taken.completion_tokens:,} tokens "
            f"of answers{cost}"
        ),
        "Transcript": receipt.file,
        "Digest": receipt.digest,
    }
    print_facts(_ENDINGS[receipt.ended], facts)
    if receipt.flags:
        print_lines("", "What is odd about the endpoint", *(f"- {flag}" for flag in receipt.flags))
    if receipt.answered < receipt.questions:
        print_lines("", "The same command asks what has no answer yet.")


def _cost(amount: Amount) -> str:
    if amount.cost_from is None or amount.cost_at_most is None:
        return "not known; give --price-in and --price-out"
    return f"{amount.cost_from:.4g} to {amount.cost_at_most:.4g}, in the currency of the prices"


def _minutes(minutes: float) -> str:
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
