"""``whorl probe``: ask an endpoint a battery of questions, and keep everything it answers in one file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whorl.cli.asking import key_of, plan_and_take, require_finite
from whorl.cli.behaviour import POPULATION
from whorl.cli.exits import Exit
from whorl.cli.files import print_json, require_input, require_output
from whorl.cli.options import ApiName, AsJson, Concurrency, Keyring, KeyVariable, MaxRequests, ModelName, Quiet, Timeout
from whorl.cli.progress import shown_progress
from whorl.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from whorl.probes.battery import Battery, Family
    from whorl.probes.planning import Prices
    from whorl.probes.taking import Receipt


def probe(
    endpoint: Annotated[
        str | None,
        typer.Argument(
            metavar="ENDPOINT", help="URL of a server, a checkpoint folder, or a transcript to take answers from."
        ),
    ] = None,
    battery: Annotated[
        str, typer.Option("--battery", metavar="NAME", help="What is asked: quick, standard, or one family by name.")
    ] = "standard",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="TRANSCRIPT", help="Where the answers go; what is there is continued."),
    ] = None,
    model: ModelName = None,
    api: ApiName = "openai",
    key_env: KeyVariable = None,
    keyring: Keyring = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the battery and of the order of questions.")] = 0,
    concurrency: Concurrency = 8,
    requests_per_minute: Annotated[
        float | None, typer.Option("--requests-per-minute", min=0.01, help="A rate that is not exceeded.")
    ] = None,
    max_requests: MaxRequests = None,
    max_tokens_total: Annotated[
        int | None, typer.Option("--max-tokens-total", min=0, help="Stop before more tokens, prompts included.")
    ] = None,
    max_cost: Annotated[
        float | None, typer.Option("--max-cost", min=0, help="Stop before a higher cost; needs both prices.")
    ] = None,
    price_in: Annotated[
        float | None, typer.Option("--price-in", min=0, help="Price of a million prompt tokens, in any currency.")
    ] = None,
    price_out: Annotated[
        float | None, typer.Option("--price-out", min=0, help="Price of a million tokens of answers.")
    ] = None,
    timeout: Timeout = 120.0,
    plan_only: Annotated[
        bool, typer.Option("--plan", help="Print what it would take and send nothing; ENDPOINT and -o may be left out.")
    ] = False,
    population: Annotated[
        Path | None,
        typer.Option(
            "--population",
            "-P",
            metavar="FILE",
            help="With --plan: control models to try the battery on.",
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Exit:
    """Ask a model behind an API a battery of questions, and keep everything it answers in one file.

    The plan is printed before anything is sent. Every answer is in TRANSCRIPT as soon as it came; after an
    interruption, the same command goes on and asks only what has no answer. The limits hold for one run. Exit status 3
    means that a limit ended the run before the last question.
    """
    prices = _prices(price_in, price_out, max_cost)

    from whorl.probes.families import battery as made_battery

    asked = made_battery(battery, seed)
    if plan_only:
        from whorl.cli.probe_text import print_plan
        from whorl.probes.planning import plan

        require_finite(requests_per_minute)
        power, by_family = _power(asked, population, seed, quiet=quiet)
        planned = plan(
            asked,
            prices=prices,
            requests_per_minute=requests_per_minute,
            power=power,
            power_by_family=by_family,
        )
        print_json(planned.model_dump_json(indent=2)) if as_json else print_plan(planned)
        return Exit.DONE
    if population is not None:
        raise InputError("--population: expected with --plan only; comparing takes it again when the answers are there")
    if endpoint is None or output is None:
        raise InputError("expected ENDPOINT and -o TRANSCRIPT; without them, --plan says what a battery takes")
    require_output(output, inputs=(Path(endpoint),) if "://" not in endpoint else (), replace=True)
    with shown_progress(quiet=quiet) as progress:
        receipt = plan_and_take(
            endpoint,
            asked,
            output,
            model=model,
            api=api,
            key=key_of(key_env, keyring),
            concurrency=concurrency,
            timeout=timeout,
            quiet=quiet,
            progress=progress,
            requests_per_minute=requests_per_minute,
            max_requests=max_requests,
            max_tokens=max_tokens_total,
            max_cost=max_cost,
            prices=prices,
        )
    if as_json:
        print_json(receipt.model_dump_json(indent=2))
    else:
        from whorl.cli.probe_text import print_receipt

        print_receipt(receipt)
    return _exit_status(receipt)


def _power(asked: "Battery", population: Path | None, seed: int, *, quiet: bool) -> tuple[str, "Mapping[Family, str]"]:
    if population is None:
        return "not tried; give --population FILE with control models that answered this battery", {}
    require_input(population, expected=POPULATION)

    from whorl.cli.probe_text import family_power, whole_power
    from whorl.comparison.answer_population import read_population
    from whorl.comparison.battery_power import battery_power

    with shown_progress(quiet=quiet) as progress:
        found = battery_power(asked, read_population(population), seed=seed, progress=progress)
    families = dict.fromkeys(item.family for item in asked.items)
    return whole_power(found), {family: family_power(found, family) for family in families}


def _prices(price_in: float | None, price_out: float | None, max_cost: float | None) -> "Prices | None":
    require_finite(price_in, price_out, max_cost)
    if price_in is None or price_out is None:
        if not price_in is price_out is max_cost is None:
            raise InputError("expected --price-in and --price-out together, and both beside --max-cost; give both")
        return None

    from whorl.probes.planning import Prices

    return Prices(input=price_in, output=price_out)


def _exit_status(receipt: "Receipt") -> Exit:
    if receipt.ended == "budget":
        return Exit.INCONCLUSIVE
    if receipt.ended == "endpoint_lost" or receipt.answered == 0:
        raise InputError(
            f"the endpoint gave {receipt.answered_now} answers and failed {receipt.given_up_now} questions, at the end "
            f"with: {receipt.last_error}. What came is kept; the same command goes on from there"
        )
    return Exit.DONE
