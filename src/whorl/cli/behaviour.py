"""What ``compare``, ``identify`` and ``check-api`` do with transcripts: read, compare, print."""

from pathlib import Path
from typing import TYPE_CHECKING

from whorl.cli.exits import Exit
from whorl.cli.files import is_whorl_page, print_json, require_input, require_output, write_whole
from whorl.cli.progress import shown_progress
from whorl.core.errors import InputError

if TYPE_CHECKING:
    from whorl.core.behaviour import Behaviour
    from whorl.probes.battery import Battery

TRANSCRIPT = "a transcript that `whorl probe` wrote"
POPULATION = "the population that `whorl population build` wrote"


def is_transcript_file(path: Path) -> bool:
    """Whether the path is a transcript, by its first bytes."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if file.read(1) != b"{":  # nothing is imported for a checkpoint
            return False

    from whorl.probes.transcript_reading import is_transcript

    return is_transcript(path)


def compare_transcripts(
    questioned: Path, reference: Path, population: Path | None, *, html: Path | None, as_json: bool, quiet: bool
) -> Exit:
    """Compare two endpoints by their transcripts."""
    from whorl.comparison.answer_population import read_population
    from whorl.comparison.asked import from_transcript
    from whorl.comparison.behaviour import compare_behaviour
    from whorl.probes.transcript_reading import read_transcript

    _require(html, population, inputs=(questioned, reference))
    first, second = read_transcript(questioned), read_transcript(reference)
    require_same_questions(questioned, first.header.battery, reference, second.header.battery)
    controls = None if population is None else read_population(population)
    alike = questioned.stem == reference.stem
    names = [str(path) if alike else path.stem for path in (questioned, reference)]
    with shown_progress(quiet=quiet) as progress:
        found = compare_behaviour(
            from_transcript(first, name=names[0], known_as=questioned.stem),
            from_transcript(second, name=names[1], known_as=reference.stem),
            first.header.battery,
            controls,
            progress=progress,
        )
    return show(found, html=html, as_json=as_json)


def identify_transcript(
    questioned: Path, population: Path | None, *, html: Path | None, as_json: bool, quiet: bool
) -> Exit:
    """Say which known line an endpoint's answers point to."""
    from whorl.comparison.answer_population import read_population
    from whorl.comparison.asked import from_transcript
    from whorl.comparison.behaviour import compare_behaviour
    from whorl.probes.transcript_reading import read_transcript

    if population is None:
        raise InputError(f"{questioned}: is a transcript; give --population FILE with the models it may be")
    _require(html, population, inputs=(questioned,))
    transcript = read_transcript(questioned)
    with shown_progress(quiet=quiet) as progress:
        found = compare_behaviour(
            from_transcript(transcript, name=questioned.stem),
            None,
            transcript.header.battery,
            read_population(population),
            task="identify",
            progress=progress,
        )
    return show(found, html=html, as_json=as_json)


def require_same_questions(one: object, asked: "Battery", other: object, also_asked: "Battery") -> None:
    """Raise `InputError` unless two sides answered the same battery."""
    if asked.digest != also_asked.digest:
        raise InputError(
            f"{one} and {other} are answers to different questions ({asked.name} {asked.digest[:23]}; "
            f"{also_asked.name} {also_asked.digest[:23]}); probe both with the same battery and seed"
        )


def _require(html: Path | None, population: Path | None, *, inputs: tuple[Path, ...]) -> None:
    if population is not None:
        require_input(population, expected=POPULATION)
        inputs = (*inputs, population)
    require_behaviour_page(html, inputs=inputs)


def require_behaviour_page(html: Path | None, *, inputs: tuple[Path, ...]) -> None:
    """Raise `InputError` unless the page can be made and written, before any work is done."""
    if html is None:
        return

    from whorl.comparison.report import require_template_engine

    require_template_engine()
    require_output(html, inputs=inputs, replace=html.is_file() and is_whorl_page(html))


def show(found: "Behaviour", *, html: Path | None, as_json: bool) -> Exit:
    """Print the document or its summary, and write the page."""
    if html is not None:
        from whorl.comparison.behaviour_report import render_behaviour

        write_whole(html, render_behaviour(found).encode())
    if as_json:
        print_json(found.model_dump_json(indent=2))
    else:
        from whorl.cli.behaviour_text import print_behaviour

        print_behaviour(found, page=html)
    return Exit(found.exit_code)
