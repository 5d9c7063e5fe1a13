"""Fill the database with invented visitors and what they say: `python -m feedback.demo`.

For a first look at the owner's pages and at exports. Not for a database that visitors use: what
is invented here leaves in exports like everything else. It is named as the work of the model
`invented`, so that no real model is judged by it.
"""

import hashlib
import random
import uuid
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Annotated

import typer
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from config import Settings
from db.engine import Database
from db.media import Media
from db.media_elsewhere import open_media
from db.migrate import migrate
from db.replica.targets import TargetDown, UnusableTarget
from db.tables import Generation, now
from feedback.compare import vote
from feedback.consent import TERMS_VERSION, Permission, give
from feedback.demo_pictures import (
    Drawing,
    blob,
    drafts_of,
    point,
    sentence,
    vector,
    wanted_by,
)
from feedback.keep import keep_event
from feedback.rate import REASONS, Value
from feedback.record import Output, Request, Times, record, register_version


@dataclass(frozen=True)
class Theme:
    """A prompt with good answers to it, and bad ones with what a visitor makes of each."""

    prompt: str
    good: tuple[str, ...]
    bad: dict[str, str]  # as written: as edited


# Famous quatrains of the Tang dynasty (public domain) and lines made up for this file.
THEMES = (
    Theme(
        "五绝《静夜思》",
        (
            "床前明月光，疑是地上霜。举头望明月，低头思故乡。",
            "夜静闻虫语，窗明见月来。遥怜故园菊，今夕为谁开。",
        ),
        {
            "夜静人初静，更深夜更深。夜深人不寐，夜夜夜沉沉。": (
                "夜静人初定，更深月半沉。客灯犹未灭，四壁听虫吟。"
            )
        },
    ),
    Theme(
        "五绝《登楼》",
        (
            "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。",
            "独上高楼望，秋声满客衣。江山无尽处，一雁向云飞。",
        ),
        {
            "楼高高百尺，人在楼上楼。楼下人不见，见人楼下楼。": (
                "楼高临百尺，独立近清秋。楼下人声远，江天一色流。"
            )
        },
    ),
    Theme(
        "五绝《江雪》",
        ("千山鸟飞绝，万径人踪灭。孤舟蓑笠翁，独钓寒江雪。",),
        {
            "江雪白如雪，雪江江水流。": "江上千峰雪，寒波一叶舟。渔翁收钓去，灯火小沙洲。",
            "五月榴花发，蝉声满绿槐。薰风吹午梦，双燕入帘来。": (
                "岁晚江天白，孤舟系柳隈。薪湿烟初起，双燕未归来。"
            ),
        },
    ),
    Theme(
        "七绝《早发》",
        ("朝辞白帝彩云间，千里江陵一日还。两岸猿声啼不住，轻舟已过万重山。",),
        {
            "早发早行行路早，路长路远路难行。": (
                "早发江城月未斜，晓风吹雾过芦花。橹声摇破一川梦，回首青山是我家。"
            )
        },
    ),
    Theme(
        "七绝《夜泊》",
        (
            "月落乌啼霜满天，江枫渔火对愁眠。姑苏城外寒山寺，夜半钟声到客船。",
            "一灯如豆照孤舟，两岸虫声动客愁。半夜潮来惊梦醒，满江明月下沙头。",
        ),
        {
            "夜泊夜泊夜泊船，夜船夜泊夜无眠。": (
                "夜泊枫桥月满船，钟声隔水客无眠。明朝又向烟波去，回首姑苏隔暮天。"
            )
        },
    ),
    Theme(
        "七绝《雪》藏头：春夏秋冬。",
        ("春风未到花先白，夏日难寻玉作尘。秋去寒山留一色，冬来千里净无痕。",),
        {
            "春天来了百花开，夏日炎炎似火来。秋天落叶飘满地，冬天雪白盖楼台。": (
                "春梦醒时窗已白，夏衣藏后絮初飞。秋声散尽千林静，冬夜孤灯照雪归。"
            )
        },
    ),
    Theme(
        "五绝《春晓》",
        ("春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。",),
        {
            "春晓春风晓，春花春鸟春。春来春又去，春去又逢春。": (
                "小雨润窗纱，春深未还家。醒来人不见，一径落梨花。"
            )
        },
    ),
    Theme(
        "五绝《相思》",
        ("红豆生南国，春来发几枝。愿君多采撷，此物最相思。",),
        {
            "相思相思苦，苦苦苦相思。相思思不见，不见见相思。": (
                "一别秋风起，书来雁未归。月明庭下立，露重湿罗衣。"
            )
        },
    ),
    Theme(
        "五绝《鹿柴》",
        ("空山不见人，但闻人语响。返景入深林，复照青苔上。",),
        {
            "山空空无人，人无无语声。林深深几许，青苔青又青。": (
                "林静人声远，苔深石径斜。夕阳穿叶底，一点照山花。"
            )
        },
    ),
    Theme(
        "七绝《望庐山瀑布》",
        ("日照香炉生紫烟，遥看瀑布挂前川。飞流直下三千尺，疑是银河落九天。",),
        {
            "瀑布高高高入云，水流水响水声闻。": (
                "白练悬空落翠微，松风吹雨湿征衣。山僧笑指云深处，千尺寒雷带雪飞。"
            )
        },
    ),
    Theme(
        "明月出东山，",
        ("清辉满客衣。松风吹不断，疑是故人归。", "流光入夜扉。虫声秋露重，一院桂香微。"),
        {"明月明月明月出东山。": "清辉照客颜。今宵同此月，谁在玉门关。"},
    ),
)
COMMENTS = {
    True: ("意境很好。", "最后一句余味悠长。", "A lovely last line.", "像是老诗人写的。"),
    False: ("重复太多。", "第二句不通顺。", "This says the same thing twice.", "少了两句。"),
}


