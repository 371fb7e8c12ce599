"""Two bureaus that mirror and cosign each other over HTTP, each asking with its own key."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from served import UNLIMITED, Claimant, Served, entered_hash, model, new_registry, serving

from whorl.entries.handling import Handling
from whorl.entries.leaf import entry_id
from whorl.registry.client import RemoteRegistry, open_federation
from whorl.registry.entry_rows import find_entry
from whorl.registry.federation import Federation, add_peers, card_of
from whorl.registry.local import open_registry
from whorl.registry.remote_witness import witnesses_of
from whorl.web.running import address_of, bound_socket
from whorl.web.witness_routes import Witnesses

NAMES = ("one", "two")


@dataclass
class Bureau:
    """A bureau that is served, and follows the other one."""

    served: Served
    federation: Federation
    remote: RemoteRegistry


def free_ports(number: int) -> list[int]:
    bound = [bound_socket("127.0.0.1", 0) for _ in range(number)]
    ports = [int(address_of(one).rpartition(":")[2]) for one in bound]
    for one in bound:
        one.close()
    return ports


@pytest.fixture
def bureaus(tmp_path: Path) -> Iterator[list[Bureau]]:
    folders = [new_registry(tmp_path / name, origin=f"bureau.example/{name}") for name in NAMES]
    ports = free_ports(len(folders))
    cards = []
    for folder, port in zip(folders, ports, strict=True):
        with open_registry(folder) as registry:
            cards.append(card_of(registry, url=f"http://127.0.0.1:{port}"))
    for folder, peer in zip(folders, reversed(cards), strict=True):
        with open_registry(folder) as registry:
            add_peers(registry, [peer], quorum=1)
    with ExitStack() as stack:
        found = []
        for folder, port in zip(folders, ports, strict=True):
            witnesses = Witnesses()
            served = stack.enter_context(serving(folder, limits=UNLIMITED, witness=witnesses, port=port))
            federation = open_federation(served.registry)
            witnesses._witnesses = (federation.witness,)
            remote = stack.enter_context(served.remote())
            found.append(Bureau(served=served, federation=federation, remote=remote))
        for bureau in found:
            asked = [stack.enter_context(one) for one in witnesses_of(bureau.served.registry.home)]
            bureau.served.registry.ask_witnesses(asked)
        yield found


def test_a_peer_mirrors_what_it_cosigns(bureaus: list[Bureau]) -> None:
    one, two = bureaus
    claimant = Claimant.new()
    claimant.register(one.remote)
    found = entered_hash(one.remote, claimant.sign(body := model(), handling=Handling(label="bureaus")))
    with one.served.remote(key=claimant.key) as own:
        assert own.checked_receipt(found, one.served.policy).not_after is not None
    with two.served.registry.database.reading() as connection:
        mirrored = find_entry(connection, found)
    assert mirrored is not None
    assert (mirrored.origin, mirrored.fault, mirrored.envelope is not None) == ("bureau.example/one", None, True)
    # whoever may see it is told so by the mirror too, and nobody else
    assert two.remote.entry(found)["withheld"] == "handling"
    assert list(two.remote.named(body.name)) == []
    with two.served.remote(key=one.served.registry.home.bureau_key()) as peer:
        assert peer.entry(found)["content"] is not None


def test_one_key_at_two_bureaus_is_two_organisations(bureaus: list[Bureau]) -> None:
    one, two = bureaus
    elsewhere = Claimant.new()
    elsewhere.register(two.remote)
    one.federation.sync()
    here = Claimant(key=elsewhere.key, name="Northwind Labs at home")
    made = here.register(one.remote)
    assert one.remote.organisation_of(here.key.id) == made
    own = Handling(label="own")
    found = {
        bureau.served.registry.origin: entered_hash(bureau.remote, claimant.sign(model(), handling=own))
        for bureau, claimant in ((one, here), (two, elsewhere))
    }
    for look in (*one.federation.sync(), *two.federation.sync()):
        assert look.problem is None
    for bureau in bureaus:
        with bureau.served.remote(key=here.key) as asking:
            assert asking.entry(found[bureau.served.registry.origin])["content"] is not None
            others = next(digest for origin, digest in found.items() if origin != bureau.served.registry.origin)
            assert asking.entry(others)["withheld"] is not None


def test_each_looks_at_the_other(bureaus: list[Bureau]) -> None:
    one, two = bureaus
    claimant = Claimant.new()
    organisation = claimant.register(two.remote)
    (look,) = one.federation.sync()
    assert (look.origin, look.problem) == ("bureau.example/two", None)
    assert look.size == two.served.registry.log.size
    shown = one.served.client().get(f"/api/organisations/{entry_id(organisation)}").json()
    assert shown["home"] == "bureau.example/two"
    assert one.remote.organisation_of(claimant.key.id) is None  # in the log of this registry it signs nothing
    figures = {bureau["origin"] for bureau in one.served.client().get("/api/statistics").json()["bureaus"]}
    assert figures == {"bureau.example/one", "bureau.example/two"}
