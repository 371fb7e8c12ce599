"""Bulk import: the same log as entering one by one, begun again without harm, and no bad line goes unsaid."""

import base64
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from bureaus import Clock
from hypothesis import given
from hypothesis import strategies as st
from small_log import counting_bytes

from whorl.core.errors import InputError
from whorl.entries.composing import compose
from whorl.entries.keys import IssuerKey, new_issuer_key
from whorl.entries.kinds import Body, Commitment, Fingerprint, Key, Model, Organisation
from whorl.entries.leaf import NO_HASH
from whorl.entries.statement import open_entry
from whorl.registry import importing
from whorl.registry.checking import check_registry
from whorl.registry.database_errors import RegistryError
from whorl.registry.entry_rows import entries_of_log, entries_with_digest
from whorl.registry.import_lines import (
    LINES_OF_CHUNK,
    MAX_LINE_BYTES,
    BadLine,
    LineOpener,
    _packed,
    chunks_of,
    unpacked,
)
from whorl.registry.importing import Imported, import_blobs, import_file
from whorl.registry.local import LocalRegistry, create_registry
from whorl.registry.public_keys import issuer_public
from whorl.registry.sequencer import Entered, Outcome, Sequencer
from whorl.registry.submissions import CheckedKey, Opened, RecordingKey, Submission

CONTENT = f"sha256:{'ab' * 32}"


@dataclass
class Catalogue:
    """Signed entries of issuers who made them elsewhere, each for a line of a file."""

    clock: Clock = field(default_factory=Clock)
    made: list[Submission] = field(default_factory=list)
    ends: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    random: Iterator[int] = field(default_factory=lambda: iter(range(10_000, 99_999)))

    def key(self, *, post_quantum: bool = False) -> IssuerKey:
        return new_issuer_key(counting_bytes(1000 * next(self.random)), post_quantum=post_quantum)

    def add(
        self,
        key: IssuerKey,
        body: Body,
        *,
        target: bytes = NO_HASH,
        sealed: bool = False,
        cosigners: Sequence[IssuerKey] = (),
    ) -> bytes:
        chain = None if sealed else self.ends.get(key.id)
        statement = compose(body, log="north.example/log", issuer=key.id, chain=chain, now=self.clock(), target=target)
        submission = Submission(
            envelope=statement.sign(key, cosigners=cosigners),
            salt=counting_bytes(next(self.random))(32),
            sealed=sealed,
        )
        digest = open_entry(submission.envelope).leaf(submission.salt).hash
        if not sealed:
            self.ends[key.id] = statement.sequence, digest
        self.made.append(submission)
        return digest

    def organisation(self, name: str, *, post_quantum: bool = False) -> tuple[IssuerKey, bytes]:
        key = self.key(post_quantum=post_quantum)
        return key, self.add(key, Organisation(name=name, jurisdiction="NL", roots=(issuer_public(key),)))

    def add_key(self, root: IssuerKey, key: IssuerKey, organisation: bytes) -> None:
        """Let the root key add another one, whose chain begins with that."""
        body = Key(action="add", public=issuer_public(key), roles=("submitter",))
        self.ends[key.id] = 0, self.add(root, body, target=organisation, cosigners=[key])

    def lines(self) -> list[bytes]:
        return [line_of(one) for one in self.made]


def line_of(one: Submission) -> bytes:
    document = {"envelope": base64.b64encode(one.envelope).decode(), "salt": one.salt.hex()}
    return json.dumps(document | ({"sealed": True} if one.sealed else {})).encode()


def model(number: int) -> Model:
    content = f"sha256:{hashlib.sha256(b'%d' % number).hexdigest()}"
    return Model(publisher="Northwind Labs", name=f"lumen-{number}", content=content)


def new_registry(folder: Path) -> LocalRegistry:
    return create_registry(
        folder,
        origin="north.example/log",
        bureau_name="Bureau north",
        jurisdiction="NL",
        now=Clock(),
        random_bytes=counting_bytes(1),
    )


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[LocalRegistry]:
    with new_registry(tmp_path / "north") as made:
        yield made