class NotEmpty(RuntimeError):
    """There is something in the database that invented feedback would be mixed with."""


@dataclass
class Tally:
    """What was added."""

    visitors: int = 0
    requests: int = 0
    generations: int = 0
    events: int = 0
    votes: int = 0

    def add(self, other: "Tally") -> None:
        for name, number in vars(other).items():
            setattr(self, name, getattr(self, name) + number)


class InventedVisitor:
    """A visitor whose every word follows from one random stream, within one transaction."""

    def __init__(self, session: Session, media: Media, name: str, tally: Tally) -> None:
        self.session = session
        self.media = media
        self.random = random.Random(name)
        self.key_hash = hashlib.sha256(f"genloop demo {name}".encode()).hexdigest()
        self.language = self.random.choice(("zh", "zh", "en"))
        self.tally = tally

    def agree(self, train: bool) -> Permission:
        consent = give(
            self.session,
            self.key_hash,
            keep=True,
            train=train,
            language=self.language,
            version=TERMS_VERSION,
        )
        assert consent is not None  # which is what a visitor gets who keeps nothing
        return Permission(consent.visitor_id, consent.id, consent.train)

    def ask(self, permission: Permission, version_id: int) -> None:
        """Let drafts of one prompt be written, and judge them."""
        theme = self.random.choice(THEMES)
        texts = [*theme.good, *theme.bad]
        texts = self.random.sample(texts, min(self.random.choice((1, 2, 2, 3, 4)), len(texts)))
        request = Request(
            "text", version_id, {"prompt": theme.prompt}, self.options(texts), len(theme.prompt)
        )
        outputs = [Output(text, "complete", "end", len(text)) for text in texts]
        ids = self.keep(permission, request, outputs)
        for generation_id, text in zip(ids, texts, strict=True):
            self.judge(theme, generation_id, text)
        good = [one for one, text in zip(ids, texts, strict=True) if text in theme.good]
        if good and len(ids) > 1:
            self.say(self.random.choice(good), "choice", True)

    def judge(self, theme: Theme, generation_id: str, text: str) -> None:
        """Thumb, stars, reasons and comment; bad outputs may be edited."""
        is_good = text in theme.good
        likes = is_good if self.maybe(0.95) else not is_good  # tastes differ
        if self.maybe(0.1):  # a slip that is corrected next
            self.say(generation_id, "thumb", -1 if likes else 1)
        if self.maybe(0.8):
            self.say(generation_id, "thumb", 1 if likes else -1)
        if self.maybe(0.4):
            stars = self.random.choice((4, 5) if likes else (1, 2, 3))
            self.say(generation_id, "stars", stars)
        if self.maybe(0.3):
            codes = REASONS["text"]["good" if likes else "bad"]
            chosen = self.random.sample(codes, self.random.choice((1, 1, 2)))
            self.say(generation_id, "reasons", chosen)
        if self.maybe(0.2):
            comment = self.random.choice(COMMENTS[likes])
            self.say(generation_id, "comment", comment)
            if self.maybe(0.2):  # taken back
                self.say(generation_id, "comment", None)
        if not is_good and self.maybe(0.5):
            self.say(generation_id, "edit", theme.bad[text])

    def paint(self, permission: Permission, version_id: int) -> None:
        """Let pictures of one prompt be drawn, and judge them, alone and side by side."""
        wanted = wanted_by(self.random)
        drafts = drafts_of(wanted, self.random.choice((1, 2, 3, 4, 4)), self.random)
        inputs = {"prompt": wanted.caption(self.language), "negative_prompt": ""}
        pictures = [self.media.put(draft.png(self.random)) for draft in drafts]
        outputs = [Output(None, "complete", "end", media_sha256=one) for one in pictures]
        request = Request("image", version_id, inputs, self.image_options(drafts), None)
        ids = self.keep(permission, request, outputs)
        for generation_id, draft in zip(ids, drafts, strict=True):
            self.judge_picture(generation_id, draft, wanted)
        faults = {one: len(draft.faults(wanted)) for one, draft in zip(ids, drafts, strict=True)}
        self.compare(permission, faults)

    def judge_picture(self, generation_id: str, draft: Drawing, wanted: Drawing) -> None:
        """Thumb, stars, reasons, the caption corrected, and where it is wrong."""
        faults = draft.faults(wanted)
        if self.maybe(0.7):
            self.say(generation_id, "thumb", -1 if faults else 1)
        if self.maybe(0.3):
            self.say(generation_id, "stars", self.random.choice((1, 2) if faults else (4, 5)))
        if self.maybe(0.5):
            self.say(generation_id, "reasons", faults or ["fits_prompt"])
        if faults and self.maybe(0.5):
            self.say(generation_id, "edit", draft.caption(self.language))
        if faults and self.maybe(0.2):
            region = {"strokes": ["80:300,300 500,500 700,300"], "text": COMMENTS[False][2]}
            self.say(generation_id, "region", region)

    def sample(self, permission: Permission, version_ids: dict[str, int]) -> None:
        """Sample a latent space whose first coordinate should be large, and judge that."""
        medium = self.random.choice(("pictures", "vectors", "sentences"))
        points = [point(self.random) for _ in range(self.random.choice((2, 3, 4)))]
        outputs = [self.output(medium, z) for z in points]
        options = self.latent_options(len(points))
        request = Request("vae", version_ids[medium], {"action": "sample"}, options, None)
        ids = self.keep(permission, request, outputs)
        for generation_id, z in zip(ids, points, strict=True):
            if self.maybe(0.6):
                likes = z[0] > 0 if self.maybe(0.9) else z[0] <= 0
                self.say(generation_id, "thumb", 1 if likes else -1)
        self.compare(permission, {one: int(-z[0] // 1) for one, z in zip(ids, points, strict=True)})

    def output(self, medium: str, z: list[float]) -> Output:
        if medium == "pictures":
            picture = self.media.put(blob(z))
            return Output(None, "complete", "end", media_sha256=picture, latent={"z": z})
        if medium == "vectors":
            return Output(None, "complete", "end", latent={"z": z, "x": vector(z)})
        return Output(sentence(z), "complete", "end", latent={"z": z})

    def keep(self, permission: Permission, request: Request, outputs: list[Output]) -> list[str]:
        ids = record(self.session, permission, request, outputs, self.times())
        self.tally.requests += 1
        self.tally.generations += len(ids)
        return ids

    def compare(self, permission: Permission, badness: dict[str, int]) -> None:
        """Choose, rank or vote among the drafts of a request; the least bad one is best."""
        ids = list(badness)
        if len(ids) == 1:
            return
        if self.maybe(0.4):
            self.say(min(ids, key=lambda one: badness[one]), "choice", True)
        if self.maybe(0.4):
            order = sorted(set(badness.values()))
            for one in ids:
                self.say(one, "rank", 1 + order.index(badness[one]))
        if self.maybe(0.6):
            left, right = self.random.sample(ids, 2)
            answer = "left" if badness[left] < badness[right] else "right"
            if badness[left] == badness[right]:
                answer = "both_bad" if badness[left] > 0 else "tie"
            vote(
                self.session,
                permission,
                key=self.new_key(),
                left_id=left,
                right_id=right,
                answer=answer,
            )
            self.tally.votes += 1

    def image_options(self, drafts: list[Drawing]) -> dict[str, object]:
        return {
            "steps": 12,
            "guidance": 5.0,
            "width": 64,
            "height": 64,
            "scheduler": "DPM++ 2M",
            "seed": self.random.randrange(2**32),
            "drafts": len(drafts),
            "adapters": None,
        }

    def latent_options(self, drafts: int) -> dict[str, object]:
        return {
            "drafts": drafts,
            "source": "prior",
            "temperature": 1.0,
            "truncation": 0.0,
            "seed": self.random.randrange(2**32),
            "steps": 9,
            "spherical": False,
            "taste": None,
        }

    def new_key(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def say(self, generation_id: str, kind: str, value: Value) -> None:
        keep_event(
            self.session,
            self.key_hash,
            key=self.new_key(),
            generation_id=generation_id,
            kind=kind,
            value=value,
        )
        self.tally.events += 1

    def maybe(self, chance: float) -> bool:
        return self.random.random() < chance

    def options(self, texts: list[str]) -> dict[str, float]:
        return {
            "temperature": 0.8,
            "top_p": 0.95,
            "top_k": 0,
            "repetition_penalty": 1.0,
            "max_new_tokens": 128,
            "seed": self.random.randrange(2**32),
            "drafts": len(texts),
        }

    def times(self) -> Times:
        """As if it had been asked for a little while ago."""
        queued = now() - timedelta(seconds=5)
        first = queued + timedelta(milliseconds=self.random.randint(30, 120))
        finished = first + timedelta(milliseconds=self.random.randint(300, 1500))
        return Times(queued, queued, first, finished)


def fill(
    database: Database, media: Media, visitors: int = 12, seed: int = 1, *, add: bool = False
) -> Tally:
    """Add invented visitors; the same seed in an empty database always says the same.

    Raises NotEmpty where there are generations, unless they may be added to.
    """
    with database.read() as session:
        before = session.scalar(select(func.count()).select_from(Generation)) or 0
    if before and not add:
        raise NotEmpty(f"the database already holds generations ({before}); --add adds to them")
    whole = Tally()
    for number in range(visitors):
        name = f"{seed}/{before}/{number}"
        whole.add(database.write(partial(visit, media=media, name=name)))
    return whole


def visit(session: Session, *, media: Media, name: str) -> Tally:
    """One visitor's whole visit; two of eight do not allow training, one takes it back."""
    tally = Tally(visitors=1)
    visitor = InventedVisitor(session, media, name, tally)
    place = int(name.rpartition("/")[2]) % 8
    permission = visitor.agree(train=place not in (3, 6))
    for _ in range(visitor.random.randint(2, 5)):
        visitor.ask(permission, invented(session, "text"))
    for _ in range(visitor.random.randint(2, 4)):
        visitor.paint(permission, invented(session, "image"))
    latent_spaces = {
        medium: invented(session, "vae", f"invented {medium}")
        for medium in ("pictures", "vectors", "sentences")
    }
    for _ in range(visitor.random.randint(3, 5)):
        visitor.sample(permission, latent_spaces)
    if place == 5:
        visitor.agree(train=False)
    return tally


def invented(session: Session, task: str, name: str = "invented") -> int:
    """The version that stands for no model at all."""
    return register_version(
        session,
        task=task,
        name=name,
        source="feedback/demo.py",
        revision=None,
        sha256=hashlib.sha256(repr(THEMES).encode()).hexdigest(),
    )


def main(
    visitors: Annotated[int, typer.Option(min=1, max=1000, help="How many to invent.")] = 12,
    seed: Annotated[int, typer.Option(help="Another number, other words.")] = 1,
    add: Annotated[
        bool, typer.Option("--add", help="Also where there are generations already.")
    ] = False,
) -> None:
    """Fill the database with invented visitors, generations and feedback.

    Exit codes: 0 done, 1 nothing was added.
    """
    settings = Settings()
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database)
    try:
        migrate(database)
        added = fill(database, open_media(settings.media), visitors, seed, add=add)
    except (NotEmpty, TargetDown, UnusableTarget) as problem:
        typer.echo(f"{problem}.", err=True)
        raise typer.Exit(1) from problem
    finally:
        database.close()
    print(
        f"Added {added.visitors} invented visitors to "
        f"{database.url.render_as_string(hide_password=True)}: {added.requests} requests, "
        f"{added.generations} generations, {added.events} feedback events, {added.votes} votes.\n"
        "They are exported like real ones: do not invite visitors to this database."
    )


if __name__ == "__main__":
    typer.run(main)
