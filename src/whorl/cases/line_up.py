"""The line-up: the questioned model among decoys and controls, dealt out under codes by a salt.

Who stands in it and under which code follows from the salt and the names alone: each candidate's place is the SHA-256
of salt and name. Once the salt is shown, anybody who knows the candidates can deal again.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError, model_validator

from whorl.core.durable_files import write_durably
from whorl.core.errors import InputError, VerificationError
from whorl.core.evidence import Document, StoredDocument
from whorl.core.faults import first_fault
from whorl.core.strict_json import parse_json_object
from whorl.dossiers.codes import code_key_commitment
from whorl.dossiers.events import AskedAt, CodedMember, LineUp, LineUpCode, MemberRole
from whorl.entries.kinds import Digest, HashHex
from whorl.entries.names import Name

SECRET_FILE: Final = "line-up.json"
MAX_FILE_BYTES: Final = 1 << 20
_TAG: Final = b"whorl/line-up/v1\0"

Place = Annotated[str, Field(min_length=1, max_length=4096, description="path, from the folder of this file on")]


class Candidate(Document):
    """A model that may stand in the line-up: where its weights lie, where it is asked, or both."""

    name: Name
    path: Place | None = Field(default=None, description="its weights, or a stored fingerprint of them")
    transcript: Place | None = Field(default=None, description="where its answers are, or will be once it was asked")
    endpoint: AskedAt | None = Field(default=None, description="where it is asked, as the transcript's header says")

    @model_validator(mode="after")
    def _is_somewhere(self) -> "Candidate":
        if self.path is None and self.transcript is None:
            raise ValueError("neither weights (path) nor answers (transcript) are named")
        if (self.transcript is None) != (self.endpoint is None):
            raise ValueError("transcript and endpoint go together: what will be read, and who is asked")
        return self


class Drawn(Document):
    """How many of each kind are drawn."""

    decoys: Annotated[int, Field(ge=2, le=100)] = 2
    positive_controls: Annotated[int, Field(ge=1, le=20)] = 1
    negative_controls: Annotated[int, Field(ge=1, le=20)] = 1


class Candidates(StoredDocument):
    """What the manager has to deal from.

    A positive control is known to descend from the reference; a negative control is known not to; decoys are like the
    questioned model from outside and unrelated to the reference.
    """

    schema_: Literal["whorl.line-up-candidates/1"] = Field(alias="schema")
    questioned: Candidate
    reference: Candidate
    decoys: Annotated[tuple[Candidate, ...], Field(max_length=1000)]
    positive_controls: Annotated[tuple[Candidate, ...], Field(max_length=1000)]
    negative_controls: Annotated[tuple[Candidate, ...], Field(max_length=1000)]
    draw: Drawn = Drawn()


class DealtMember(Document):
    """One model under its code, and where it lies."""

    code: LineUpCode
    role: MemberRole
    name: Name
    path: str | None
    transcript: str | None
    endpoint: AskedAt | None
    digest: Digest | None

    @property
    def coded(self) -> CodedMember:
        """What is shown of it at the unblinding."""
        return CodedMember(code=self.code, role=self.role, name=self.name, digest=self.digest, endpoint=self.endpoint)


class DealtLineUp(StoredDocument):
    """The manager's secret until the unblinding."""

    schema_: Literal["whorl.line-up/1"] = Field(default="whorl.line-up/1", alias="schema")
    salt: HashHex = Field(repr=False)
    members: Annotated[tuple[DealtMember, ...], Field(min_length=6, max_length=200)] = Field(repr=False)

    @property
    def coded(self) -> tuple[CodedMember, ...]:
        """The code key."""
        return tuple(member.coded for member in self.members)

    @property
    def commitment(self) -> str:
        """What the protocol states of it."""
        return code_key_commitment(bytes.fromhex(self.salt), self.coded)

    @property
    def stated(self) -> LineUp:
        """What the protocol says of it in the open."""

        def count(role: MemberRole) -> int:
            return sum(member.role == role for member in self.members)

        (reference,) = (member.code for member in self.members if member.role == "reference")
        return LineUp(
            decoys=count("decoy"),
            positive_controls=count("positive_control"),
            negative_controls=count("negative_control"),
            reference=reference,
        )


