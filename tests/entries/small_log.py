"""A log in memory, with witnesses, that gives receipts: what a bureau does, in the fewest lines."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from whorl.entries.handling import CLEAR, Handling
from whorl.entries.keys import IssuerKey, encode_public
from whorl.entries.kinds import Body, IssuerPublic, Kind, Model, Organisation, StatusMapHead
from whorl.entries.leaf import NO_HASH, Leaf
from whorl.entries.receipt import StoredEntry, StoredStatus, write_receipt
from whorl.entries.statement import Statement, open_entry
from whorl.entries.status_map import StatusMap
from whorl.entries.subject import subject_of
from whorl.log.keys import Signer, signer_from_bytes
from whorl.log.merkle import inclusion_path
from whorl.log.notes import Note
from whorl.log.policy import Group, KnownLog, KnownWitness, Policy
from whorl.log.proofs import Proof
from whorl.log.small_tree import SmallTree
from whorl.log.tree_heads import TreeHead, sign_tree_head

START = 1_790_000_000
DIGEST = "ab" * 32
MODEL = Model(publisher="Northwind Labs", name="lumen-1", content=f"sha256:{DIGEST}")


def counting_bytes(start: int = 1) -> Callable[[int], bytes]:
    """Bytes that are different at each call and the same in every run."""
    count = start

    def draw(length: int) -> bytes:
        nonlocal count
        count += 1
        return count.to_bytes(length, "big")

    return draw


def issuer_public(key: IssuerKey) -> IssuerPublic:
    texts = [encode_public(public) for public in key.public_keys]
    return IssuerPublic(ed25519=texts[0], mldsa44=texts[1] if len(texts) > 1 else None)


def organisation(*keys: IssuerKey, name: str = "Northwind Labs", threshold: int = 1) -> Organisation:
    roots = tuple(issuer_public(key) for key in keys)
    return Organisation(name=name, jurisdiction="NL", roots=roots, threshold=threshold)


@dataclass
class Issuer:
    """A key and how far its chain has come."""

    key: IssuerKey
    log: str = "bureau.example/one"
    sequence: int = 0
    previous: bytes = NO_HASH

    def statement(
        self, kind: Kind, body: Body, *, target: bytes = NO_HASH, handling: Handling = CLEAR, after: str | None = None
    ) -> Statement:
        name, digest = subject_of(body, body.model_dump(mode="json"))
        return Statement(
            kind=kind,
            name=name,
            digest=digest,
            log=self.log,
            issuer=self.key.id,
            sequence=self.sequence,
            previous=self.previous,
            target=target,
            issued_at=datetime.fromtimestamp(START, UTC),
            handling=handling,
            after=after,
            body=body,
        )


@dataclass
class SmallLog:
    """Leaves in order, what was entered, and the keys of the log and its witnesses."""

    origin: str = "bureau.example/one"
    witnesses: int = 3
    clock: int = START
    salts: Callable[[int], bytes] = field(default_factory=counting_bytes)
    leaves: list[Leaf] = field(default_factory=list)
    contents: list[tuple[bytes, bytes]] = field(default_factory=list)

    @property
    def signers(self) -> list[Signer]:
        number = sum(self.origin.encode())
        return [
            signer_from_bytes(self.origin, "ed25519", number.to_bytes(32, "big")),
            signer_from_bytes(self.origin, "cosignature_mldsa44", number.to_bytes(32, "little")),
        ]

    @property
    def witness_signers(self) -> list[Signer]:
        return [
            signer_from_bytes(f"witness.example/{number}", "cosignature_ed25519", bytes([number + 100]) * 32)
            for number in range(self.witnesses)
        ]

    def policy(self, *others: "SmallLog", quorum: int = 2) -> Policy:
        names = tuple(f"w{number}" for number in range(self.witnesses))
        return Policy(
            logs=tuple(KnownLog(verifier=signer.verifier) for log in (self, *others) for signer in log.signers),
            witnesses=tuple(
                KnownWitness(name=name, verifier=signer.verifier)
                for name, signer in zip(names, self.witness_signers, strict=True)
            ),
            groups=(Group(name="most", threshold=quorum, members=names),),
            quorum="most",
        )

    def enter(
        self,
        issuer: Issuer,
        kind: Kind,
        body: Body,
        *,
        target: bytes = NO_HASH,
        cosigners: Sequence[IssuerKey] = (),
        after: str | None = None,
    ) -> Leaf:
        envelope = issuer.statement(kind, body, target=target, after=after).sign(issuer.key, cosigners=cosigners)
        salt = self.salts(32)
        leaf = open_entry(envelope).leaf(salt)
        self.append(leaf, envelope, salt)
        issuer.sequence += 1
        issuer.previous = leaf.hash
        return leaf

    def append(self, leaf: Leaf, envelope: bytes, salt: bytes) -> None:
        self.leaves.append(leaf)
        self.contents.append((envelope, salt))

    def tree_head(self, *, cosigned_by: Sequence[int] | None = None) -> bytes:
        tree = SmallTree([leaf.hash for leaf in self.leaves])
        head = TreeHead(origin=self.origin, size=len(self.leaves), root=tree.root)
        note = sign_tree_head(head, self.signers, at=self.clock)
        chosen = range(self.witnesses) if cosigned_by is None else cosigned_by
        cosignatures = tuple(
            self.witness_signers[number].sign(note.text.encode(), at=self.clock + number) for number in chosen
        )
        return Note(text=note.text, signatures=(*note.signatures, *cosignatures)).to_bytes()

    def stored(self, index: int, head: bytes | None = None) -> StoredEntry:
        tree = SmallTree([leaf.hash for leaf in self.leaves])
        proof = Proof(
            index=index,
            path=inclusion_path(tree.read, index, len(self.leaves)),
            tree_head_note=head or self.tree_head(),
        )
        envelope, salt = self.contents[index]
        return StoredEntry(
            leaf=base64.b64encode(self.leaves[index].to_bytes()).decode(),
            envelope=base64.b64encode(envelope).decode(),
            salt=salt.hex(),
            proof=proof.to_text(),
        )

    def enter_map(self, bureau: Issuer, statuses: dict[bytes, bytes]) -> StatusMap:
        status_map = StatusMap(statuses)
        head = StatusMapHead(root=status_map.root.hex(), size=status_map.size, log_size=len(self.leaves))
        self.enter(bureau, "statusmap", head)
        return status_map

    def receipt(
        self, index: int, *, authority: Sequence[int] = (0,), status: StatusMap | None = None, map_index: int = -1
    ) -> bytes:
        stored_status = None
        if status is not None:
            place = map_index % len(self.leaves)
            stored_status = StoredStatus(
                map=self.stored(place),
                authority=(self.stored(0),),
                proof=status.prove(self.leaves[index].hash),
            )
        return write_receipt(self.stored(index), [self.stored(one) for one in authority], stored_status)
