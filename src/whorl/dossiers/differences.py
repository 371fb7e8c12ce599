"""Where two JSON documents differ: in numbers by how much, in everything else at all."""

from typing import Any


def differences(first: Any, second: Any, *, where: str) -> tuple[float, list[str]]:
    """The largest relative difference of two documents' numbers, and the places where something else differs.

    Parameters
    ----------
    first, second : as `json.loads` gives them
    where : what a place's name begins with

    Returns
    -------
    |a - b| divided by the largest of |a|, |b| and 1, at most; and one sentence per place
    """
    found: list[str] = []
    return _differ(first, second, where, found), found


def _differ(first: Any, second: Any, where: str, found: list[str]) -> float:
    match first, second:
        case (bool(), bool()) | (str(), str()) | (None, None):
            if first != second:
                found.append(f"{where}: {str(first)[:100]!a} and {str(second)[:100]!a}")
        case (bool(), _) | (_, bool()):
            found.append(f"{where}: not of the same form")
        case (int() | float(), int() | float()):
            return abs(first - second) / max(abs(first), abs(second), 1.0)
        case (dict(), dict()) if set(first) == set(second):
            return max((_differ(first[key], second[key], f"{where}.{key}", found) for key in first), default=0.0)
        case (list(), list()) if len(first) == len(second):
            pairs = enumerate(zip(first, second, strict=True))
            return max((_differ(a, b, f"{where}[{place}]", found) for place, (a, b) in pairs), default=0.0)
        case _:
            found.append(f"{where}: not of the same form")
    return 0.0