def deal(candidates: Candidates, *, salt: bytes, digest_of: Callable[[str], str]) -> DealtLineUp:
    """Draw and shuffle.

    Parameters
    ----------
    salt : 32 unpredictable bytes
    digest_of : digest of the content of the model at a path

    Raises
    ------
    InputError
        If there are too few candidates of a kind, or one name or content stands for two.
    """
    pools: tuple[tuple[MemberRole, Sequence[Candidate], int], ...] = (
        ("questioned", (candidates.questioned,), 1),
        ("reference", (candidates.reference,), 1),
        ("decoy", candidates.decoys, candidates.draw.decoys),
        ("positive_control", candidates.positive_controls, candidates.draw.positive_controls),
        ("negative_control", candidates.negative_controls, candidates.draw.negative_controls),
    )
    names = [one.name for _, pool, _ in pools for one in pool]
    if len(set(names)) < len(names):
        raise InputError("line-up: expected each model once and under a name of its own, found a name twice")
    chosen: list[tuple[MemberRole, Candidate]] = []
    for role, pool, number in pools:
        if len(pool) < number:
            raise InputError(f"line-up: expected at least {number} candidates for {role}, found {len(pool)}; add some")
        chosen += [(role, one) for one in sorted(pool, key=lambda one: _place(b"draw", salt, one.name))[:number]]
    chosen.sort(key=lambda pair: _place(b"deal", salt, pair[1].name))
    members = tuple(
        DealtMember(
            code=f"M-{number}",
            role=role,
            name=one.name,
            path=one.path,
            transcript=one.transcript,
            endpoint=one.endpoint,
            digest=None if one.path is None else digest_of(one.path),
        )
        for number, (role, one) in enumerate(chosen, start=1)
    )
    contents = [member.digest for member in members if member.digest is not None]
    asked = [one.place for member in members if (one := member.endpoint) is not None]
    if len(set(contents)) < len(contents) or len(set(asked)) < len(asked):
        raise InputError(
            "line-up: expected other weights and another endpoint for each model, found one under two names: a control "
            "that is the reference itself, or a stranger who stands there twice, cannot fail"
        )
    return DealtLineUp(salt=salt.hex(), members=members)


def read_candidates(path: Path) -> Candidates:
    """Read the manager's file; its paths become absolute.

    Raises
    ------
    InputError
        If it is none.
    """
    with path.open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    document = parse_json_object(data, what=str(path), max_bytes=MAX_FILE_BYTES)
    try:
        found = Candidates.model_validate_json(data)
    except ValidationError as error:
        raise InputError(
            f"{path}: expected candidates of a line-up ({document.get('schema')!a:.60}), found fault with "
            f"{first_fault(error)}; `whorl case freeze --template` prints the form"
        ) from None
    folder = path.resolve().parent

    def absolute(one: Candidate) -> Candidate:
        places = {"path": one.path, "transcript": one.transcript}
        return one.model_copy(
            update={key: None if place is None else str(folder / place) for key, place in places.items()}
        )

    return found.model_copy(
        update={
            "questioned": absolute(found.questioned),
            "reference": absolute(found.reference),
            "decoys": tuple(map(absolute, found.decoys)),
            "positive_controls": tuple(map(absolute, found.positive_controls)),
            "negative_controls": tuple(map(absolute, found.negative_controls)),
        }
    )


def write_dealt(folder: Path, dealt: DealtLineUp) -> None:
    """Keep the line-up in the case's folder, readable by its owner alone.

    That of an attempt before is kept beside it under its commitment: that its protocol was never frozen is only what
    whoever keeps the case says.

    Raises
    ------
    InputError
        If what is there is no line-up.
    """
    file = folder / SECRET_FILE
    if file.is_file():
        file.rename(_aside(folder, _read_dealt(file).commitment))
    write_durably(file, dealt.model_dump_json(indent=1).encode() + b"\n", mode=0o600)


def read_dealt(folder: Path, commitment: str) -> DealtLineUp:
    """The line-up, for the manager.

    Parameters
    ----------
    commitment : what the frozen protocol states of it, which tells it from those of other attempts

    Raises
    ------
    InputError
        If it is not there, or damaged. No message quotes it.
    VerificationError
        If there is another one.
    """
    aside, file = _aside(folder, commitment), folder / SECRET_FILE
    if aside.is_file():
        file = aside
    if not file.is_file():
        raise InputError(f"{file}: expected the manager's line-up, found none; only who froze the protocol has it")
    dealt = _read_dealt(file)
    if dealt.commitment != commitment:
        raise VerificationError(
            f"{file}: expected the code key that was committed to, found another: it was altered, or is of another "
            "freezing; restore the one of this protocol"
        )
    return dealt


def forget_dealt(folder: Path) -> None:
    """Remove the line-up, and those of other attempts."""
    for file in (folder / SECRET_FILE, *folder.glob(f"line-up-{'[0-9a-f]' * 64}.json")):
        file.unlink(missing_ok=True)


def _aside(folder: Path, commitment: str) -> Path:
    return folder / f"line-up-{commitment}.json"


def _read_dealt(file: Path) -> DealtLineUp:
    with file.open("rb") as opened:
        data = opened.read(MAX_FILE_BYTES + 1)
    try:
        parse_json_object(data, what=str(file), max_bytes=MAX_FILE_BYTES)
        return DealtLineUp.model_validate_json(data)
    except ValidationError:
        raise InputError(f"{file}: expected the manager's line-up, found something else; restore it") from None


def _place(purpose: bytes, salt: bytes, name: str) -> bytes:
    return hashlib.sha256(_TAG + purpose + b"\0" + salt + name.encode()).digest()
