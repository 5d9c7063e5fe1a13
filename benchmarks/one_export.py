"""One contestant of benchmarks/export.py: `python -m benchmarks.one_export URL NAME FOLDER MEDIA`.

Exports the database at the URL and prints seconds and rows as JSON. The name is a format, or
`sft@4096` for a model that takes so many tokens; MEDIA is the folder of pictures.
"""

import json
import sys
import time
from pathlib import Path

JOINED = """
SELECT e.id, e.kind, e.score, e.text, e.items, e.retracted, e.created_at, e.visitor_id,
       g.id AS generation_id, g.inputs, g.options, g.output_text, g.finished_at, g.model_version_id
FROM feedback_events e JOIN generations g ON g.id = e.generation_id
ORDER BY e.id
"""


def genloop(url: str, name: str, folder: Path, media: Path) -> int:
    """Export in a format, with everything that is done by itself; how many rows were tried."""
    from db.engine import Database
    from db.media import MediaStore
    from feedback.crew import crew_of
    from feedback.dataset import export
    from feedback.priority import step_back
    from feedback.spec import Lint, of

    step_back()  # as the command does
    database = Database(url)
    # What opens the dataset at the end is measured by itself: it is the same for every size.
    form, _, limit = name.partition("@")
    spec = of(form, lint=Lint(consumers=False, max_tokens=int(limit) if limit else None))
    manifest = export(
        database,
        spec,
        folder / "out",
        name=name,
        media=MediaStore(media),
        crew=crew_of(database, 0),
    )
    database.close()
    return int(manifest["selected"])


def pandas(url: str, folder: Path) -> int:
    import pandas
    from sqlalchemy import create_engine

    rows = pandas.read_sql(JOINED, create_engine(url))
    rows.to_json(folder / "events.jsonl", orient="records", lines=True, date_format="iso")
    return len(rows)


def main() -> None:
    url, name, folder, media = sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
    began = time.perf_counter()
    rows = pandas(url, folder) if name == "pandas" else genloop(url, name, folder, media)
    print(json.dumps({"seconds": time.perf_counter() - began, "rows": rows}))


if __name__ == "__main__":
    main()
