"""What alembic runs: the migrations, on the connection and in the transaction that `migrate` was given."""

from alembic import context

from whorl.registry.tables import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
context.run_migrations()
