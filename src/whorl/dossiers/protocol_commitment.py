"""The commitment to a protocol in a registry: what shows others when it was fixed, and that it was this one.

It is the commitment to a sealed list of one member, whose salt and secret follow from the protocol itself. The code key
it commits to is behind 32 unpredictable bytes, so nobody who sees the root can try protocols; and whoever has the
protocol needs nothing else to make the root again.
"""

from whorl.core.digest import canonical_json
from whorl.core.errors import VerificationError
from whorl.dossiers.events import Protocol
from whorl.entries.kinds import Body, Commitment
from whorl.entries.sealed_list import SealedMember, sealed_root


def protocol_root(protocol: Protocol) -> str:
    """Hex root that a commitment to the protocol states.

    The secret is the protocol in canonical JSON (RFC 8785), the salt the 32 bytes of its code key's commitment.
    """
    secret = canonical_json(protocol.model_dump(mode="json"))
    return sealed_root([SealedMember(salt=bytes.fromhex(protocol.code_key_commitment), secret=secret)]).hex()


def commitment_to(protocol: Protocol, *, expires: str) -> Commitment:
    """What is entered in the registry before the protocol is fixed in the case."""
    return Commitment(root=protocol_root(protocol), count=1, purpose="protocol", expires=expires)


def require_commitment_to(protocol: Protocol, body: Body) -> None:
    """Check that an entry commits to this protocol.

    Raises
    ------
    VerificationError
        If it is no commitment, or one to something else.
    """
    if not isinstance(body, Commitment) or body.purpose != "protocol":
        raise VerificationError(
            "expected a commitment to the case's protocol, found an entry of another kind or purpose"
        )
    root = protocol_root(protocol)
    if (body.root, body.count) != (root, 1):
        raise VerificationError(
            f"expected the commitment to the protocol of this case (root {root[:16]}...), found one to something else "
            f"(root {body.root[:16]}... of {body.count}): the protocol was changed after it was committed to"
        )
