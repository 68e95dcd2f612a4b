"""Asked by Alembic for the connection; `migrate` hands its own over, inside one transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
context.run_migrations()
