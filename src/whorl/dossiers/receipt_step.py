"""Step 10: receipts of registry entries, against the logs and witnesses that the reader trusts."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from whorl.core.errors import VerificationError, WhorlError
from whorl.dossiers.events import Acquired, Frozen
from whorl.dossiers.examination import Examination, Found, NotChecked, Passed
from whorl.dossiers.file_steps import CLOCK_ALLOWANCE, require_past
from whorl.dossiers.layout import RECEIPT_SUFFIX
from whorl.dossiers.protocol_commitment import require_commitment_to
from whorl.dossiers.texts import texts_of
from whorl.entries.kinds import parse_instant
from whorl.entries.receipt import MAX_RECEIPT_BYTES, VerifiedEntry, parse_receipt, verify_receipt
from whorl.log.policy import Policy

_DIGEST: Final = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


def receipts_step(examination: Examination) -> Found:
    """Each receipt holds by the reader's policy, is of the past, in good standing, and about something of the case."""
    names = sorted(name for name in examination.dossier.sizes if name.endswith(RECEIPT_SUFFIX))
    if not names:
        return NotChecked(
            "no receipt is in the dossier: every time in it is of its parties' own clocks, and nobody else attests "
            "that the protocol was fixed before anything was examined, or that the case has no other chain"
        )
    if examination.policy is None:
        return NotChecked(f"{len(names)} receipts: no policy was given that says which logs and witnesses you trust")
    if examination.events is None:
        return NotChecked(f"{len(names)} receipts: the chain they should belong to could not be read, see step 5")
    digests = frozenset(_digests(_case_texts(examination)))
    found = [_checked(name, examination, examination.policy, digests) for name in names]
    protocol = _protocol_seen(dict(zip(names, found, strict=True)), examination)
    if unknown := [one.id for one in found if one.standing.good is None]:
        return NotChecked(
            f"{len(found)} receipts hold by your policy; whether anything speaks against {unknown[0]} "
            f"({len(unknown)} in all) is not in them"
        )
    said = "; ".join([*map(_said, found), protocol])
    if any(one.not_after is None for one in found):
        return NotChecked(f"{said}: nobody whom you trust attests a time")
    return Passed(said)


def _protocol_seen(found: Mapping[str, VerifiedEntry], examination: Examination) -> str:
    """The receipt that the chain names is of a commitment to the very protocol, seen before anything was acquired."""
    events = examination.events or ()
    frozen = next((event.body for event in events if isinstance(event.body, Frozen)), None)
    if frozen is None or frozen.receipt is None:
        return "the protocol was committed to in no registry: when it was fixed, the parties' clocks alone say"
    named = frozen.receipt.removeprefix("sha256:")
    name = next((one for one in found if examination.dossier.measured[one].digest == named), None)
    if name is None:
        raise VerificationError(f"expected the receipt {named} of the protocol, which the chain names, found none")
    entry = found[name]
    try:
        require_commitment_to(frozen.protocol, entry.statement.body)
    except VerificationError as error:
        raise VerificationError(f"{name}: {error}") from None
    first = min((one.body.acquired_at for one in events if isinstance(one.body, Acquired)), default=None)
    if first is not None and entry.not_after is not None and entry.not_after > parse_instant(first) + CLOCK_ALLOWANCE:
        raise VerificationError(
            f"{name}: expected the protocol committed to before the first exhibit was acquired ({first}), found it "
            f"seen in the registry by {entry.not_after:%Y-%m-%dT%H:%M:%SZ}: somebody's clock was turned back, or the "
            "protocol was made to fit"
        )
    return "what was committed to is the protocol of this case"


def _checked(name: str, examination: Examination, policy: Policy, digests: frozenset[str]) -> VerifiedEntry:
    """One receipt; whatever is wrong with it is said with its name."""
    try:
        receipt = parse_receipt(examination.dossier.read(name, most=MAX_RECEIPT_BYTES), origin=name)
        found = verify_receipt(receipt, policy)
        for at in (found.not_after, found.not_before, found.standing.at, found.statement.issued_at):
            if at is not None:
                require_past(at, now=examination.now, what="it says that it was made or seen at")
    except WhorlError as error:
        message = str(error)
        raise VerificationError(message if message.startswith(name) else f"{name}: {message}") from None
    if found.standing.good is False:
        raise VerificationError(f"{name}: entry {found.standing.against} speaks against the entry that it is of")
    about = {examination.dossier.measured[name].digest, found.statement.digest}
    about |= set(_digests(texts_of(found.statement.body.model_dump(mode="json"))))
    if not about & digests:
        raise VerificationError(
            f"{name}: expected a receipt of an entry about something of this case, found one that names no digest of "
            "its chain: it belongs to something else"
        )
    return found


def _said(found: VerifiedEntry) -> str:
    at = "at an unknown time" if found.not_after is None else f"before {found.not_after:%Y-%m-%dT%H:%M:%SZ}"
    seen = f"seen by {len(found.witnesses)} witnesses" if found.witnesses else "seen by no witness"
    named = "" if found.statement.name == found.kind else f" {found.statement.name!a}"
    return f"{found.kind}{named} of {found.claimant.name!a}, entered {at}, {seen}"


def _case_texts(examination: Examination) -> Iterator[str]:
    """Every text of the chain that can hold a digest."""
    for event in examination.events or ():
        yield from texts_of(event.record.model_dump(mode="json"))
        if event.body is not None:
            yield from texts_of(event.body.model_dump(mode="json"))
    if examination.root is not None:
        yield from (examination.root.predicate.case, examination.root.predicate.head)


def _digests(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        if found := _DIGEST.fullmatch(text):
            yield found.group(1)
