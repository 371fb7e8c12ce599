"""The mark of a registry that came from a backup: it signs nothing before every witness was asked.

A backup does not know what was signed after it. Some witness does, if it was cosigned; so all of those that the
settings name must have answered, and none may know of more (`whorl.registry.cosigning`).
"""

from whorl.core.durable_files import sync_folder, write_durably
from whorl.core.errors import VerificationError
from whorl.registry.home import Home


class RestoredMark:
    """The file ``signed/restored``; without it, nothing is asked of anybody."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._path = home.path / "signed" / "restored"

    def put(self) -> None:
        """Mark the registry."""
        write_durably(self._path, b"")

    def lift(self, answered: frozenset[str]) -> None:
        """Take the mark away, if all witnesses of the settings are among those that answered."""
        if self._path.exists() and answered >= {witness.name for witness in self._home.settings.witnesses}:
            self._path.unlink()
            sync_folder(self._path.parent)

    @property
    def is_there(self) -> bool:
        return self._path.exists()

    def require_lifted(self) -> None:
        """Raise `VerificationError` while it is there."""
        if self.is_there:
            raise VerificationError(
                f"{self._home.path}: this registry was restored from a backup, and not all of its witnesses "
                f"({', '.join(witness.name for witness in self._home.settings.witnesses)}) could be asked whether they "
                "know of more entries. Nothing was signed. Try again when they answer; if one is gone for good, "
                "restore again with --nobody-saw-more"
            )
