"""what is known of outputs and models of remote engines"""

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    json = sa.JSON(none_as_null=True)
    op.add_column('model_versions', sa.Column('verified', sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column('model_versions', sa.Column('says', json, nullable=True))
    op.add_column('generations', sa.Column('served', json, nullable=True))


def downgrade() -> None:
    op.drop_column('generations', 'served')
    op.drop_column('model_versions', 'says')
    op.drop_column('model_versions', 'verified')
