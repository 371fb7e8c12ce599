"""Whose signatures make a tree head count (C2SP tlog-policy): logs, witnesses, groups of them, and a quorum.

Stricter than the specification: a public key stands once in the whole policy, so no log is its own witness; and a
cosignature that states no time does not count.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from whorl.core.errors import InputError, VerificationError
from whorl.log.grammar import shown
from whorl.log.keys import Verifier, check_distinct, parse_vkey
from whorl.log.notes import Signed, parse_note
from whorl.log.tree_heads import SignedTreeHead, open_tree_head, parse_tree_head

MAX_POLICY_BYTES: Final = 1 << 20
MAX_OF_A_KIND: Final = 128
"""So many logs, so many witnesses, so many groups. The specification asks for 32 of each."""
NONE: Final = "none"

_NOT_ALLOWED: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_SPACE: Final = re.compile(r"[ \t]+")
_COUNT: Final = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownLog:
    """A log whose tree heads are accepted. The key's name is the log's origin."""

    verifier: Verifier
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownWitness:
    """A witness; ``name`` is its name in this policy only, the key has its own."""

    name: str
    verifier: Verifier
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """At least ``threshold`` of the members: witnesses, or groups defined earlier."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy that is whole and unambiguous; ``parse_policy(policy.to_text()) == policy``.

    Attributes
    ----------
    logs : may be empty where the log is known from elsewhere
    witnesses, groups : in the order of their definition; their names are one set
    quorum : a witness, a group, or ``none``

    Raises
    ------
    InputError
        If a name or public key stands twice, something is a member of two groups, a group names what is not defined
        before it, a threshold cannot be met, a key cannot sign for its part, or there is more than `MAX_OF_A_KIND` of
        a kind.
    """

    logs: tuple[KnownLog, ...]
    witnesses: tuple[KnownWitness, ...]
    groups: tuple[Group, ...]
    quorum: str

    def __post_init__(self) -> None:
        for kind, count in (("logs", len(self.logs)), ("witnesses", len(self.witnesses)), ("groups", len(self.groups))):
            if count > MAX_OF_A_KIND:
                raise InputError(f"policy: expected at most {MAX_OF_A_KIND} {kind}, found {count}")
        for log in self.logs:
            if log.verifier.algorithm == "cosignature_ed25519":
                raise InputError(
                    f"policy, log {shown(log.verifier.name)}: expected a log's key (type 0x01 or 0x06), found type 0x04"
                )
            _check_url(log.url)
        for witness in self.witnesses:
            if witness.verifier.algorithm == "ed25519":
                raise InputError(
                    f"policy, witness {shown(witness.name)}: expected a cosignature key (type 0x04 or 0x06), found "
                    "type 0x01; ask the witness for the key it cosigns with"
                )
            _check_url(witness.url)
        check_distinct((*(log.verifier for log in self.logs), *(one.verifier for one in self.witnesses)))
        self._check_names()

    def _check_names(self) -> None:
        """Every name once; a group of earlier names only, none of them in another group."""
        defined: set[str] = set()
        for witness in self.witnesses:
            _define(witness.name, defined)
        taken: set[str] = set()
        for group in self.groups:
            _check_members(group, defined=defined, taken=taken)
            _define(group.name, defined)
        if self.quorum not in defined and self.quorum != NONE:
            raise InputError(f"policy: expected a quorum that is defined, found {shown(self.quorum)}")

    def satisfied_by(self, names: Collection[str]) -> bool:
        """Whether these witnesses, by their names in this policy, make the quorum. ``none`` asks for nobody."""
        return self.quorum == NONE or self.quorum_at(dict.fromkeys(names, 0)) is not None

    def quorum_at(self, times: Mapping[str, int]) -> int | None:
        """The first time at which those who had cosigned made the quorum.

        Parameters
        ----------
        times : POSIX seconds by the witness's name in this policy

        Returns
        -------
        None if all of them together make no quorum, and for the quorum ``none``.
        """
        return self._reached(times).get(self.quorum)

    def shortfall(self, names: Collection[str]) -> tuple[str, ...]:
        """What is missing for the quorum: one line for each group that falls short, or for the one witness."""
        if self.satisfied_by(names):
            return ()
        reached = self._reached(dict.fromkeys(names, 0))
        lines = []
        wanted = {self.quorum}
        for group in reversed(self.groups):  # members are defined before their group
            if group.name in wanted:
                missing = [member for member in group.members if member not in reached]
                lines.append(
                    f"group {shown(group.name)} needs {group.threshold} of {len(group.members)}, has "
                    f"{len(group.members) - len(missing)}, lacks {', '.join(map(shown, missing))}"
                )
                wanted.update(missing)
        return tuple(lines) or (f"witness {shown(self.quorum)} has not cosigned",)

    def times(self, cosigned: Iterable[Signed]) -> dict[str, int]:
        """Times of cosignatures by the witness's name in this policy; without those that state none."""
        names = {one.verifier: one.name for one in self.witnesses}
        return {names[one.verifier]: one.at for one in cosigned if one.at is not None and one.verifier in names}

    def _reached(self, times: Mapping[str, int]) -> dict[str, int]:
        """When each witness had cosigned, and each group with its k-th member; without those who had not."""
        reached = {one.name: times[one.name] for one in self.witnesses if one.name in times}
        for group in self.groups:
            present = sorted(reached[member] for member in group.members if member in reached)
            if len(present) >= group.threshold:
                reached[group.name] = present[group.threshold - 1]
        return reached

    def to_text(self) -> str:
        """The policy file. Thresholds are numbers; comments are gone."""
        lines = [
            *(("log", log.verifier.vkey, log.url) for log in self.logs),
            *(("witness", one.name, one.verifier.vkey, one.url) for one in self.witnesses),
            *(("group", group.name, str(group.threshold), *group.members) for group in self.groups),
            ("quorum", self.quorum),
        ]
        return "".join(" ".join(item for item in line if item is not None) + "\n" for line in lines)


