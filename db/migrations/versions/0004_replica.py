"""what is not yet copied, and how far the copy goes"""

import sqlalchemy as sa
from alembic import op

import db.tables

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('changes',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('table_name', sa.String(length=64), nullable=False),
    sa.Column('row_key', sa.String(length=200), nullable=False),
    sa.Column('gone', sa.Boolean(), nullable=False),
    sa.Column('changed_at', db.tables.UTCDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_changes')),
    sqlite_autoincrement=True
    )
    op.create_table('replica',
    sa.Column('id', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('copy_id', sa.String(length=36), nullable=False),
    sa.Column('run_id', sa.String(length=36), nullable=True),
    sa.Column('seq', sa.Integer(), nullable=False),
    sa.Column('mark_sha256', sa.String(length=64), nullable=True),
    sa.Column('pending_sha256', sa.String(length=64), nullable=True),
    sa.Column('whole', sa.Boolean(), nullable=False),
    sa.Column('erases', sa.Boolean(), nullable=False),
    sa.Column('safe_at', db.tables.UTCDateTime(timezone=True), nullable=True),
    sa.CheckConstraint('id = 1', name=op.f('a_database_has_one_replica')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_replica'))
    )


def downgrade() -> None:
    op.drop_table('replica')
    op.drop_table('changes')
