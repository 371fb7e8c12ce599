"""Where answers come from: tables in the long layout, and transcripts of endpoints."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from whorl.core.errors import InputError
from whorl.fingerprints.answer_table import Answer, AnswerTable, answer_tables, read_answers
from whorl.probes.battery import Battery
from whorl.probes.transcript import Transcript
from whorl.probes.transcript_reading import is_transcript, read_transcript


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Answers of several files, and the batteries that were asked to get them."""

    tables: tuple[AnswerTable, ...]
    batteries: tuple[Battery, ...]


def read_sources(paths: Iterable[Path]) -> Sources:
    """All answers of several files, one table per data set.

    A transcript's data set is its battery; its model is the name of its file without the ending.

    Raises
    ------
    InputError
        If a file cannot be read, or two transcripts have one name.
    """
    batteries: dict[str, Battery] = {}
    named: dict[tuple[str, str], Path] = {}

    def answers() -> Iterator[Answer]:
        for path in paths:
            if not is_transcript(path):
                yield from read_answers(path)
                continue
            transcript = read_transcript(path)
            battery = transcript.header.battery
            dataset = dataset_name(battery)
            batteries[dataset] = battery
            if (dataset, path.stem) in named:
                raise InputError(
                    f"{path}: {named[dataset, path.stem]} is a transcript of the same battery and the same name; "
                    "a model goes by the name of its transcript: rename one"
                )
            named[dataset, path.stem] = path
            yield from answers_of(transcript, model=path.stem)

    tables = answer_tables(answers())
    return Sources(tables=tables, batteries=tuple(batteries.values()))


def answers_of(transcript: Transcript, *, model: str) -> Iterator[Answer]:
    """A transcript's answers as rows of a table, the draws of an item in their order."""
    dataset = dataset_name(transcript.header.battery)
    for (item, _), reply in sorted(transcript.answered.items()):
        yield Answer(dataset=dataset, model=model, prompt_id=item, response=reply.text)


def dataset_name(battery: Battery) -> str:
    """Name of the data set that a battery's answers are: two are one only if every item is the same."""
    return f"{battery.name}@{battery.digest[7:23]}"
