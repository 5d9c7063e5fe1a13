"""Carry what changed to the target: segments and pictures first, then the mark that counts them.

One database at a time writes to a target. Marks are numbered, and the next number can be taken
only once: whoever finds it taken by another copy stops, and so does whoever finds a later mark
behind its own.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from db.engine import Database
from db.ids import uuid7
from db.media import Media
from db.replica import journal, marks, pictures, segments, state
from db.replica.marks import Mark, Written
from db.replica.spool import Spool, Spooled
from db.replica.targets import Content, Taken, Target
from db.tables import Replica

log = logging.getLogger(__name__)

# When the changes are copied anew as one base: whoever restores has to fetch each mark, but a base
# costs as much as everything that is kept.
MANY_MARKS = 256
MOST_MARKS = 4_096
REST = 20  # times as long as the last base took, until the next


class Fenced(RuntimeError):
    """Another copy of the app writes to the target; what is not yet copied stays here."""


class Foreign(RuntimeError):
    """The target holds something else than the copy of this database."""


class Shipper:
    """Carries one database to one target. Not for several threads."""

    def __init__(
        self,
        database: Database,
        media: Media,
        target: Target,
        spool: Spool,
        *,
        key_check: str,
        looks_every: float,
    ) -> None:
        """key_check: of the secret that signs visitors' tokens (db/replica/keys.py).

        looks_every: seconds between two calls of watch() at most.
        """
        self.database = database
        self.media = media
        self.target = target
        self.spool = spool
        self.key_check = key_check
        self.looks_every = looks_every
        self.run_id = uuid7()
        self.state: Replica | None = None  # None until attach()
        self.newest: Written | None = None  # None as long as nothing is copied
        self.sent: set[str] = set()  # pictures
        self.unclean = False  # files from before the last base may be left at the target
        self.base_took = self.base_ended = 0.0  # seconds; of time.monotonic()

    def attach(self) -> None:
        """Find out how far the copy goes, and that it is ours to go on with.

        Raises Foreign, Fenced, Damaged, NewerReplica or TargetDown.
        """
        try:
            self._find_place()
        except BaseException:
            self.detach()  # the next attempt begins anew
            raise

    def _find_place(self) -> None:
        found = marks.numbers(self.target.names(marks.FOLDER))
        newest = marks.read(self.target, found[-1]) if found else None
        mine = self._note(state.begin)
        if newest is None:
            if mine.seq:
                log.warning("%s is empty: everything is copied there anew", self.target.url)
            mine = self._note(state.start_over)
        elif newest.sha256 == mine.pending_sha256 and newest.mark.seq == mine.seq + 1:
            self._settle(newest, just_now=False)  # it arrived, and the process died before it knew
        elif newest.sha256 != mine.mark_sha256:
            raise Foreign(foreign(self.target, newest, mine))
        if self.state is None:
            self.state, self.newest = mine, newest
        self.spool.empty()
        if newest is not None:
            self.unclean = found[0] < newest.mark.base_seq
            if not self.unclean:
                self._note(partial(state.cleaned, erases=newest.mark.erases))
        if newest is not None and newest.mark.copy_id != mine.copy_id:
            self.claim()  # this database was rebuilt from it

    def go_on_behind(self, newest: Written) -> None:
        """Follow this mark, whatever the database knows; for db/replica/repair.py."""
        self.state, self.newest = self._note(state.begin), newest

    def detach(self) -> None:
        """Another process copies this database; attach() finds out how far it came."""
        self.state, self.newest = None, None
        self.sent.clear()  # the other one may remove pictures

    def watch(self, known: int = 0) -> list[str]:
        """The names in the log, if nobody else has written there; raises Fenced.

        known: the number of a mark that we have just written.
        """
        names = self.target.names(marks.FOLDER)
        found = marks.numbers(names)
        if found and found[-1] > max(self._seq(), known):
            written = marks.read(self.target, found[-1])
            if self.state is None or written.sha256 != self.state.pending_sha256:
                raise Fenced(
                    f"another copy of the app ({written.mark.copy_id}) writes to "
                    f"{self.target.url} since {written.mark.at}"
                )
            self._settle(written, just_now=True)  # the answer was lost on its way
        self._miss_marks(set(found))
        return names

    def _miss_marks(self, found: set[int]) -> None:
        """Have everything copied anew if somebody has removed marks: nothing could be rebuilt."""
        if self.newest is None or self.state is None or not self.state.whole:
            return
        wanted = range(self.newest.mark.base_seq, self.newest.mark.seq + 1)
        if not found.issuperset(wanted):
            log.error("marks are gone from %s: everything is copied there anew", self.target.url)
            self.state = self._note(state.broken)

    def needs_base(self) -> bool:
        """Whether everything has to be copied, or it is time to."""
        if self.newest is None or self.state is None or not self.state.whole:
            return True
        mark = self.newest.mark
        with self.database.read() as session:
            if mark.schema != state.schema(session):
                return True
        grown = mark.later_marks >= MANY_MARKS and mark.later_bytes * 4 >= mark.base_bytes
        rested = time.monotonic() - self.base_ended >= REST * self.base_took
        return rested and (mark.erases or grown or mark.later_marks >= MOST_MARKS)

    def ship_changes(self, *, released: bool = False) -> bool:
        """Copy what changed since the last mark; False where nothing did.

        released: the app ends in order; the mark says so, and is written in any case.
        Raises TargetDown, Fenced or Superseded.
        """
        assert self.newest is not None
        with self.spool.changes(self._seq() + 1) as spooled:
            if not spooled.ids and not released:
                return False
            if spooled.schema != self.newest.mark.schema:
                return False  # migrated this very moment: a base comes first
            missing = pictures.send(self.target, self.media, spooled.pictures - self.sent)
            self._commit(self._later_mark(spooled, missing, released), spooled)
            self.sent |= spooled.pictures - missing
        return True

    def ship_everything(self) -> None:
        """Copy the whole database anew; what is at the target from before is not needed any more.

        Raises TargetDown, Fenced or Superseded.
        """
        began = time.monotonic()
        with self.spool.everything(self._seq() + 1) as spooled:
            there = pictures.at_target(self.target)
            missing = pictures.send(self.target, self.media, spooled.pictures - there)
            self._commit(self._base_mark(spooled, missing), spooled)
            self.sent = spooled.pictures - missing
        self.base_took, self.base_ended = time.monotonic() - began, time.monotonic()

    def claim(self) -> None:
        """Write a mark without segments: this database goes on from here. Raises Fenced."""
        nothing = self.spool.nothing()
        self._commit(self._later_mark(nothing, set(), released=False), nothing)

    def clean(self) -> None:
        """Remove what is older than the last base: erased words and pictures go with it."""
        assert self.newest is not None
        base = marks.read(self.target, self.newest.mark.base_seq).mark
        named = {segment.name for segment in base.segments}
        with self.database.read() as session:
            used = pictures.used(session)
        left = segments.until(base.seq, self.target.names(segments.FOLDER))
        unused = pictures.at_target(self.target) - used
        self.sent -= unused  # whoever draws the same again has it sent again
        old_segments = [name for name in left if name not in named]
        self.target.remove([*old_segments, *pictures.names(unused)])
        self.target.purge()
        old = [seq for seq in marks.numbers(self.watch()) if seq < base.seq]
        self.target.remove(map(marks.name_of, old))  # last: as long as one is left, there is work
        self.state = self._note(partial(state.cleaned, erases=self.newest.mark.erases))
        self.unclean = False

    def _seq(self) -> int:
        return self.newest.mark.seq if self.newest else 0

    def _base_mark(self, spooled: Spooled, missing: set[str]) -> Mark:
        size = sum(segment.bytes for segment in spooled.files.values())
        return self._mark(
            spooled,
            missing,
            base=True,
            released=False,
            base_seq=self._seq() + 1,
            base_bytes=size,
            later_marks=0,
            later_bytes=0,
            erases=False,
        )

    def _later_mark(self, spooled: Spooled, missing: set[str], released: bool) -> Mark:
        assert self.newest is not None
        before = self.newest.mark
        size = sum(segment.bytes for segment in spooled.files.values())
        return self._mark(
            spooled,
            missing,
            base=False,
            released=released,
            base_seq=before.base_seq,
            base_bytes=before.base_bytes,
            later_marks=before.later_marks + 1,
            later_bytes=before.later_bytes + size,
            erases=before.erases or spooled.erases,
        )

    def _mark(self, spooled: Spooled, missing: set[str], **more: Any) -> Mark:
        assert self.state is not None
        return Mark(
            seq=self._seq() + 1,
            copy_id=self.state.copy_id,
            at=spooled.at.isoformat(),
            schema=spooled.schema,
            looks_every=self.looks_every,
            key_check=self.key_check,
            previous=self.newest.sha256 if self.newest else "",
            serials=spooled.serials,
            missing_media=tuple(sorted(missing)),
            segments=tuple(spooled.files.values()),
            **more,
        )

    def _commit(self, mark: Mark, spooled: Spooled) -> None:
        content = mark.content()
        written = Written(mark, hashlib.sha256(content).hexdigest())
        self.state = self._note(partial(state.intend, sha256=written.sha256))
        files: Mapping[str, Content] = {
            segment.name: path for path, segment in spooled.files.items()
        }
        try:
            self.target.commit(files, mark.name, content)
        except Taken:
            self.watch()
            raise Fenced(f"{self.target.url} holds another {mark.name}") from None
        self.watch(mark.seq)
        # Whoever asks how much is not yet safe sees the mark and what it is done with at once; only
        # of very many entries some stay a little longer.
        portions = list(journal.portions(spooled.ids))
        self._settle(written, just_now=True, done=portions[0] if portions else ())
        for some in portions[1:]:
            journal.forget(self.database, some)

    def _settle(
        self, written: Written, *, just_now: bool, done: Sequence[tuple[int, int]] = ()
    ) -> None:
        """Note that the mark is at the target. done: entries of the journal, as runs."""

        def settle(session: Session, run_id: str) -> Replica:
            if done:
                journal.drop(session, done)
            return state.settle(session, run_id, written, just_now=just_now)

        self.state = self._note(settle)
        self.newest = written
        self.unclean = self.unclean or written.mark.base

    def _note(self, change: Callable[..., Replica]) -> Replica:
        return self.database.write(partial(change, run_id=self.run_id), though_paused=True)


def foreign(target: Target, newest: Written, mine: Replica) -> str:
    """Why the newest mark is not one that this database can go on from, and what to do."""
    if mine.mark_sha256 is None:
        return (
            f"{target.url} holds the copy of another database, and this one is not empty: name an "
            "empty place in GENLOOP_REPLICA, or move this database aside and start again, which "
            "rebuilds the other one here"
        )
    return (
        f"{target.url} was written to by another copy of the app ({newest.mark.copy_id}, last at "
        f"{newest.mark.at}): to go on with what that one kept, move this database aside and start "
        "again; to keep this one, name an empty place in GENLOOP_REPLICA"
    )