def catalogue_of_all_kinds(registry: LocalRegistry) -> Catalogue:
    """Keys that are added on the way, chains that cross, entries that need others of the same batch, sealed ones."""
    blob = registry.put_blob([b"a fingerprint"]).digest
    catalogue = Catalogue()
    root, organisation = catalogue.organisation("Northwind Labs", post_quantum=True)
    submitter = catalogue.key()
    catalogue.add_key(root, submitter, organisation)
    other, _ = catalogue.organisation("Meridian AI")
    for number in range(8):
        digest = catalogue.add(submitter, model(number))
        content = model(number).content
        assert content is not None
        taken = Fingerprint(method="whorl.weights/1", model_content=content, blob=blob, tool="whorl 1")
        catalogue.add(other, taken, target=digest)
        if number % 4 == 0:
            sealing = Commitment(root="ab" * 32, count=2, purpose="probes", expires="2030-01-01T00:00:00Z")
            catalogue.add(other, sealing)
        if number % 4 == 1:
            catalogue.add(other, model(100 + number), sealed=True)
    return catalogue


def written(tmp_path: Path, lines: Sequence[bytes], *, end: bytes = b"\n") -> Path:
    file = tmp_path / "catalogue.jsonl"
    file.write_bytes(b"\n".join(lines) + end)
    return file


def run(registry: LocalRegistry, file: Path, *, processes: int = 0) -> tuple[Imported, list[BadLine]]:
    refused: list[BadLine] = []
    imported = import_file(registry, file, processes=processes, refused=refused.append)
    assert len(refused) == imported.refused
    return imported, refused


def leaves(registry: LocalRegistry) -> list[tuple[str | None, bytes | None]]:
    """Kind and envelope of all entries but status maps, which come once for each batch."""
    with registry.database.reading() as connection:
        rows = entries_of_log(connection, registry.origin)
        return [(row.kind, row.envelope) for row in rows if row.kind != "statusmap"]


def require_sound(registry: LocalRegistry) -> None:
    assert check_registry(registry).problems == ()
    published = registry.log.published()
    assert published is not None
    assert published.size == registry.log.size