def parse_policy(data: bytes | str) -> Policy:
    """Read a policy file.

    Octets beyond ASCII are opaque: in a name that is not UTF-8 they stay as lone surrogates (PEP 383).

    Raises
    ------
    InputError
        If it breaks the format or a rule of `Policy`; the message names the line where one is at fault.
    """
    text = _policy_text(data)
    reading = _Reading()
    for number, line in enumerate(text.split("\n"), 1):
        items = _SPACE.split(line.strip(" \t"))
        if items == [""] or items[0].startswith("#"):
            continue
        try:
            reading.read(items)
        except InputError as error:
            raise InputError(f"policy, line {number}: {error}") from None
    if reading.quorum is None:
        raise InputError("policy: expected a line 'quorum NAME' or 'quorum none', found none")
    return Policy(
        logs=tuple(reading.logs),
        witnesses=tuple(reading.witnesses),
        groups=tuple(reading.groups),
        quorum=reading.quorum,
    )


def check_tree_head(data: bytes, policy: Policy) -> SignedTreeHead:
    """Check a signed tree head against a policy: a listed log signed it, and a quorum of witnesses cosigned it.

    Raises
    ------
    InputError
        If the note is malformed.
    VerificationError
        If the log is not listed or did not sign with Ed25519, a signature by a listed key does not hold, or the quorum
        is not reached; the message says which groups lack which members.
    """
    # (1) the origin only chooses the keys; it is trusted once they have signed it
    origin = parse_tree_head(parse_note(data).text).origin
    log_keys = [log.verifier for log in policy.logs if log.verifier.name == origin]
    if not log_keys:
        listed = ", ".join(sorted({shown(log.verifier.name) for log in policy.logs})) or "none"
        raise VerificationError(f"tree head: expected one of a log in the policy ({listed}), found {shown(origin)}")
    # (2) the log signed, and whatever a witness of the policy signed holds
    cosigners = [one.verifier for one in policy.witnesses]
    opened = open_tree_head(data, origin=origin, log_keys=log_keys, cosigners=cosigners)
    # (3) enough witnesses did
    times = policy.times(opened.cosigned)
    if not policy.satisfied_by(times):
        raise VerificationError(
            f"tree head of {shown(origin)}, size {opened.head.size}: expected the quorum {shown(policy.quorum)}, found "
            f"{len(times)} cosignatures that count: {'; '.join(policy.shortfall(times))}"
        )
    return opened


