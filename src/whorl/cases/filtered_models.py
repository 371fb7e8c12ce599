"""A filtration of two checkpoints, from what both sides state: taken apart, filtered by ancestors, and compared."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from whorl.cases.abstracting import TakenApart, elements_of, take_apart
from whorl.cases.alternative_files import FiltersFile
from whorl.cases.filtering import (
    Contest,
    Filter,
    Filtration,
    ModelContest,
    Name,
    explained_by_ancestor,
    filtration,
)
from whorl.cases.prompt_filtering import PromptFiltration, filtered_prompts
from whorl.comparison.answer_sources import read_sources
from whorl.core.errors import InputError
from whorl.core.progress import Progress
from whorl.dossiers.wording import wording_faults
from whorl.fingerprints.answer_table import AnswerTable
from whorl.fingerprints.extraction import single_threaded_blas


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Answers of all models to the same prompts.

    Parameters
    ----------
    files : tables of answers, or transcripts
    dataset : which data set; None where the files have one
    panel : names of models that neither side made
    called : ``MODEL=NAME`` where the answers have another name for a checkpoint than its folder
    """

    files: Sequence[Path]
    dataset: str | None
    panel: Sequence[str]
    called: Sequence[str]


def filtered_models(
    paths: Sequence[Path],
    stated: Sequence[FiltersFile],
    *,
    by: str,
    at: str,
    answers: Answers | None,
    progress: Progress,
) -> Filtration:
    """Take checkpoints apart and filter what ancestors, and what the sides state, explain.

    Parameters
    ----------
    paths : questioned model, reference, and ancestors
    stated : files of the sides
    by : role of who names ancestors and panel
    at : the time of that decision

    Raises
    ------
    InputError
        If a model or file cannot be used, an ancestor is one of the two models, or a contest is of nothing.
    """
    _require_role(by)
    with single_threaded_blas():
        parts = [take_apart(path, progress=progress) for path in paths]
    _require_different(parts)
    by_ancestor = [_explained(parts, ancestor, by=by, at=at) for ancestor in parts[2:]]
    model_contests = [one for file in stated for one in file.model_contests]
    prompts = () if answers is None else _prompts(parts, answers, model_contests)
    _require_known(model_contests, parts, answers, by=by)
    return filtration(
        [*elements_of(parts[0].anatomy, parts[1].anatomy), *(one for file in stated for one in file.elements)],
        [*(one for some in by_ancestor for one in some), *(one for file in stated for one in file.filters)],
        [
            *(one for file in stated for one in file.contests),
            *_spread(model_contests, zip(parts[2:], by_ancestor, strict=True)),
        ],
        models=[part.subject for part in parts],
        prompts=prompts,
        model_contests=model_contests,
        answers=[_file_digest(path) for path in answers.files] if answers else (),
    )


def _explained(parts: Sequence[TakenApart], ancestor: TakenApart, *, by: str, at: str) -> list[Filter]:
    questioned, reference = (part.anatomy for part in parts[:2])
    subject = ancestor.subject
    return explained_by_ancestor(
        elements_of(questioned, reference),
        elements_of(questioned, ancestor.anatomy),
        source=f"{subject.name}, {subject.digest}",
        at=at,
        by=by,
        prefix=f"ancestor-{subject.digest.rpartition(':')[2][:8]}",
    )


def _spread(
    model_contests: Iterable[ModelContest], explained: Iterable[tuple[TakenApart, Sequence[Filter]]]
) -> list[Contest]:
    """Contests of an ancestor as contests of every filter that it gave."""
    by_ancestor = list(explained)
    return [
        Contest(filter=one.id, by=contest.by, reason=contest.reason, at=contest.at)
        for contest in model_contests
        for ancestor, filters in by_ancestor
        if contest.model in (ancestor.subject.name, ancestor.subject.digest)
        for one in filters
    ]


def _require_role(by: str) -> None:
    try:
        TypeAdapter(Name).validate_python(by)
    except ValidationError:
        raise InputError(f"--by: expected a role such as analyst or respondent, found {by[:100]!r}") from None
    if faults := wording_faults(by.replace("_", " ")):
        raise InputError(f"--by: {faults[0]}")


def _require_different(parts: Sequence[TakenApart]) -> None:
    questioned, reference, *ancestors = (part.subject for part in parts)
    seen: set[str] = set()
    for one in ancestors:
        if one.digest in (questioned.digest, reference.digest):
            raise InputError(
                f"{one.name}: expected an ancestor of both models, found one of the two itself, which would filter out "
                "everything; whether it is the ancestor of the other is what is asked"
            )
        if one.digest in seen:
            raise InputError(f"{one.name}: expected every ancestor once, found it twice")
        seen.add(one.digest)


def _require_known(
    contests: Sequence[ModelContest], parts: Sequence[TakenApart], answers: Answers | None, *, by: str
) -> None:
    names = {name for part in parts[2:] for name in (part.subject.name, part.subject.digest)}
    names |= set(answers.panel) if answers else set()
    for one in contests:
        if one.model not in names:
            raise InputError(f"expected a contest of an ancestor or of a panel model, found one of {one.model[:100]!r}")
        if one.by == by:
            raise InputError(f"{one.model[:100]}: {by} named it and cannot contest it; leave it out instead")


def _prompts(
    parts: Sequence[TakenApart], answers: Answers, contests: Sequence[ModelContest]
) -> tuple[PromptFiltration, ...]:
    names = _names(parts, answers.called)
    contested = {one.model for one in contests}
    out = {name for name in answers.panel if name in contested}
    out |= {
        name
        for part, name in zip(parts[2:], names[2:], strict=True)
        if contested & {part.subject.name, part.subject.digest}
    }
    return filtered_prompts(
        _table(answers),
        questioned=names[0],
        reference=names[1],
        ancestors=names[2:],
        panel=answers.panel,
        contested=out,
    )


def _names(parts: Sequence[TakenApart], called: Sequence[str]) -> list[str]:
    """What the answers call the checkpoints."""
    names = {part.subject.name: part.subject.name for part in parts}
    for one in called:
        model, equals, name = one.partition("=")
        if not equals or model not in names:
            raise InputError(
                f"--called: expected MODEL=NAME with the name of a checkpoint ({', '.join(names)}), found {one[:100]!r}"
            )
        names[model] = name
    return [names[part.subject.name] for part in parts]


def _table(answers: Answers) -> AnswerTable:
    tables = {table.dataset: table for table in read_sources(answers.files).tables}
    known = ", ".join(sorted(tables)[:10])
    if answers.dataset is None and len(tables) > 1:
        raise InputError(f"--dataset: expected the name of one of the {len(tables)} data sets: {known}")
    wanted = next(iter(tables)) if answers.dataset is None else answers.dataset
    if wanted not in tables:
        raise InputError(f"--dataset: expected one of {known}, found {wanted[:100]!r}")
    return tables[wanted]


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
