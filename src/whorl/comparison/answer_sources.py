"""Where answers come from: tables in the long layout, and transcripts of endpoints."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from whorl.fingerprints.answer_table import Answer, AnswerTable, answer_tables, read_answers
from whorl.probes.transcript import Transcript
from whorl.probes.transcript_reading import is_transcript, read_transcript


def tables_of(paths: Iterable[Path]) -> tuple[AnswerTable, ...]:
    """All answers of several files, one table per data set.

    A transcript's data set is its battery; its model is the name of its endpoint's model, or of its file where it has
    none.

    Raises
    ------
    InputError
        If a file cannot be read.
    """

    def answers() -> Iterator[Answer]:
        for path in paths:
            if is_transcript(path):
                yield from answers_of(read_transcript(path), model=path.stem)
            else:
                yield from read_answers(path)

    return answer_tables(answers())


def answers_of(transcript: Transcript, *, model: str) -> Iterator[Answer]:
    """A transcript's answers as rows of a table, the draws of an item in their order."""
    for (item, _), reply in sorted(transcript.answered.items()):
        yield Answer(dataset=dataset_of(transcript), model=model, prompt_id=item, response=reply.text)


def dataset_of(transcript: Transcript) -> str:
    """Name of the data set: two batteries are one only if every item is the same."""
    return f"{transcript.header.battery.name}@{transcript.header.battery.digest[7:23]}"
