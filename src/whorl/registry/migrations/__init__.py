"""Versions of the registry's tables, one file each, and how an older database is brought to the newest.

Everything happens in the caller's transaction: a migration and the record that it ran are committed together or not at
all. `whorl.registry.tables` describes the newest version; a test holds the two together.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection

if TYPE_CHECKING:
    from alembic.config import Config

SCRIPTS: Final = Path(__file__).parent


def migrate(connection: Connection, *, scripts: Path = SCRIPTS) -> None:
    """Bring the database to the newest version, in the transaction that is open.

    Parameters
    ----------
    scripts : folder with an ``env.py`` and ``versions/``
    """
    from alembic import command  # loaded only where something is to be migrated

    command.upgrade(_config(scripts, connection), "head")


def known_versions(scripts: Path = SCRIPTS) -> frozenset[str]:
    """The versions from which there is a way to the newest one, and the newest one."""
    from alembic.script import ScriptDirectory

    directory = ScriptDirectory.from_config(_config(scripts))
    return frozenset(script.revision for script in directory.walk_revisions())


def _config(scripts: Path, connection: Connection | None = None) -> "Config":
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    return config
