"""Who may do what, through the API: a token signs nothing, labels hide content, nobody judges their own case."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from served import (
    Claimant,
    Served,
    SteppedClock,
    digest,
    entered_hash,
    entry_body,
    error_of,
    model,
    serving,
    wait_for,
)

from whorl.core.errors import VerificationError
from whorl.entries.handling import Handling
from whorl.entries.kinds import Bureau, Notice, Policy, Response, Status
from whorl.entries.leaf import entry_id
from whorl.entries.receipt import parse_receipt, verify_receipt
from whorl.registry.public_keys import issuer_public
from whorl.registry.refusals import Refusal
from whorl.registry.service_answers import RemoteError


def token_of(served: Served, claimant: Claimant, *scopes: str, **options: Any) -> str:
    with served.remote(key=claimant.key) as remote:
        expires_at = options.pop("expires_at", served.registry.now() + timedelta(days=1))
        return remote.issue_token(scopes=scopes or ["read", "submit"], label="test", expires_at=expires_at, **options)


@contextmanager
def bearing(served: Served, token: str) -> Iterator[Any]:
    with served.client(headers={"Authorization": f"Bearer {token}"}) as client:
        yield client


def test_a_stolen_token_forges_no_entry(served: Served) -> None:
    victim, thief = Claimant.new(), Claimant.new("Meridian AI")
    victim.register(served.registry)
    token = token_of(served, victim)
    with bearing(served, token) as client, served.remote() as remote:
        before = remote.chain(victim.key.id)
        # (1) in the victim's name, signed with the thief's key: somebody else's signature is none
        forged = Claimant(key=thief.key, chain=victim.chain).sign(model())
        document = json.loads(forged.envelope)
        statement = json.loads(base64.b64decode(document["payload"]))
        statement["predicate"]["issuer"] = victim.key.id.hex()
        document["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
        for named in (victim.key.id.hex(), thief.key.id.hex()):
            document["signatures"][0]["keyid"] = named
            envelope = base64.b64encode(json.dumps(document).encode()).decode()
            answer = client.post("/api/entries", json={"entries": [{"envelope": envelope, "salt": "00" * 32}]})
            assert answer.status_code == 207
            assert answer.json()["results"][0]["error"]["code"] in ("bad_signature", "missing_signature")
        # (2) a further key for the victim's organisation, signed by the thief
        refused = client.post("/api/entries", content=entry_body(thief.sign(model())))
        assert refused.json()["results"][0]["error"]["code"] == "unknown_issuer"
        # (3) a longer life: the token issues no token, and lists none
        asked = {"scopes": ["read"], "label": "more", "expires_at": "2030-01-01T00:00:00Z"}
        assert error_of(client.post("/api/tokens", json=asked)) == (403, "forbidden")
        assert error_of(client.get("/api/tokens")) == (403, "forbidden")
        assert remote.chain(victim.key.id) == before
        # the victim goes on, and ends the token
        assert client.post("/api/entries", content=entry_body(victim.sign(model()))).status_code == 201
    with served.remote(key=victim.key) as remote:
        (line,) = remote.tokens()
        remote.revoke_token(line["id"])
    with bearing(served, token) as client:
        assert error_of(client.get(f"/api/entries/{'a' * 52}")) == (401, "unauthenticated")


def test_a_token_ends_when_it_says_and_where_it_may_not_be_used(folder: Path) -> None:
    clock = SteppedClock()
    with serving(folder, now=clock) as served:
        claimant = Claimant.new()
        claimant.register(served.registry)
        clock.at += timedelta(seconds=2)
        token = token_of(served, claimant, expires_at=clock.at + timedelta(hours=1))
        elsewhere = token_of(served, claimant, network="192.0.2.0/24")
        with bearing(served, elsewhere) as client:
            assert error_of(client.get(f"/api/entries/{'a' * 52}")) == (401, "unauthenticated")
        with bearing(served, token) as client:
            assert error_of(client.get(f"/api/entries/{'a' * 52}")) == (404, "unknown")
            clock.at += timedelta(hours=1)
            assert error_of(client.get(f"/api/entries/{'a' * 52}")) == (401, "unauthenticated")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"scopes": []}, (422, "malformed")),
        ({"scopes": ["everything"]}, (422, "malformed")),
        ({"scopes": ["audit"]}, (403, "forbidden")),
        ({"scopes": ["read", "administer"]}, (403, "forbidden")),
        ({"expires_at": "2020-01-01T00:00:00Z"}, (422, "malformed")),
        ({"expires_at": "2999-01-01T00:00:00Z"}, (422, "malformed")),
        ({"expires_at": "soon"}, (422, "malformed")),
        ({"network": "everywhere"}, (422, "malformed")),
        ({"label": ""}, (422, "malformed")),
    ],
)
def test_a_token_that_may_not_be_is_not_issued(served: Served, changes: dict[str, Any], code: tuple[int, str]) -> None:
    claimant = Claimant.new()
    claimant.register(served.registry)
    asked = {"scopes": ["read"], "label": "test", "expires_at": "2027-01-01T00:00:00Z", **changes}
    with served.remote(key=claimant.key) as remote, pytest.raises(RemoteError) as refused:
        remote._document(
            "POST", "/api/tokens", body=json.dumps(asked).encode(), content_type="application/json", signed=True
        )
    assert (refused.value.status, refused.value.code) == code


def test_only_root_keys_issue_tokens(served: Served) -> None:
    claimant = Claimant.new()
    organisation = claimant.register(served.registry)
    submitter = claimant.with_key(served.registry, organisation, "submitter")
    with served.remote(key=submitter.key) as remote, pytest.raises(RemoteError) as refused:
        remote.issue_token(scopes=["read"], label="test", expires_at=datetime.now(UTC) + timedelta(days=1))
    assert refused.value.status == 403


def test_the_bureau_reads_the_audit_trail_and_ends_tokens(served: Served) -> None:
    claimant = Claimant.new()
    with served.remote() as remote:
        claimant.register(remote)
    bureau = Claimant(key=served.registry.home.bureau_key(), name="Harbour Bureau")
    theirs = token_of(served, claimant)
    ours = token_of(served, bureau, "audit", "administer")
    with bearing(served, theirs) as client:
        assert error_of(client.get("/api/audit")) == (403, "forbidden")
        refused = Claimant(key=claimant.key, chain=(9, b"\1" * 32)).sign(model())
        client.post("/api/entries", content=entry_body(refused))
    with bearing(served, "whorl_" + "b" * 52) as client:
        client.get(f"/api/entries/{'a' * 52}")
    with bearing(served, ours) as client:
        expected = {
            ("enter", "entered"),
            ("issue token", "issued"),
            ("ask", "allowed"),
            ("refuse", "gap"),
            ("deny", "unauthenticated"),
        }
        wait_for(lambda: expected <= {(line["action"], line["outcome"]) for line in audit_lines(client)})
        lines = audit_lines(client)
        assert not any(theirs in json.dumps(line) for line in lines)  # no token is ever told
        (token_id,) = {line["actor"].removeprefix("token ") for line in lines if line["outcome"] == "gap"}
        assert client.delete(f"/api/tokens/{token_id}").status_code == 204
        assert error_of(client.delete(f"/api/tokens/{token_id}")) == (404, "unknown")
    with bearing(served, theirs) as client:
        assert error_of(client.get("/api/audit")) == (401, "unauthenticated")


def audit_lines(client: Any) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = client.get("/api/audit").json()["lines"]
    return lines


def test_a_bearer_can_end_its_own_token_and_nobody_elses(served: Served) -> None:
    one, other = Claimant.new(), Claimant.new("Meridian AI")
    for claimant in (one, other):
        claimant.register(served.registry)
    tokens = [token_of(served, claimant) for claimant in (one, other)]
    with served.remote(key=one.key) as remote, served.remote(key=other.key) as others:
        ids = {claimant.name: line["id"] for claimant, by in ((one, remote), (other, others)) for line in by.tokens()}
        with pytest.raises(RemoteError) as refused:
            others.revoke_token(ids["Northwind Labs"])
        assert refused.value.status == 404
    with bearing(served, tokens[0]) as client:
        assert error_of(client.delete(f"/api/tokens/{ids['Meridian AI']}")) == (403, "forbidden")
        assert client.delete(f"/api/tokens/{ids['Northwind Labs']}").status_code == 204
        assert error_of(client.delete(f"/api/tokens/{ids['Northwind Labs']}")) == (401, "unauthenticated")


LABELS = {
    "own": (Handling(label="own"), False),
    "named, nobody": (Handling(label="named"), False),
    "bureaus": (Handling(label="bureaus"), False),
    "clear": (Handling(label="clear"), True),
}


@pytest.mark.parametrize("name", LABELS)
def test_content_is_shown_to_whom_its_label_allows(served: Served, name: str) -> None:
    handling, is_public = LABELS[name]
    claimant, other = Claimant.new(), Claimant.new("Meridian AI")
    for one in (claimant, other):
        one.register(served.registry)
    body = model(name="Hidden Lumen")
    with served.remote() as anybody, served.remote(key=claimant.key) as owner, served.remote(key=other.key) as rival:
        found = entered_hash(anybody, claimant.sign(body, handling=handling))
        index = anybody.entry(found)["index"]
        for remote, sees in ((anybody, is_public), (rival, is_public), (owner, True)):
            shown = remote.entry(found)
            assert (shown["content"] is not None) is sees
            assert shown["withheld"] == (None if sees else "handling")
            assert [line["id"] for line in remote.named("hidden")] == ([entry_id(found)] if sees else [])
            named = remote._document("GET", f"/api/digests/{body.content}", signed=True)
            assert bool(named["claims"]) is sees
            assert (remote.contents(index, index + 1)[0] is not None) is sees
            receipt = parse_receipt(remote.receipt(found), origin="here")
            assert (receipt.entry.envelope is not None) is sees
        assert body.name not in json.dumps(anybody.entry(found)) or is_public
        if not is_public:
            with pytest.raises(VerificationError, match="content is not in the receipt"):
                verify_receipt(parse_receipt(anybody.receipt(found), origin="here"), served.policy)
        assert owner.checked_receipt(found, served.policy).claimant.name == "Northwind Labs"


def test_named_recipients_see_content_and_its_blobs(served: Served) -> None:
    from whorl.entries.kinds import Fingerprint

    claimant, friend, other = Claimant.new(), Claimant.new("Meridian AI"), Claimant.new("Harbour Models")
    for one in (claimant, friend, other):
        one.register(served.registry)
    handling = Handling(label="named", recipients=(friend.key.id.hex(),))
    content = digest()
    with served.remote(key=claimant.key) as owner:
        blob = owner.put_blob([b"secret"])
        target = entered_hash(owner, claimant.sign(model(content=content), handling=handling))
        body = Fingerprint(method="test/1", model_content=content, blob=blob.digest, tool="test 1")
        entered_hash(owner, claimant.sign(body, target=target, handling=handling))
    with served.remote(key=friend.key) as remote:
        assert remote.blob(blob.digest) == b"secret"
        assert remote.entry(target)["content"] is not None
    for unknown in (served.remote(), served.remote(key=other.key)):
        with unknown as remote, pytest.raises(RemoteError, match="none"):
            remote.blob(blob.digest)


@pytest.fixture
def accused(served: Served) -> Iterator[dict[str, Any]]:
    """Northwind Labs asks publicly about a model of Meridian AI; nobody has reviewed the notice."""
    accuser, accused = Claimant.new(), Claimant.new("Meridian AI")
    with served.remote() as remote:
        for one in (accuser, accused):
            one.register(remote)
        target = entered_hash(remote, accused.sign(model("Meridian AI", name="orion-1")))
        notice = entered_hash(
            remote,
            accuser.sign(Notice(colour="blue", title="A question", text="Where is it from?"), target=target),
        )
        yield {"accuser": accuser, "accused": accused, "target": target, "notice": notice, "remote": remote}


def test_a_notice_is_shown_to_its_parties_before_it_is_published(served: Served, accused: dict[str, Any]) -> None:
    bystander = Claimant.new("Harbour Models")
    bystander.register(served.registry)
    for key, sees in (
        (None, False),
        (bystander.key, False),
        (accused["accuser"].key, True),
        (accused["accused"].key, True),
        (served.registry.home.bureau_key(), True),
    ):
        with served.remote(key=key) as remote:
            shown = remote.entry(accused["notice"])
            assert (shown["content"] is not None) is sees
            assert shown["notice"]["state"] == "filed"
            assert (shown["notice"]["title"] == "A question") is sees
            (told,) = remote.entry(accused["target"])["notices"]
            assert (told["title"] == "A question") is sees
            listed = list(remote._document("GET", "/api/entries?kind=notice", signed=True)["entries"])
            assert bool(listed) is sees


def test_nobody_files_and_reviews_the_same_case(served: Served, accused: dict[str, Any]) -> None:
    remote = accused["remote"]
    vote = Status(state="reviewed", reason="It is well founded.")
    for one in (accused["accuser"], accused["accused"]):
        (outcome,) = remote.enter([one.sign(vote, target=accused["notice"])])
        assert isinstance(outcome, Refusal)
        assert outcome.code == "own_case"
        one.chain = remote.chain(one.key.id)
    bureau = Claimant(key=served.registry.home.bureau_key(), chain=remote.chain(served.registry.home.bureau_key().id))
    (outcome,) = remote.enter([bureau.sign(vote, target=accused["notice"])])
    assert isinstance(outcome, Refusal)
    assert outcome.code == "not_eligible"  # at home with both sides
    assert remote.entry(accused["notice"])["notice"]["state"] == "filed"


def test_only_who_is_named_replies(served: Served, accused: dict[str, Any]) -> None:
    remote, bystander = accused["remote"], Claimant.new("Harbour Models")
    bystander.register(remote)
    reply = Response(text="We trained it ourselves.")
    (refused,) = remote.enter([bystander.sign(reply, target=accused["notice"])])
    assert isinstance(refused, Refusal)
    assert refused.code == "not_a_party"
    found = entered_hash(remote, accused["accused"].sign(reply, target=accused["notice"]))
    assert remote.entry(found)["content"] is not None


def test_a_peer_is_known_by_its_key_before_its_log_is_mirrored(served: Served) -> None:
    peer = Claimant.new("Bureau Two")
    bureau = Claimant(key=served.registry.home.bureau_key())
    with served.remote() as remote:
        claimant = Claimant.new()
        claimant.register(remote)
        found = entered_hash(remote, claimant.sign(model(), handling=Handling(label="bureaus")))
        bureau.chain = remote.chain(bureau.key.id)
        policy = Policy(
            bureau=Bureau(
                origin=served.registry.origin,
                jurisdiction="NL",
                log_keys=served.registry.home.settings.log_keys,
                organisation=bureau.key.id.hex(),
            ),
            peers=(
                Bureau(
                    origin="bureau.example/two",
                    jurisdiction="FR",
                    log_keys=("bureau.example/two+00000000+key",),
                    organisation=peer.key.id.hex(),
                ),
            ),
        )
        with served.remote(key=peer.key) as peers:
            index = remote.entry(found)["index"]
            assert peers.contents(index, index + 1) == [None]  # nobody yet: what anybody may see is given
            entered_hash(remote, bureau.sign(policy))
            assert peers.contents(index, index + 1) != [None]
            with pytest.raises(RemoteError):
                peers.put_blob([b"it may read, not hand in"])
    assert issuer_public(peer.key)
