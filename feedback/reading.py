"""Read the rows of an export, or a part of them, wherever that happens: here or in a worker."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.tables import FeedbackEvent, Generation
from feedback.formats.pictures import Pictures
from feedback.formats.reader import WHOLE, Part, Reader
from feedback.gather import Tools, gather
from feedback.gathered import Gathered
from feedback.lengths import Lengths, lengths
from feedback.plain_events import Events, Ids, gather_events, ids_of
from feedback.plan import Config
from feedback.redact import Redactor, Sample
from feedback.selection import needs_reasons, needs_times
from feedback.spec import Lint, Moment, Spec
from feedback.watch import Watch

Found = Gathered | Events  # rows for a trainer, or plain events
AnyPart = Part | Ids  # or a list of what is in them, as JSON holds it


@dataclass
class Reading:
    """What the rows of an export are read with, as of one moment.

    counts: what counts the tokens of texts, if there are any. to_write: whether plain events will
    be written, or only counted.
    """

    session: Session
    spec: Spec  # as of a moment
    pictures: Pictures
    counts: Lengths | None
    to_write: bool = True

    @property
    def moment(self) -> Moment:
        assert self.spec.as_of is not None
        return self.spec.as_of

    @cached_property
    def reader(self) -> Reader:
        return Reader(self.session, self.moment, with_times=needs_times(self.spec.selection))

    def of(self, config: Config, part: Part = WHOLE, folder: Path | None = None) -> Reader:
        """What reads a part of the generations, with the events that the config asks for.

        folder: for temporary files.
        """
        assert config.format is not None
        also = ("reasons",) if needs_reasons(self.spec.selection) else ()
        return self.reader.of(part, (*config.format.kinds, *also), folder)

    def count(self, config: Config) -> int:
        """How many generations or events there are to read, at most."""
        if config.format is None:
            return self.moment.events
        return self.of(config).count(config.format.task)

    def gather(
        self, config: Config, part: AnyPart | list[Any], folder: Path, watch: Watch
    ) -> tuple[Found, list[Sample]]:
        """The rows of a part, in files of the folder, and some of the personal data in them."""
        redactor = Redactor(config.redact, self.spec.redaction.kinds)
        selection = self.spec.selection
        found = self.place_for(config, folder)
        if isinstance(found, Gathered):
            tools = Tools(self.pictures, redactor, self.counts, watch)
            reader = self.of(config, Part(*part), folder.parent)
            gather(config, reader, selection, tools, found)
        else:
            ids = None if part is WHOLE else Ids(*part)
            gather_events(config, self.session, selection, self.moment, ids, found, redactor, watch)
        return found, redactor.samples

    def place_for(self, config: Config, folder: Path, told: dict[str, Any] | None = None) -> Found:
        """What rows of the config are gathered in, in a folder, where they may be already.

        told: what was told of them, besides what is in the folder.
        """
        if config.format is None:
            return Events(folder, told, keep=self.to_write)
        return Gathered(folder, told, self.spec.splits.near_where_asked)

    def parts(self, config: Config, number: int) -> list[AnyPart]:
        """About as many parts, in their order, of about as many generations each.

        Every group that a format looks at as one is wholly in one part.
        """
        if config.format is None:
            return [*ids_of(self.session, self.moment, number)]
        task, reader = config.format.task, self.of(config)
        judged = (
            select(FeedbackEvent.generation_id)
            .join(Generation, Generation.id == FeedbackEvent.generation_id)
            .where(reader.counts(task), Generation.task == task)
            .distinct()
            .order_by(FeedbackEvent.generation_id)
        )
        total = reader.count(task)
        places = sorted({total * each // number for each in range(1, number)} - {0})
        marks = [self.session.scalar(judged.offset(place).limit(1)) for place in places]
        return [Part(*ends) for ends in zip([None, *marks], [*marks, None], strict=True)]


def token_counts(session: Session, lint: Lint, configs: list[Config]) -> Lengths | None:
    """What counts the tokens of texts, if there are any."""
    texts = any(config.task == "text" for config in configs)
    return lengths(session, lint) if texts else None
