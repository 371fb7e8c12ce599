"""``whorl log``: audit a log, watch it, and check the proof that one was forked."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whorl.cli.exits import Exit, exits
from whorl.cli.files import print_json, require_input
from whorl.cli.options import AsJson, Quiet
from whorl.cli.progress import shown_progress
from whorl.cli.registry_access import is_url
from whorl.core.errors import InputError, VerificationError

if TYPE_CHECKING:
    from whorl.log.policy import Policy
    from whorl.log.tiles import TileSource

log = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

LogArgument = Annotated[str, typer.Argument(metavar="LOG", help="A log: the URL it is served under, or its folder.")]
PolicyOption = Annotated[
    Path,
    typer.Option("--policy", "-p", metavar="FILE", envvar="WHORL_POLICY", help="Logs and witnesses that you trust."),
]


@exits
def verify(place: LogArgument, policy: PolicyOption, as_json: AsJson = False, quiet: Quiet = False) -> Exit:
    """Derive every tile of a log anew from its entries, under a tree head that your policy accepts."""
    from whorl.log.auditing import verify_log
    from whorl.log.policy import check_tree_head

    trusted = _policy(policy)
    with _source(place) as source, shown_progress(quiet=quiet) as progress:
        _require_log(source, place)
        report = verify_log(source, open_head=partial(check_tree_head, policy=trusted), progress=progress)
    facts = {
        "log": None if report.head is None else report.head.head.origin,
        "entries": report.size,
        "root": None if report.head is None else report.head.head.root.hex(),
        "problems": list(report.problems),
    }
    if as_json:
        print_json({"schema": "whorl.log-audit/1"} | facts)
    elif not report.problems:
        _print_facts("Verified", {"Log": facts["log"], "Entries": report.size, "Root": facts["root"]})
    if report.problems:
        raise VerificationError(f"{place}: the log does not hold:\n" + "\n".join(report.problems[:20]))
    return Exit.DONE


@exits
def monitor(
    place: LogArgument,
    policy: PolicyOption,
    state: Annotated[
        Path, typer.Option("--state", metavar="FOLDER", help="What you have seen of logs; keep it between runs.")
    ],
    origin: Annotated[
        str | None, typer.Option("--origin", help="The log's name, where your policy lists more than one.")
    ] = None,
    note: Annotated[
        Path | None,
        typer.Option("--tree-head", metavar="FILE", help="Compare a tree head from elsewhere with what you have seen."),
    ] = None,
    first: Annotated[
        bool, typer.Option("--first", help="You see this log for the first time: there is nothing to compare with.")
    ] = False,
    as_json: AsJson = False,
) -> Exit:
    """Look at a log again: has it only grown since you saw it last?

    The first time needs --first: what is seen then is believed, so a mistyped FOLDER must not pass for it. If the log
    shows two pasts, the proof is kept in FOLDER, and anybody can check it with `whorl log check-fork`.
    """
    from whorl.log.grammar import MAX_NOTE_BYTES
    from whorl.log.monitoring import Monitor
    from whorl.log.policy import check_tree_head

    trusted = _policy(policy)
    name = _origin(trusted, origin)
    if first:
        state.mkdir(parents=True, exist_ok=True)
    else:
        require_input(state, expected=f"what you have seen of {name} (with --first you begin to watch a log)")
    watching = Monitor(
        state,
        origin=name,
        log_keys=[one.verifier for one in trusted.logs if one.verifier.name == name],
        open_head=partial(check_tree_head, policy=trusted),
    )
    _require_first_sight(watching.seen() is None, first=first, state=state, name=name)
    with _source(place) as source:
        if note is None:
            seen = watching.observe(source)
        else:
            require_input(note, expected="a signed tree head")
            seen = watching.consider(_bounded(note, MAX_NOTE_BYTES), source)
    facts = {
        "log": name,
        "entries": seen.head.head.size,
        "before": None if seen.seen is None else seen.seen.size,
        "growth": seen.growth,
    }
    if as_json:
        print_json({"schema": "whorl.log-observation/1"} | facts)
    elif seen.growth == "first":
        from whorl.cli.summary import print_lines

        _print_facts("First sight", {"Log": name, "Entries": facts["entries"]})
        print_lines(
            "",
            f"Nothing was compared: this is what {state} holds the log to from now on. Compare it with what others "
            "saw.",
        )
    else:
        _print_facts("Consistent", {"Log": name, "Entries": facts["entries"], "Seen before": facts["before"]})
    return Exit.DONE


@exits
def check_fork(
    proof: Annotated[Path, typer.Argument(metavar="PROOF", help="A fork file, as a monitor or witness keeps it.")],
    policy: PolicyOption,
) -> Exit:
    """Check the proof that a log signed two pasts; with exit status 0, it did."""
    from whorl.log.forks import verify_fork
    from whorl.log.grammar import MAX_NOTE_BYTES

    require_input(proof, expected="a fork file")
    keys = [one.verifier for one in _policy(policy).logs]
    proven = verify_fork(_bounded(proof, 4 * MAX_NOTE_BYTES), log_keys=keys)
    sizes = f"{proven.smaller.head.size} and {proven.larger.head.size} entries"
    _print_facts(
        "Proven", {"Log": proven.origin, "Fork": f"it signed two trees, of {sizes}, that contradict each other"}
    )
    return Exit.DONE


def _require_first_sight(is_new: bool, *, first: bool, state: Path, name: str) -> None:
    """That nothing was seen before is what the user says, or a mistake."""
    if is_new and not first:
        raise InputError(
            f"{state}: expected what you have seen of {name}, found nothing of it; check the folder. If you see this "
            "log for the first time, say so with --first"
        )
    if first and not is_new:
        raise InputError(
            f"{state}: expected no memory of {name} with --first, found one; leave the option out to compare with it"
        )


def _require_log(source: "TileSource", place: str) -> None:
    """That there is a log to be read: one that is nowhere, or does not answer, has not failed."""
    try:
        source.tree_head()
    except InputError as error:
        if not is_url(place) and (Path(place) / "tile").is_dir():
            return  # a log whose tree head is gone
        where = f"{place.rstrip('/')}/log" if is_url(place) else str(Path(place) / "log")
        raise InputError(
            f"{place}: expected a log, with its signed tree head under `checkpoint`, found none that can be read "
            f"({error}). Nothing was verified; check the address. The log of a registry is at {where}"
        ) from None


@contextmanager
def _source(place: str) -> "Iterator[TileSource]":
    if is_url(place):
        from whorl.registry.remote_log import RemoteLog

        with RemoteLog(place) as remote:
            yield remote
        return
    from whorl.log.served_folder import ServedFolder

    require_input(Path(place), expected="a log's folder, or the URL of a log")
    yield ServedFolder(Path(place))


def _policy(path: Path) -> "Policy":
    from whorl.log.policy import parse_policy

    require_input(path, expected="a policy file: the logs and witnesses that you trust")
    return parse_policy(_bounded(path, 1 << 20))


def _origin(policy: "Policy", origin: str | None) -> str:
    names = sorted({one.verifier.name for one in policy.logs})
    if origin is None and len(names) == 1:
        return names[0]
    if origin not in names:
        raise InputError(f"--origin: expected one of the policy's logs ({', '.join(names) or 'none'}), found {origin}")
    return str(origin)


def _bounded(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise InputError(f"{path}: expected at most {most} bytes, found more; check the path")
    return data


def _print_facts(title: str, facts: dict[str, object]) -> None:
    from whorl.cli.summary import print_facts

    print_facts(title, {label: "none" if value is None else str(value) for label, value in facts.items()})


for _name, _command, _help in (
    ("verify", verify, "Audit a whole log."),
    ("monitor", monitor, "Has a log only grown since you saw it last?"),
    ("check-fork", check_fork, "Check the proof that a log was forked."),
):
    log.command(_name, short_help=_help)(_command)
