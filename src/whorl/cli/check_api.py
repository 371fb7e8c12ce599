"""``whorl check-api``: does this endpoint serve the model it claims to serve?"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whorl.cli.behaviour import (
    POPULATION,
    TRANSCRIPT,
    is_transcript_file,
    require_behaviour_page,
    require_same_questions,
    show,
)
from whorl.cli.exits import Exit
from whorl.cli.files import require_input, require_output
from whorl.cli.options import ApiName, AsJson, Concurrency, Keyring, KeyVariable, MaxRequests, ModelName, Quiet, Timeout
from whorl.cli.progress import shown_progress
from whorl.core.errors import InputError

if TYPE_CHECKING:
    from whorl.comparison.answer_population import AnswerPopulation
    from whorl.comparison.asked import Asked
    from whorl.probes.battery import Battery


def check_api(
    endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT", help="URL of a server, or a transcript of one.")],
    claims: Annotated[str, typer.Option("--claims", metavar="MODEL", help="The model it is said to serve.")],
    reference: Annotated[
        Path | None,
        typer.Option("--reference", metavar="TRANSCRIPT", help="Answers of the genuine model; else from --population."),
    ] = None,
    population: Annotated[
        Path | None,
        typer.Option("--population", "-P", metavar="FILE", help="Models it could have been swapped for."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="TRANSCRIPT", help="Keep the answers here; what is there is continued."),
    ] = None,
    model: ModelName = None,
    api: ApiName = "openai",
    key_env: KeyVariable = None,
    keyring: Keyring = None,
    concurrency: Concurrency = 8,
    max_requests: MaxRequests = None,
    timeout: Timeout = 120.0,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Also write the report as one self-contained page.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> Exit:
    """Check whether an endpoint answers as the model that it claims to serve.

    It is asked what the genuine model was asked, and the answers are compared question by question. "No difference
    found" comes with the probability that a swap to a model of another line would have been seen. Exit status 3 means
    that nothing can be said.
    """
    for path, expected in ((reference, TRANSCRIPT), (population, POPULATION)):
        if path is not None:
            require_input(path, expected=expected)
    inputs = tuple(path for path in (reference, population) if path is not None)
    stored = "://" not in endpoint and is_transcript_file(Path(endpoint))
    if output is not None:
        if stored:
            raise InputError(f"-o {output}: {endpoint} is a transcript already, nothing is asked; leave -o out")
        require_output(output, inputs=inputs, replace=True)
    # Paid answers are no output to be replaced by a page.
    require_behaviour_page(html, inputs=inputs if output is None else (*inputs, output))

    from whorl.cli.asking import key_of, plan_and_take
    from whorl.comparison.answer_population import read_population
    from whorl.comparison.asked import from_transcript
    from whorl.comparison.behaviour import compare_behaviour
    from whorl.probes.transcript_reading import read_transcript

    controls = None if population is None else read_population(population)
    battery, genuine = _genuine(claims, reference, controls)
    with tempfile.TemporaryDirectory() as folder, shown_progress(quiet=quiet) as progress:
        if stored:
            asked = Path(endpoint)
        else:
            asked = output if output is not None else Path(folder) / "answers.jsonl"
            receipt = plan_and_take(
                endpoint,
                battery,
                asked,
                model=model,
                api=api,
                key=key_of(key_env, keyring),
                concurrency=concurrency,
                max_requests=max_requests,
                timeout=timeout,
                quiet=quiet,
                progress=progress,
            )
            if receipt.answered == 0:
                raise InputError(
                    f"the endpoint gave no answer, at the end with: {receipt.last_error}; nothing can be checked"
                )
        transcript = read_transcript(asked)
        # An address without its query, in which a key may stand.
        name = endpoint if stored else transcript.header.endpoint.address or endpoint.split("?")[0]
        require_same_questions(name, transcript.header.battery, claims, battery)
        found = compare_behaviour(
            from_transcript(transcript, name=name),
            genuine,
            battery,
            controls,
            task="check_api",
            claimed=claims,
            progress=progress,
        )
    return show(found, html=html, as_json=as_json)


def _genuine(claims: str, reference: Path | None, population: "AnswerPopulation | None") -> "tuple[Battery, Asked]":
    from whorl.comparison.answer_sources import dataset_name
    from whorl.comparison.asked import from_population, from_transcript
    from whorl.probes.transcript_reading import read_transcript

    if reference is not None:
        transcript = read_transcript(reference)
        return transcript.header.battery, from_transcript(transcript, name=claims, known_as=claims)
    if population is None:
        raise InputError(
            "expected answers of the genuine model: give --reference TRANSCRIPT, or --population FILE that holds it"
        )
    for battery in population.batteries:
        table = population.table(dataset_name(battery))
        if table is not None and claims in table.models:
            return battery, from_population(population, battery, table, claims)
    asked = [population.table(dataset_name(battery)) for battery in population.batteries]
    known = sorted({model for table in asked if table is not None for model in table.models})
    raise InputError(
        f"the population has no answers of {claims!r} to a battery; it has {', '.join(known[:10])}"
        f"{', ...' if len(known) > 10 else '' if known else 'no transcripts at all'}: probe the genuine model and give "
        "--reference, or build the population from transcripts"
    )
