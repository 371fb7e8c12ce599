"""What is wrong with a document that does not meet its model, in one line."""

from pydantic import ValidationError

_WHERE = 100
_WHAT = 300


def first_fault(error: ValidationError, *, whole: str = "document") -> str:
    """The first member that is at fault, and how: ``roots.0.ed25519: Field required``; cut to a bounded length.

    Parameters
    ----------
    whole : what to call the document itself, where no member is at fault alone
    """
    problem = error.errors()[0]
    return f"{'.'.join(map(str, problem['loc']))[:_WHERE] or whole}: {problem['msg'][:_WHAT]}"