@pytest.mark.parametrize("batch", [3, 10_000])
def test_the_same_log_as_one_by_one(
    registry: LocalRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(importing, "BATCH", batch)
    catalogue = catalogue_of_all_kinds(registry)
    with new_registry(tmp_path / "one by one") as other:
        other.put_blob([b"a fingerprint"])
        for one in catalogue.made:
            (outcome,) = other.enter([one])
            assert isinstance(outcome, Entered)
        expected = leaves(other)[-len(catalogue.made) :]
    imported, refused = run(registry, written(tmp_path, catalogue.lines()))
    assert (imported, refused) == (Imported(entered=len(catalogue.made)), [])
    assert leaves(registry)[-len(catalogue.made) :] == expected
    require_sound(registry)
    with registry.database.reading() as connection:
        assert len(list(entries_with_digest(connection, str(model(3).content), role="content"))) == 1


def test_other_processes_open_the_lines(registry: LocalRegistry, tmp_path: Path) -> None:
    catalogue = catalogue_of_all_kinds(registry)
    lines = catalogue.lines()
    lines[7:7] = [b"no entry"]
    imported, refused = run(registry, written(tmp_path, lines), processes=2)
    assert imported == Imported(entered=len(catalogue.made), refused=1)
    assert [line.number for line in refused] == [8]
    assert run(registry, tmp_path / "catalogue.jsonl", processes=1)[0] == Imported(known=len(catalogue.made), refused=1)
    require_sound(registry)


def test_begun_again_nothing_is_entered_twice(registry: LocalRegistry, tmp_path: Path) -> None:
    catalogue = catalogue_of_all_kinds(registry)
    file = written(tmp_path, [*catalogue.lines(), *catalogue.lines()[-3:]])
    first, refused = run(registry, file)
    assert (first, refused) == (Imported(entered=len(catalogue.made), known=3), [])
    size = registry.log.size
    assert run(registry, file) == (Imported(known=len(catalogue.made) + 3), [])
    assert registry.log.size == size


@pytest.mark.parametrize("failing", ["before", "after"])
def test_interrupted_and_begun_again(
    registry: LocalRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """The disk fails in the third batch: before it is in the database, or after, when it is not in the log yet."""
    monkeypatch.setattr(importing, "BATCH", 5)
    catalogue = catalogue_of_all_kinds(registry)
    file = written(tmp_path, catalogue.lines())
    name = "_admit_all" if failing == "before" else "_append_rows"
    as_it_is = getattr(Sequencer, name)
    calls = iter(range(99))

    def fails(*arguments: object) -> object:
        if next(calls) == 2:
            raise OSError(28, "No space left on device")
        return as_it_is(*arguments)

    monkeypatch.setattr(Sequencer, name, fails)
    with pytest.raises(RegistryError, match="No space left"):
        run(registry, file)
    monkeypatch.setattr(Sequencer, name, as_it_is)
    imported, refused = run(registry, file)
    entered = 10 if failing == "before" else 15
    assert (imported.known, imported.entered, refused) == (entered, len(catalogue.made) - entered, [])
    assert [envelope for kind, envelope in leaves(registry)][-len(catalogue.made) :] == [
        one.envelope for one in catalogue.made
    ]
    require_sound(registry)


def test_each_bad_line_is_named_and_the_others_are_entered(registry: LocalRegistry, tmp_path: Path) -> None:
    catalogue = Catalogue()
    key, _ = catalogue.organisation("Northwind Labs")
    catalogue.add(key, model(1))
    good = catalogue.lines()
    stranger = Catalogue(random=iter(range(70_000, 80_000)))
    stranger.add(stranger.key(), model(2))
    later = Catalogue(ends={key.id: (5, b"p" * 32)}, random=iter(range(5, 99)))
    later.add(key, model(3))
    forged = json.loads(base64.b64decode(json.loads(good[1])["envelope"]))
    forged["signatures"][0]["sig"] = base64.b64encode(bytes(64)).decode()
    envelope = base64.b64encode(json.dumps(forged).encode()).decode()
    bad = {
        b"\xff\xfe": "JSON",
        b'{"envelope": "e30="}': "salt",
        json.dumps({"envelope": "e30=", "salt": "5d" * 32, "kind": "model"}).encode(): "kind",
        json.dumps({"envelope": "e30!", "salt": "5d" * 32}).encode(): "base64",
        json.dumps({"envelope": "e30=", "salt": "5d" * 32}).encode(): "DSSE envelope",
        json.dumps({"envelope": "AAAA" * (MAX_LINE_BYTES // 4 - 50), "salt": "5d" * 32}).encode(): "bytes of JSON",
        b" " * MAX_LINE_BYTES * 2: "longer line",
        stranger.lines()[0]: "unknown|an organisation of this log entered before",
        later.lines()[0]: "enter those between first",
        json.dumps({"envelope": envelope, "salt": "5d" * 32}).encode(): "not its own",
    }
    file = written(tmp_path, [good[0], b"", *bad, good[1][: len(good[1]) // 2], good[1]])
    imported, refused = run(registry, file)
    assert imported == Imported(entered=2, refused=len(bad) + 1)
    assert [line.number for line in refused] == list(range(3, len(bad) + 4))
    for line, words in zip(refused, bad.values(), strict=False):
        assert any(one in line.problem for one in words.split("|")), line
    require_sound(registry)


def test_a_file_that_is_cut_off_within_a_line(registry: LocalRegistry, tmp_path: Path) -> None:
    catalogue = catalogue_of_all_kinds(registry)
    lines = catalogue.lines()
    imported, refused = run(registry, written(tmp_path, [*lines[:-1], lines[-1][:-20]], end=b""))
    assert imported == Imported(entered=len(lines) - 1, refused=1)
    assert refused[0].number == len(lines)


def test_a_key_that_is_revoked_on_the_way_signs_nothing_after(registry: LocalRegistry, tmp_path: Path) -> None:
    """Though all signatures were checked beforehand: they hold, and the rules refuse the entries all the same."""
    catalogue = Catalogue()
    root, organisation = catalogue.organisation("Northwind Labs")
    key = catalogue.key()
    catalogue.add_key(root, key, organisation)
    catalogue.add(key, model(1))
    catalogue.add(root, Key(action="revoke", public=issuer_public(key), reason="lost"), target=organisation)
    catalogue.add(key, model(2))
    imported, refused = run(registry, written(tmp_path, catalogue.lines()))
    assert imported == Imported(entered=4, refused=1)
    assert "revoked at index" in refused[0].problem


def test_a_batch_is_bounded_in_bytes(registry: LocalRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BATCH_BYTES", 3000)
    catalogue = catalogue_of_all_kinds(registry)
    sizes: list[int] = []
    as_it_is = Sequencer.enter_opened

    def counted(self: Sequencer, handed: Sequence[Opened]) -> list[Outcome]:
        sizes.append(sum(len(one.submission.envelope) for one in handed))
        return as_it_is(self, handed)

    monkeypatch.setattr(Sequencer, "enter_opened", counted)
    run(registry, written(tmp_path, catalogue.lines()))
    largest = max(len(one.envelope) for one in catalogue.made)
    assert len(sizes) > 3
    assert max(sizes) < 3000 + largest


def test_blobs_come_first_and_once(registry: LocalRegistry, tmp_path: Path) -> None:
    folder = tmp_path / "blobs"
    folder.mkdir()
    (folder / "one").write_bytes(b"a fingerprint")
    (folder / "two").write_bytes(b"another")
    assert import_blobs(registry, folder) == 2
    assert import_blobs(registry, folder) == 0
    assert registry.blob(f"sha256:{hashlib.sha256(b'another').hexdigest()}") == b"another"
    (folder / "three").mkdir()
    with pytest.raises(InputError, match="found a folder"):
        import_blobs(registry, folder)
    with pytest.raises(InputError, match="expected a folder of blobs"):
        import_blobs(registry, tmp_path / "nowhere")


@given(
    lines=st.lists(st.binary(max_size=40).map(lambda data: data.replace(b"\n", b"")), max_size=40),
    times=st.integers(1, 40),
)
def test_chunks_are_the_lines_of_the_file(lines: list[bytes], times: int) -> None:
    lines = lines * times
    data = b"\n".join(lines)
    chunks = list(chunks_of(io.BytesIO(data)))
    found = [one for chunk in chunks for one in chunk.lines]
    expected = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    assert [(number, line and line.rstrip(b"\n")) for number, line in found] == expected
    assert all(len(chunk.lines) <= LINES_OF_CHUNK for chunk in chunks)
    assert chunks[-1].end == len(data)


def test_lines_survive_the_way_between_processes(registry: LocalRegistry) -> None:
    catalogue = catalogue_of_all_kinds(registry)
    run_of = b"\n".join([*catalogue.lines(), b"no entry"])
    opener = LineOpener(registry.database, origin=registry.origin)
    lines = [line for chunk in chunks_of(io.BytesIO(run_of)) for line in opener.open(chunk)]
    assert [unpacked(_packed(line)) for line in lines] == lines
    assert sum(bool(getattr(line, "opened", None) and line.opened.held) for line in lines) == len(catalogue.made)


@given(data=st.data(), message=st.binary(max_size=50))
def test_a_checked_key_knows_exactly_what_was_checked(data: st.DataObject, message: bytes) -> None:
    key = new_issuer_key(counting_bytes(5), post_quantum=False).ed25519
    signature = key.sign(message)
    recorded = RecordingKey(algorithm="ed25519", public=key.public.public, held=[])
    assert recorded.holds(signature, message)
    assert not recorded.holds(bytes(64), message)
    checked = CheckedKey(algorithm="ed25519", public=key.public.public, held=frozenset(recorded.held))
    assert checked.id == key.public.id
    other_message = data.draw(st.one_of(st.just(message), st.binary(max_size=50)))
    other_signature = data.draw(st.one_of(st.just(signature), st.binary(min_size=64, max_size=64)))
    assert checked.holds(other_signature, other_message) == key.public.holds(other_signature, other_message)
    stranger = new_issuer_key(counting_bytes(99), post_quantum=False).ed25519.public
    known = CheckedKey(algorithm="ed25519", public=stranger.public, held=frozenset(recorded.held))
    assert not known.holds(signature, message)


def test_what_was_checked_is_not_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    key = new_issuer_key(counting_bytes(5), post_quantum=False).ed25519
    recorded = RecordingKey(algorithm="ed25519", public=key.public.public, held=[])
    signature = key.sign(b"said")
    assert recorded.holds(signature, b"said")
    monkeypatch.setattr("whorl.entries.keys._holds", lambda *_: pytest.fail("it was checked again"))
    assert CheckedKey(algorithm="ed25519", public=key.public.public, held=set(recorded.held)).holds(signature, b"said")
