"""The code key: the commitment holds for one key alone, in any order, and shows nothing without its salt."""

import hashlib

import played_case as played
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whorl.core.errors import VerificationError
from whorl.dossiers.codes import code_key_commitment, require_committed
from whorl.dossiers.events import CodedMember


def test_known_answer() -> None:
    member = CodedMember(code="M-1", role="decoy", name="d", digest=None)
    text = b'[{"code":"M-1","digest":null,"endpoint":null,"name":"d","role":"decoy"}]'
    expected = hashlib.sha256(b"whorl/code-key/v1\0" + bytes(32) + text).hexdigest()
    assert code_key_commitment(bytes(32), [member]) == expected


@given(st.permutations(played.MEMBERS))
def test_the_order_does_not_matter(members: list[CodedMember]) -> None:
    commitment = code_key_commitment(played.SALT, played.MEMBERS)
    require_committed(commitment, salt=played.SALT, members=members)


@given(
    st.sampled_from(range(6)), st.sampled_from(["code", "role", "name", "digest"]), st.binary(min_size=32, max_size=32)
)
def test_any_change_is_found(place: int, field: str, salt: bytes) -> None:
    commitment = code_key_commitment(played.SALT, played.MEMBERS)
    other = {"code": "M-9", "role": "reference", "name": "other", "digest": played.digest("other")}
    if getattr(played.MEMBERS[place], field) != other[field]:
        members = list(played.MEMBERS)
        members[place] = members[place].model_copy(update={field: other[field]})
        with pytest.raises(VerificationError, match="expected the code key that was committed to"):
            require_committed(commitment, salt=played.SALT, members=members)
    if salt != played.SALT:
        with pytest.raises(VerificationError):
            require_committed(commitment, salt=salt, members=played.MEMBERS)
