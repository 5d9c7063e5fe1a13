"""imports and leases"""

import sqlalchemy as sa
from alembic import op

import db.tables

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('imports',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('source', sa.String(length=200), nullable=False),
    sa.Column('format', sa.String(length=32), nullable=False),
    sa.Column('file_name', sa.Text(), nullable=False),
    sa.Column('file_sha256', sa.String(length=64), nullable=False),
    sa.Column('basis', sa.Text(), nullable=True),
    sa.Column('created_at', db.tables.UTCDateTime(timezone=True), nullable=False),
    sa.Column('finished_at', db.tables.UTCDateTime(timezone=True), nullable=True),
    sa.Column('taken_back_at', db.tables.UTCDateTime(timezone=True), nullable=True),
    sa.CheckConstraint("basis <> ''", name=op.f('a_basis_says_something')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_imports')),
    sqlite_autoincrement=True
    )
    op.create_table('erased_raters',
    sa.Column('rater_hash', sa.String(length=64), nullable=False),
    sa.Column('erased_at', db.tables.UTCDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('rater_hash', name=op.f('pk_erased_raters'))
    )
    # Not in batch mode: that would copy the table, to which others refer. SQLite can add a column
    # with its foreign key to a table as it stands.
    op.add_column(
        'consents',
        sa.Column(
            'import_id',
            sa.BigInteger().with_variant(sa.Integer(), 'sqlite'),
            sa.ForeignKey('imports.id', name=op.f('fk_consents_import_id_imports')),
            nullable=True,
        ),
        inline_references=True,
    )
    op.create_index(op.f('ix_consents_import_id'), 'consents', ['import_id'])
    op.create_table('leases',
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('holder', sa.String(length=200), nullable=True),
    sa.Column('fence', sa.BigInteger(), nullable=False),
    sa.Column('lifetime', sa.Float(precision=53), nullable=False),
    sa.Column('expires_at', db.tables.UTCDateTime(timezone=True), nullable=False),
    sa.CheckConstraint('lifetime > 0', name=op.f('a_lease_lasts')),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_leases'))
    )
    op.create_table('scheduled_runs',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('job', sa.String(length=64), nullable=False),
    sa.Column('holder', sa.String(length=200), nullable=False),
    sa.Column('fence', sa.BigInteger(), nullable=False),
    sa.Column('state', sa.String(length=16), nullable=False),
    sa.Column('last_event_id', sa.BigInteger(), nullable=False),
    sa.Column('last_vote_id', sa.BigInteger(), nullable=False),
    sa.Column('result', sa.Text(), nullable=True),
    sa.Column('error', sa.Text(), nullable=True),
    sa.Column('started_at', db.tables.UTCDateTime(timezone=True), nullable=False),
    sa.Column('finished_at', db.tables.UTCDateTime(timezone=True), nullable=True),
    sa.CheckConstraint("state IN ('running', 'finished', 'failed', 'stopped', 'interrupted')", name=op.f('scheduled_run_is_in_a_state')),
    sa.CheckConstraint("(state = 'running') = (finished_at IS NULL)", name=op.f('what_runs_has_not_ended')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_scheduled_runs')),
    sqlite_autoincrement=True
    )
    op.create_index('ix_scheduled_runs_job_id', 'scheduled_runs', ['job', 'id'])


def downgrade() -> None:
    op.drop_index('ix_scheduled_runs_job_id', table_name='scheduled_runs')
    op.drop_table('scheduled_runs')
    op.drop_table('leases')
    op.drop_index(op.f('ix_consents_import_id'), table_name='consents')
    with op.batch_alter_table('consents', schema=None) as batch_op:
        batch_op.drop_column('import_id')

    op.drop_table('erased_raters')
    op.drop_table('imports')
