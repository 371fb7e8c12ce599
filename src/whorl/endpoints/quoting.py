"""Words of strangers, made fit to be shown: short, on one line, with nothing a terminal would act on."""

LONGEST_EXCERPT = 200


def shown(text: str, *, limit: int = LONGEST_EXCERPT) -> str:
    """The first ``limit`` characters, with everything unprintable written as an escape."""
    safe = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text[:limit]
    )
    return safe + ("..." if len(text) > limit else "")


def excerpt(body: bytes, *, limit: int = LONGEST_EXCERPT) -> str:
    """The beginning of a body in quotes, whatever its bytes are."""
    if not body:
        return "nothing"
    text = body[: 4 * limit].decode("utf-8", "backslashreplace")
    return f"'{shown(text, limit=limit)}'"
