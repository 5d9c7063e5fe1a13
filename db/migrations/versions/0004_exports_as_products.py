"""the ledger knows configs, folders and manifests of exports"""

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('exports', schema=None) as batch_op:
        batch_op.add_column(sa.Column('folder', sa.Text(), nullable=True))
        batch_op.add_column(sa.Column('manifest', sa.JSON(none_as_null=True), nullable=True))

    with op.batch_alter_table('export_rows', schema=None) as batch_op:
        batch_op.add_column(sa.Column('config', sa.String(length=64), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table('export_rows', schema=None) as batch_op:
        batch_op.drop_column('config')

    with op.batch_alter_table('exports', schema=None) as batch_op:
        batch_op.drop_column('manifest')
        batch_op.drop_column('folder')
