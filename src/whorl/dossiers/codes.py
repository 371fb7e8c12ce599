"""The code key: which model each code of a line-up stands for, committed to before, shown after the analysis.

The commitment is salted, so nobody can find the key by trying the few ways in which known models can be dealt out.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from whorl.core.digest import canonical_json
from whorl.core.errors import VerificationError
from whorl.dossiers.events import CodedMember

_TAG: Final = b"whorl/code-key/v1\0"


def code_key_commitment(salt: bytes, members: Sequence[CodedMember]) -> str:
    """Hex SHA-256 that the protocol states.

    Parameters
    ----------
    salt : 32 unpredictable bytes
    members : all of the line-up; their order does not matter
    """
    listed = [member.model_dump(mode="json") for member in sorted(members, key=lambda member: _number(member.code))]
    return hashlib.sha256(_TAG + salt + canonical_json(listed)).hexdigest()


def require_committed(commitment: str, *, salt: bytes, members: Sequence[CodedMember]) -> None:
    """Check that a code key is the one that was committed to.

    Raises
    ------
    VerificationError
        If it is another: a name, a role or a digest was changed after the protocol was frozen.
    """
    found = code_key_commitment(salt, members)
    if found != commitment:
        raise VerificationError(
            f"expected the code key that was committed to ({commitment[:16]}...), found another ({found[:16]}...): "
            "which model stands for which code was changed after the protocol was frozen"
        )


def _number(code: str) -> int:
    return int(code.partition("-")[2])