class _Reading:
    """A policy file as far as it was read. What a line names must be defined on a line before it."""

    def __init__(self) -> None:
        self.logs: list[KnownLog] = []
        self.witnesses: list[KnownWitness] = []
        self.groups: list[Group] = []
        self.quorum: str | None = None
        self._defined: set[str] = set()

    def read(self, items: list[str]) -> None:
        match items:
            case ["log", vkey, *url] if len(url) <= 1:
                self.logs.append(KnownLog(verifier=parse_vkey(vkey), url=url[0] if url else None))
            case ["witness", name, vkey, *url] if len(url) <= 1:
                key = parse_vkey(vkey)
                self.witnesses.append(KnownWitness(name=name, verifier=key, url=url[0] if url else None))
                self._defined.add(name)
            case ["group", name, threshold, first, *others]:
                members = (first, *others)
                self._check_defined(members)
                self.groups.append(Group(name=name, threshold=_threshold(threshold, len(members)), members=members))
                self._defined.add(name)
            case ["quorum", name]:
                if self.quorum is not None:
                    raise InputError(f"expected one quorum line, found a second one, for {shown(name)}")
                self._check_defined(() if name == NONE else (name,))
                self.quorum = name
            case _:
                raise InputError(
                    "expected 'log VKEY [URL]', 'witness NAME VKEY [URL]', 'group NAME all|any|K MEMBER...' or "
                    f"'quorum NAME', found {shown(' '.join(items))}"
                )

    def _check_defined(self, names: tuple[str, ...]) -> None:
        if missing := [name for name in names if name not in self._defined]:
            raise InputError(f"expected names defined on lines above, found {shown(missing[0])}")


def _policy_text(data: bytes | str) -> str:
    octets = data if isinstance(data, bytes) else _octets(data)
    if len(octets) > MAX_POLICY_BYTES:
        raise InputError(f"policy: expected at most {MAX_POLICY_BYTES} bytes, found {len(octets)}")
    text = octets.decode(errors="surrogateescape")
    if found := _NOT_ALLOWED.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise InputError(f"policy, line {line}: expected no control characters but tabs, found {found[0]!r}")
    if not text.endswith("\n"):
        raise InputError("policy: expected a newline after the last line, found none; the file may have been cut off")
    return text


def _threshold(threshold: str, members: int) -> int:
    if threshold in ("all", "any"):
        return members if threshold == "all" else 1
    if not _COUNT.fullmatch(threshold):
        raise InputError(f"expected 'all', 'any' or a number from 1 to {members}, found {shown(threshold)}")
    return int(threshold)


def _define(name: str, defined: set[str]) -> None:
    _check_item(name)
    if name in defined or name == NONE:
        raise InputError(f"policy: expected names that are new and not 'none', found {shown(name)}")
    defined.add(name)


def _check_members(group: Group, *, defined: set[str], taken: set[str]) -> None:
    where = f"policy, group {shown(group.name)}"
    if not 1 <= group.threshold <= len(group.members):
        raise InputError(f"{where}: expected a threshold from 1 to {len(group.members)}, found {group.threshold}")
    for member in group.members:
        if member not in defined:
            raise InputError(f"{where}: expected members that are defined before it, found {shown(member)}")
        if member in taken:
            raise InputError(f"{where}: expected each member once and in one group, found {shown(member)} again")
        taken.add(member)


def _check_url(url: str | None) -> None:
    if url is not None:
        _check_item(url)


def _check_item(item: str) -> None:
    """One item of a line, as its octets would be read again."""
    again = _octets(item).decode(errors="surrogateescape")
    if not item or " " in item or _CONTROL.search(item) or again != item:
        raise InputError(f"policy: expected a name or address without white space, found {shown(item)}")


def _octets(text: str) -> bytes:
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError as error:
        raise InputError(f"policy: expected Unicode text, found half of a surrogate pair at {error.start}") from None
