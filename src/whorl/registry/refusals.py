"""Why an entry is not admitted: a code that programs can rely on, and a sentence for people."""

from typing import Final, Literal, TypeAlias

from whorl.core.errors import InputError

Code: TypeAlias = Literal[
    "leaf_mismatch",
    "unknown_issuer",
    "malformed_key",
    "bad_signature",
    "missing_signature",
    "too_few_roots",
    "key_expired",
    "key_revoked",
    "role",
    "wrong_log",
    "replay",
    "equivocation",
    "wrong_previous",
    "gap",
    "from_the_future",
    "no_policy",
    "not_the_bureau",
    "wrong_policy",
    "wrong_status_map",
    "key_known",
    "key_unknown",
    "last_roots",
    "unknown_target",
    "wrong_target",
    "not_readable",
    "not_yet_readable",
    "not_own",
    "other_content",
    "too_many_commitments",
    "expired",
    "wrong_members",
    "own_case",
    "not_a_party",
    "not_eligible",
    "unknown_entry",
    "wrong_evidence",
    "old_evidence",
    "own_model",
    "no_content",
    "examiners",
    "overstated",
    "multiplicity",
    "claim_stands",
    "claim_made_before",
    "sealed_chain",
    "sealed_kind",
    "not_public",
    "blob_missing",
    "blob_differs",
]

# What entries of other logs, which a mirror has not read yet, can still put right.
_CURABLE: Final[frozenset[Code]] = frozenset(
    {
        "unknown_target",
        "unknown_entry",
        "not_yet_readable",
        "not_a_party",
        "examiners",
        "old_evidence",
        "claim_stands",
    }
)

# What a mirror that knows more of other logs than the bureau did, was shown less, or has another clock, may judge
# differently.
_UNCERTAIN: Final[frozenset[Code]] = frozenset(
    {
        "key_expired",
        "from_the_future",
        "expired",
        "too_many_commitments",
        "examiners",
        "old_evidence",
        "claim_stands",
        "claim_made_before",
        "multiplicity",
        "own_case",
        "own_model",
        "not_eligible",
        "not_a_party",
        "not_readable",
        "not_yet_readable",
    }
)


BREAKS: Final = "breaks a rule: "
"""How the fault of an entry begins in a mirror, if no bureau that keeps the rules can have entered it."""

WAITS: Final = "waits for more of other logs"
"""How the fault of an entry begins in a mirror, if it may count once the mirror has read more."""


class Refusal(InputError):  # noqa: N818 (what it is called everywhere)
    """An entry does not fit the rules of admission; nothing was entered.

    Parameters
    ----------
    code : which rule it does not fit; stable between releases
    problem : what was expected, what was found and what to do
    """

    def __init__(self, code: Code, problem: str) -> None:
        self.code = code
        super().__init__(problem)

    @property
    def may_pass_later(self) -> bool:
        """Whether a mirror should try again once it has read more of the other logs."""
        return self.code in _CURABLE

    @property
    def is_certain(self) -> bool:
        """Whether a bureau that keeps the rules cannot have entered it, whatever else it knew or did not know."""
        return self.code not in _UNCERTAIN
