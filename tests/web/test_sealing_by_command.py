"""``whorl register --sealed``, ``alibi`` and ``bureau ask`` against ``whorl serve``, and with answers lost on the way.

The models are the demo's, whose fingerprints are taken once.
"""

import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from losing_relay import relaying
from served import Claimant, Served, new_registry, serving, serving_process, wait_for
from typer.testing import CliRunner, Result

from whorl.cli.main import app
from whorl.entries.leaf import parse_entry_id
from whorl.entries.receipt import parse_receipt
from whorl.registry import client
from whorl.registry.bounded_http import BoundedHttp
from whorl.registry.client import RemoteRegistry
from whorl.registry.federation import add_peers, card_of
from whorl.registry.home import read_issuer_key
from whorl.registry.issuing import new_key_file
from whorl.registry.local import open_registry
from whorl.registry.registry_reader import read_registry
from whorl.registry.tallies import entries_by_kind
from whorl.web.running import address_of, bound_socket

BASE = Path(__file__).parents[2] / "demo" / "models" / "base"
Whorl = Callable[..., Result]
CLAIM = ("--claimant", "Northwind Labs", "--jurisdiction", "NL")
TRIES = 4  # more than a second: a service that has just begun takes nothing signed before it


@pytest.fixture
def whorl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Whorl:
    """The command, with settings of its own; a lost answer is waited for once more and not four times."""
    for name in ("WHORL_REGISTRY", "WHORL_KEY", "WHORL_POLICY", "WHORL_TOKEN", "WHORL_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.setattr(client, "BoundedHttp", partial(BoundedHttp, tries=TRIES))
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stored fingerprint of the demo's base."""
    path = tmp_path_factory.mktemp("fingerprints") / "base.whorl"
    assert CliRunner().invoke(app, ["fingerprint", str(BASE), "-o", str(path), "--quiet"]).exit_code == 0
    return path


@contextmanager
def answering(folder: Path) -> Iterator[Served]:
    """A service past its first second: what was signed in that may have been used with the one before it."""
    with serving(folder) as served:
        begun = served.service.began_at.replace(microsecond=0)
        wait_for(lambda: served.registry.now() >= begun + timedelta(seconds=1))
        yield served


@pytest.fixture
def served_at(folder: Path) -> Iterator[str]:
    with answering(folder) as served:
        yield served.url


def free_port() -> int:
    with bound_socket("127.0.0.1", 0) as bound:
        return int(address_of(bound).rpartition(":")[2])


def number_of(folder: Path, kind: str) -> int:
    """How many entries of a kind a registry's own log has."""
    with read_registry(folder) as registry, registry.database.reading() as connection:
        return entries_by_kind(connection).get((registry.origin, kind), 0)


def document(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_model_is_sealed_over_http_and_the_receipt_alone_shows_it(
    whorl: Whorl, served_at: str, folder: Path, stored: Path, tmp_path: Path
) -> None:
    receipt = tmp_path / "receipt.json"
    said = document(
        whorl("register", stored, "--sealed", "--receipt", receipt, "--registry", served_at, *CLAIM, "--json")
    )
    found = document(whorl("verify", receipt, "--policy", folder / "policy.txt", "--json"))
    assert (found["sealed"], found["claimant"]["name"], found["entry"]) == (True, "Northwind Labs", said["entry"])
    assert document(whorl("identify", stored, "--registry", served_at, "--json"))["leads"] == []
    assert not list(tmp_path.glob("*.pending"))
    # Neither somebody unknown nor another organisation of the registry is given what it says.
    new_key_file(tmp_path / "rival.json", os.urandom)
    rival = ("--key", tmp_path / "rival.json", "--claimant", "Meridian AI", "--registry", served_at)
    assert whorl("register", stored, *rival, "--quiet").exit_code == 0
    for key in (None, read_issuer_key(tmp_path / "rival.json")):
        with RemoteRegistry(served_at, key=key) as stranger:
            shown = parse_receipt(stranger.receipt(parse_entry_id(said["entry"])), origin="here")
        assert (shown.entry.envelope, shown.entry.salt, shown.authority) == (None, None, ())
    assert whorl("register", stored, "--sealed", "--registry", served_at).exit_code == 2  # no place for the receipt


@pytest.mark.parametrize("loses", [("POST", "/api/entries"), ("GET", "/api/entries/")], ids=["outcome", "receipt"])
def test_a_lost_answer_neither_loses_nor_doubles_a_sealed_entry(
    whorl: Whorl, folder: Path, stored: Path, tmp_path: Path, loses: tuple[str, str]
) -> None:
    receipt, pending = tmp_path / "receipt.json", tmp_path / "receipt.json.pending"
    command = ("register", stored, "--sealed", "--receipt", receipt, *CLAIM, "--quiet")
    with answering(folder) as served, relaying(served.url) as relay:
        assert whorl("registry", "introduce", "--registry", served.url, *CLAIM).exit_code == 0
        relay.loses = loses
        cut = whorl(*command, "--registry", relay.url)
        assert cut.exit_code == 2, cut.stderr
        assert relay.lost == TRIES
    assert not receipt.exists()
    assert stat.S_IMODE(pending.stat().st_mode) == 0o600
    assert number_of(folder, "sealed") == 1
    with answering(folder) as served:  # which has forgotten whatever it held in memory
        again = whorl(*command, "--registry", served.url)
        assert again.exit_code == 0, again.stderr
    assert number_of(folder, "sealed") == 1
    assert whorl("verify", receipt, "--policy", folder / "policy.txt").exit_code == 0
    assert not pending.exists()


def test_a_service_that_does_not_answer_leaves_nothing_behind_that_is_in_the_way(
    whorl: Whorl, folder: Path, stored: Path, tmp_path: Path
) -> None:
    receipt = tmp_path / "receipt.json"
    command = ("register", stored, "--sealed", "--receipt", receipt, *CLAIM, "--quiet")
    assert whorl(*command, "--registry", "http://127.0.0.1:9").exit_code == 2
    assert whorl(*command, "--registry", folder).exit_code == 0
    assert number_of(folder, "sealed") == 1


def test_a_receipt_that_shows_nothing_is_not_taken_for_one(
    whorl: Whorl, folder: Path, stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token of somebody else in the environment: the registry gives its bearer what it gives to strangers."""
    receipt, rival = tmp_path / "receipt.json", Claimant.new("Meridian AI")
    command = ("register", stored, "--sealed", "--receipt", receipt, *CLAIM, "--quiet")
    with answering(folder) as served:
        with served.remote(key=rival.key) as remote:
            rival.register(remote)
            token = remote.issue_token(
                scopes=["read", "submit"], label="test", expires_at=served.registry.now() + timedelta(days=1)
            )
        monkeypatch.setenv("WHORL_TOKEN", token)
        cut = whorl(*command, "--registry", served.url)
        assert (cut.exit_code, "found one without" in cut.stderr, receipt.exists()) == (2, True, False)
        monkeypatch.delenv("WHORL_TOKEN")
        assert whorl(*command, "--registry", served.url).exit_code == 0
    assert number_of(folder, "sealed") == 1
    assert whorl("verify", receipt, "--policy", folder / "policy.txt").exit_code == 0


def test_what_was_begun_is_not_taken_for_something_else(
    whorl: Whorl, folder: Path, stored: Path, tmp_path: Path
) -> None:
    receipt, pending = tmp_path / "receipt.json", tmp_path / "receipt.json.pending"
    with answering(folder) as served, relaying(served.url) as relay:
        assert whorl("registry", "introduce", "--registry", served.url, *CLAIM).exit_code == 0
        relay.loses = ("GET", "/api/entries/")
        command = ("register", stored, "--sealed", "--receipt", receipt, *CLAIM)
        assert whorl(*command, "--registry", relay.url).exit_code == 2
        held = pending.read_bytes()
        other = whorl(*command, "--name", "another", "--registry", served.url)
        assert (other.exit_code, "not finished" in other.stderr) == (2, True)
        pending.write_bytes(b"{}")
        damaged = whorl(*command, "--registry", served.url)
        assert (damaged.exit_code, "restore it" in damaged.stderr) == (2, True)
        pending.write_bytes(held)
        assert whorl(*command, "--registry", served.url).exit_code == 0
    assert number_of(folder, "sealed") == 1


def test_a_deposit_is_made_over_http_shown_and_checked(
    whorl: Whorl, served_at: str, folder: Path, stored: Path, tmp_path: Path
) -> None:
    note, deposit, opened = tmp_path / "note.txt", tmp_path / "deposit", tmp_path / "opened.json"
    note.write_text("the order of the training data")
    said = document(whorl("alibi", "deposit", stored, note, "-o", deposit, "--registry", served_at, *CLAIM, "--json"))
    assert said["members"] == 2
    assert {path.name for path in deposit.iterdir()} == {"sealed.json", "commitment-receipt.json"}
    assert whorl("alibi", "show", deposit / "sealed.json", "--member", 0, "-o", opened).exit_code == 0
    done = whorl(
        *("alibi", "check", opened, "--receipt", deposit / "commitment-receipt.json"),
        *("--policy", folder / "policy.txt", "--subject", stored, "--json"),
    )
    assert done.exit_code == 3  # no witness attests the time
    checked = json.loads(done.stdout)
    assert (checked["subject_is_member"], checked["members"], checked["claimant"]) == (0, 2, "Northwind Labs")
    again = whorl("alibi", "deposit", stored, note, "-o", deposit, "--registry", served_at, *CLAIM)
    assert (again.exit_code, "left alone" in again.stderr) == (2, True)


@pytest.mark.parametrize("loses", [("POST", "/api/entries"), ("GET", "/api/entries/")], ids=["outcome", "receipt"])
@pytest.mark.parametrize("then", ["service", "folder"])
def test_a_lost_answer_neither_loses_nor_doubles_a_deposit(
    whorl: Whorl, folder: Path, tmp_path: Path, loses: tuple[str, str], then: str
) -> None:
    note, deposit = tmp_path / "note.txt", tmp_path / "deposit"
    note.write_text("the order of the training data")
    command = ("alibi", "deposit", note, "-o", deposit, *CLAIM, "--quiet")
    with answering(folder) as served, relaying(served.url) as relay:
        assert whorl("registry", "introduce", "--registry", served.url, *CLAIM).exit_code == 0
        relay.loses = loses
        assert whorl(*command, "--registry", relay.url).exit_code == 2
        sealed = (deposit / "sealed.json").read_bytes()
        other = tmp_path / "other.txt"
        other.write_text("something else")
        wrong = whorl("alibi", "deposit", other, "-o", deposit, "--registry", served.url, *CLAIM)
        assert (wrong.exit_code, "of others" in wrong.stderr) == (2, True)
        if then == "service":
            assert whorl(*command, "--registry", served.url).exit_code == 0
    if then == "folder":
        assert whorl(*command, "--registry", folder).exit_code == 0
    assert number_of(folder, "commitment") == 1
    assert (deposit / "sealed.json").read_bytes() == sealed
    assert {path.name for path in deposit.iterdir()} == {"sealed.json", "commitment-receipt.json"}
    receipt = deposit / "commitment-receipt.json"
    assert whorl("verify", receipt, "--policy", folder / "policy.txt").exit_code == 0


def test_a_sealed_model_is_found_by_the_bureau_that_may(whorl: Whorl, stored: Path, tmp_path: Path) -> None:
    holder, asker = (new_registry(tmp_path / name, origin=f"bureau.example/{name}") for name in ("holder", "asker"))
    ports = {path: free_port() for path in (holder, asker)}
    cards = {}
    for path, port in ports.items():
        with open_registry(path) as registry:
            cards[path] = card_of(registry, url=f"http://127.0.0.1:{port}")
    for path, other in ((holder, asker), (asker, holder)):
        with open_registry(path) as registry:
            add_peers(registry, [cards[other]], quorum=0)
    ask = ("bureau", "ask", "bureau.example/holder", stored, "--registry", asker)
    with serving(asker, port=ports[asker]), serving_process(holder, "--port", str(ports[holder])) as (url, _):
        seal = ("register", stored, "--sealed", "--registry", url, *CLAIM, "--quiet")
        unsaid = whorl(*seal, "--receipt", tmp_path / "unsaid.json")
        assert unsaid.exit_code == 0, unsaid.stderr
        told = document(whorl(*ask, "--json"))
        digest = told.pop("question")
        assert digest.startswith("sha256:")
        assert told == {
            "schema": "whorl.sealed-search/1",
            "bureau": "bureau.example/holder",
            "asked": "vector",
            "candidates": 0,
            "or_more": False,
        }
        done = whorl(*seal, "--receipt", tmp_path / "for-asker.json", "--found-by", "bureau.example/asker")
        assert done.exit_code == 0, done.stderr
        said = whorl(*ask)  # while the own service runs
        assert said.exit_code == 0, said.stderr
        assert "a lead, never a finding" in " ".join(said.stdout.split())
        assert "Candidates" in said.stdout
        assert document(whorl(*ask, "--json"))["candidates"] == 1
        content = parse_receipt((tmp_path / "for-asker.json").read_bytes(), origin="here")
        assert content.entry.envelope is not None
        assert whorl("bureau", "ask", "bureau.example/none", stored, "--registry", asker).exit_code == 2
        assert whorl("bureau", "ask", "bureau.example/holder", stored, "--registry", url).exit_code == 2
    assert number_of(holder, "sealed") == 3
    assert document(whorl("registry", "fsck", "--registry", holder, "--json"))["problems"] == []


def test_found_by_is_for_sealed_models(whorl: Whorl, stored: Path, tmp_path: Path) -> None:
    open_one = whorl("register", stored, "--registry", tmp_path / "new", "--found-by", "bureaus")
    assert (open_one.exit_code, "--sealed" in open_one.stderr) == (2, True)
    assert not (tmp_path / "new").exists()
