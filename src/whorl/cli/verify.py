"""``whorl verify``: check a receipt offline, with nothing but the base install."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from whorl.cli.exits import Exit
from whorl.cli.files import print_json, require_input
from whorl.cli.options import AsJson
from whorl.core.errors import InputError, VerificationError

if TYPE_CHECKING:
    from whorl.entries.anchors import TimestampAuthority
    from whorl.entries.receipt import VerifiedEntry

_SECOND: Final = "%Y-%m-%dT%H:%M:%SZ"
_HEADINGS: Final = {
    True: "Verified",
    False: "In the log, and NOT in good standing",
    None: "In the log; its standing is unknown",
}
_SPEAKS_OF_OTHERS: Final = frozenset({"finding", "notice", "response", "dispute", "status"})


def verify(
    receipt: Annotated[Path, typer.Argument(metavar="RECEIPT", help="A receipt, as a registry gives it.")],
    policy: Annotated[
        Path,
        typer.Option(
            "--policy", "-p", metavar="FILE", envvar="WHORL_POLICY", help="Logs and witnesses that you trust."
        ),
    ],
    authority: Annotated[
        list[str] | None,
        typer.Option("--time-authority", metavar="NAME=FILE", help="A time-stamp authority's root certificates (PEM)."),
    ] = None,
    as_json: AsJson = False,
) -> Exit:
    """Check an entry, its proof, the cosignatures, who signed, when, and whether anything speaks against it.

    Nothing is fetched. Exit status 0: all of it holds and nothing speaks against the entry; 1: a step failed or the
    entry is not in good standing; 3: it holds, but the receipt does not say what its standing is.
    """
    require_input(receipt, expected="a receipt file")
    require_input(policy, expected="a policy file: the logs and witnesses that you trust")

    from whorl.entries.receipt import MAX_RECEIPT_BYTES, parse_receipt, verify_receipt
    from whorl.log.policy import parse_policy

    found = verify_receipt(
        parse_receipt(_bounded(receipt, MAX_RECEIPT_BYTES), origin=str(receipt)),
        parse_policy(_bounded(policy, MAX_RECEIPT_BYTES)),
        authorities=[_authority(text) for text in authority or ()],
    )
    if as_json:
        print_json(_document(found))
    else:
        _print(found)
    if found.standing.good is False:
        raise VerificationError(
            f"the entry is in the log and not in good standing: entry {found.standing.against} speaks against it"
        )
    return Exit.DONE if found.standing.good else Exit.INCONCLUSIVE


def _bounded(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise InputError(f"{path}: expected at most {most} bytes, found more; check the path")
    return data


def _authority(text: str) -> "TimestampAuthority":
    from whorl.entries.anchors import MAX_CERTIFICATE_BYTES, read_authority

    name, _, file = text.partition("=")
    if not name or not file:
        raise InputError(f"--time-authority: expected NAME=FILE, found {text[:80]!a}")
    require_input(Path(file), expected="root certificates in PEM")
    return read_authority(name, _bounded(Path(file), MAX_CERTIFICATE_BYTES), origin=file)


def _document(found: "VerifiedEntry") -> dict[str, Any]:
    standing = found.standing
    return {
        "schema": "whorl.verification/1",
        "entry": found.id,
        "kind": found.kind,
        "name": found.statement.name,
        "sealed": found.sealed,
        "claimant": {
            "organisation": found.claimant.organisation,
            "name": found.claimant.name,
            "jurisdiction": found.claimant.jurisdiction,
        },
        "log": {"origin": found.origin, "index": found.index},
        "time": {"not_before": _instant(found.not_before), "not_after": _instant(found.not_after)},
        "witnesses": list(found.witnesses),
        "time_stamps": [{"authority": one.authority, "at": _instant(one.at)} for one in found.stamps.held],
        "time_stamps_by_strangers": found.stamps.unknown,
        "post_quantum": found.post_quantum,
        "standing": {
            "good": standing.good,
            "against": standing.against,
            "log_size": standing.log_size,
            "at": _instant(standing.at),
        },
        "body": found.statement.body.model_dump(mode="json"),
    }


def _print(found: "VerifiedEntry") -> None:
    from whorl.cli.summary import print_facts, print_lines
    from whorl.entries.names import lookalike

    claimant = f"{found.claimant.name} ({found.claimant.jurisdiction}), as they call themselves"
    facts = {
        "Entry": found.id,
        "Kind": f"{found.kind}, sealed" if found.sealed else found.kind,
        "Name": found.statement.name,
        "Claimant": claimant,
        "Log": f"{found.origin}, entry {found.index}",
        "Seen by": ", ".join(found.witnesses) or "no witness: the policy asks for none",
        "Made": _interval(found),
        "Standing": _standing(found),
        "Signatures": "Ed25519 and ML-DSA-44" if found.post_quantum else "Ed25519",
    }
    print_facts(_heading(found), facts)
    if found.kind in _SPEAKS_OF_OTHERS:
        print_lines(
            f"This shows that {found.claimant.name!r} said it, not that it is so, and the witnesses need not have been "
            "shown what it says. Whether anybody reviewed, published, "
            f"answered or disputed it is for the registry to tell; a {found.kind} alone is nobody's judgement."
        )
    for name in (found.statement.name, found.claimant.name):
        if warning := lookalike(name):
            print_lines(f"Look twice: a word of the name {name!r} {warning}.")


def _heading(found: "VerifiedEntry") -> str:
    if found.standing.good is not True:
        return _HEADINGS[found.standing.good]
    if found.kind in _SPEAKS_OF_OTHERS:
        return f"In the log: a {found.kind}, as somebody entered it"
    return _HEADINGS[True] if found.witnesses else "Verified, by the word of the log alone"


def _interval(found: "VerifiedEntry") -> str:
    after = "at an unknown time" if found.not_before is None else f"after {_instant(found.not_before)}"
    before = "before a time that nobody attests" if found.not_after is None else f"before {_instant(found.not_after)}"
    return before if found.not_before is None else f"{after} and {before}"


def _standing(found: "VerifiedEntry") -> str:
    standing = found.standing
    if standing.good is None:
        return "unknown: the receipt does not say"
    as_of = f"as of log size {standing.log_size}" + ("" if standing.at is None else f", {_instant(standing.at)}")
    if not standing.good:
        return f"NOT GOOD, {as_of}: see {standing.against}"
    word = "" if found.witnesses else ", says the log itself: the policy asks for no mirror that checked it"
    return f"nothing speaks against it, {as_of}{word}"


def _instant(at: datetime | None) -> str | None:
    return None if at is None else at.strftime(_SECOND)
