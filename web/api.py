"""The visitors' API under /api: who they are, what they agree to, what they say, what is kept."""

from typing import Annotated, Any, Literal, cast

import anyio.to_thread
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from feedback import compare, mine
from feedback.consent import TERMS, TERMS_VERSION, give, permission, terms_sha256
from feedback.erase import empty_log, erase
from feedback.events_csv import csv_chunks
from feedback.keep import keep_event
from feedback.measures import CONSENTS, EVENTS, SIGNALS
from feedback.rate import Receipt, Value, signal
from feedback.spec import Flavour
from web.downloads import CSV, download, events, my_json
from web.identity import (
    Caller,
    caller,
    caller_or_none,
    give_cookie,
    is_https,
    take_cookie,
)
from web.questions import asked
from web.services import Services
from web.shown import shown

Language = Literal["en", "zh"]
MILLISECONDS = 2**31 - 1  # the largest that the database keeps


class Sent(BaseModel):
    """A body from outside: what is not asked for is refused, and no type is guessed."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Token(BaseModel):
    token: str = Field(description="Send it back in the header X-GenLoop-Visitor.")


class ConsentSent(Sent):
    keep: bool = Field(description="Prompts, outputs and feedback may be stored.")
    train: bool = Field(description="What is stored may also train models.")
    language: Language = Field(description="The language in which the terms were read.")
    terms_version: str = Field(max_length=32, description="The version that was read.")


class ConsentKept(BaseModel):
    keep: bool
    train: bool
    terms_version: str
    language: Language
    created_at: str


class Me(BaseModel):
    consent: ConsentKept | None = Field(description="The last answer; null for a stranger.")
    current_terms: str = Field(description="The version of the terms that is asked for now.")
    counts: dict[str, int] = Field(description="How many rows of each kind are kept.")


class Terms(BaseModel):
    version: str
    sha256: str = Field(description="SHA-256 of version, language and text.")
    text: str


class FeedbackSent(Sent):
    key: str = Field(max_length=64, description="A new UUID; the same again is the same event.")
    generation: str = Field(max_length=100, description="The handle of one of your outputs.")
    kind: str = Field(
        max_length=16, description="thumb stars reasons comment edit choice report rank region"
    )
    value: bool | int | float | str | list[str] | dict[str, Any] | None = Field(
        description="thumb: 1 or -1. stars: 1 to 5. reasons: a list of codes. comment, edit, "
        "report: a text; the edit of a picture is its caption. choice: true, this draft is the "
        "best of its request. rank: its place, 1 for the best. region: {strokes, text}, each "
        "stroke WIDTH:X,Y X,Y … in thousandths of the sides. null takes back what was said."
    )


class ReceiptGiven(BaseModel):
    id: int
    key: str
    kind: str
    created_at: str


class SignalSent(Sent):
    key: str = Field(max_length=64, description="A new UUID; the same again is the same act.")
    generation: str = Field(max_length=100, description="The handle of one of your outputs.")
    kind: str = Field(
        max_length=16, description="copy, retry, continue, stop, reproduce or first_action"
    )
    milliseconds: int | None = Field(
        None, ge=0, le=MILLISECONDS, description="From the end of the output to the act."
    )


class VoteSent(Sent):
    key: str = Field(max_length=64, description="A new UUID; the same again is the same vote.")
    left: str = Field(max_length=100, description="The handle of the output on the left.")
    right: str = Field(max_length=100, description="The handle of the one on the right.")
    answer: str = Field(max_length=16, description="left, right, tie or both_bad")


class Draft(BaseModel):
    generation: str = Field(description="The handle: signed, and good for its visitor alone.")
    draft: int
    output: str | None = Field(description="The text, if it is one.")
    picture: bool = Field(description="Whether /api/media/{generation} has a picture of it.")
    latent: dict[str, Any] | None = Field(description="Of a VAE: z, and of a vector also x.")
    status: str = Field(description="complete, stopped or failed")
    finish_reason: str | None = Field(description="end, length, stop or error")
    feedback: dict[str, Any] = Field(description="What you say of it now, by kind.")


class VoteKept(BaseModel):
    left: str = Field(description="The handle of the draft that was on the left.")
    right: str
    answer: str = Field(description="left, right, tie or both_bad")


class RequestKept(BaseModel):
    request_id: str
    task: str
    model: str
    inputs: dict[str, Any]
    options: dict[str, Any]
    parent: str | None = Field(description="Handle of the output that this one goes on from.")
    relation: str | None = Field(description="retry, continue or turn")
    created_at: str
    drafts: list[Draft]
    votes: list[VoteKept] = Field(description="Your last answer to each pair of these drafts.")


class ErrorSaid(BaseModel):
    code: str
    message: str = Field(description="A sentence in the language of Accept-Language (en, zh).")


class Error(BaseModel):
    error: ErrorSaid


# Coroutines, for FastAPI sends what is not one to a thread and waits for it.
async def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Given = Annotated[Services, Depends(services_of)]


async def caller_of(request: Request, services: Given) -> Caller:
    return caller(request, services.signer)


Visitor = Annotated[Caller, Depends(caller_of)]


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of a route, for its description."""
    return {status: {"model": Error} for status in statuses}


REPLAYED = {"model": ReceiptGiven, "description": "This key was already kept."}

router = APIRouter(prefix="/api", responses=errors(429, 503))


def is_secure(request: Request, services: Services) -> bool:
    return is_https(request.scope, services.hops)


@router.post("/visitor", tags=["identity"], status_code=201)
async def new_visitor(request: Request, response: Response, services: Given) -> Token:
    """A new random name, as a cookie and in the answer; nothing is stored."""
    token = services.signer.new_token()
    give_cookie(response, token, secure=is_secure(request, services))
    return Token(token=token)


@router.get("/me", tags=["identity"])
async def me(request: Request, services: Given) -> Me:
    """What you agreed to, and how much is kept of you."""
    known = caller_or_none(request, services.signer)
    key_hash = known.key_hash if known else None
    return Me(**await asked(services.database, lambda session: mine.about(session, key_hash)))


@router.get("/terms", tags=["consent"])
async def terms(language: Language = "en") -> Terms:
    """The text that is agreed to."""
    return Terms(version=TERMS_VERSION, sha256=terms_sha256(language), text=TERMS[language])


@router.post("/consent", tags=["consent"], responses=errors(401, 409, 422))
async def answer_terms(sent: ConsentSent, visitor: Visitor, services: Given) -> Me:
    """Answer the terms; a new answer replaces the last one, so this also withdraws.

    Nothing is stored of one who has never agreed and declines.
    """

    def work(session: Session) -> dict[str, Any]:
        give(
            session,
            visitor.key_hash,
            keep=sent.keep,
            train=sent.train,
            language=sent.language,
            version=sent.terms_version,
        )
        return mine.about(session, visitor.key_hash)

    about = await services.database.awrite(work)
    CONSENTS.labels(str(sent.keep).lower(), str(sent.train).lower()).inc()
    return Me(**about)


@router.post(
    "/feedback",
    tags=["feedback"],
    status_code=201,
    responses={200: REPLAYED, **errors(401, 403, 404, 409, 422)},
)
async def give_feedback(sent: FeedbackSent, request: Request, response: Response) -> ReceiptGiven:
    """Say one thing about one of your outputs.

    The answer comes once it is safely on disk. Sent again with the same key, it stays one event
    and the receipt is the same.
    """
    # Asked here instead of by Depends: on this, the busiest route, that is a fifth of the work.
    services: Services = request.app.state.services
    visitor = caller(request, services.signer)
    generation_id = services.signer.open_handle(sent.generation, visitor.key_hash)

    def work(session: Session) -> tuple[Receipt, bool]:
        return keep_event(
            session,
            visitor.key_hash,
            key=sent.key,
            generation_id=generation_id,
            kind=sent.kind,
            value=cast(Value, sent.value),  # a float is refused there, with a better sentence
        )

    receipt, new = await services.database.awrite(work)
    if new:
        EVENTS.labels(receipt.kind).inc()
    response.status_code = 201 if new else 200
    return ReceiptGiven(**vars(receipt))


@router.post("/signals", tags=["feedback"], status_code=204, responses=errors(401, 403, 404, 422))
async def give_signal(sent: SignalSent, visitor: Visitor, services: Given) -> None:
    """Report one implicit act, such as copying; never counted as feedback."""
    generation_id = services.signer.open_handle(sent.generation, visitor.key_hash)

    def work(session: Session) -> bool:
        return signal(
            session,
            permission(session, visitor.key_hash),
            key=sent.key,
            generation_id=generation_id,
            kind=sent.kind,
            milliseconds=sent.milliseconds,
        )

    if await services.database.awrite(work):
        SIGNALS.labels(sent.kind).inc()


@router.post(
    "/votes",
    tags=["feedback"],
    status_code=201,
    responses={200: REPLAYED, **errors(401, 403, 404, 409, 422)},
)
async def give_vote(
    sent: VoteSent, visitor: Visitor, response: Response, services: Given
) -> ReceiptGiven:
    """Say which of two outputs of one request is better. The last vote on a pair counts."""
    left, right = (
        services.signer.open_handle(handle, visitor.key_hash) for handle in (sent.left, sent.right)
    )

    def work(session: Session) -> tuple[Receipt, bool]:
        return compare.vote(
            session,
            permission(session, visitor.key_hash),
            key=sent.key,
            left_id=left,
            right_id=right,
            answer=sent.answer,
        )

    receipt, new = await services.database.awrite(work)
    if new:
        EVENTS.labels(receipt.kind).inc()
    response.status_code = 201 if new else 200
    return ReceiptGiven(**vars(receipt))


@router.get(
    "/media/{handle}",
    tags=["generations"],
    response_class=FileResponse,
    responses={200: {"content": {"image/png": {}, "image/webp": {}}}, **errors(401, 404)},
)
async def my_picture(
    handle: str, visitor: Visitor, services: Given, thumb: bool = False
) -> Response:
    """The picture of one of your outputs; all that made it stands in the file.

    With `thumb` a small version of it, for lists.
    """
    generation_id = services.signer.open_handle(handle, visitor.key_hash)
    sha256 = await asked(
        services.database, lambda session: mine.picture(session, visitor.key_hash, generation_id)
    )
    name = f"genloop-{generation_id}"
    try:
        return await anyio.to_thread.run_sync(shown, services.media, sha256, name, thumb)
    except FileNotFoundError as gone:
        raise mine.NoPicture(generation_id) from gone


@router.get("/generations", tags=["generations"], responses=errors(401, 422))
async def my_generations(
    visitor: Visitor,
    services: Given,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    task: Annotated[str | None, Query(max_length=16, description="text, image or vae")] = None,
    before: Annotated[
        str | None, Query(max_length=36, description="request_id of the last one seen")
    ] = None,
) -> list[RequestKept]:
    """Your own requests with their drafts and what you say of them, newest first."""

    def question(session: Session) -> list[mine.Row]:
        return mine.requests(
            session,
            visitor.key_hash,
            handle=lambda one: services.signer.handle(one, visitor.key_hash),
            limit=limit,
            before=before,
            task=task,
        )

    return [RequestKept(**row) for row in await asked(services.database, question)]


@router.get("/generations/{handle}", tags=["generations"], responses=errors(401, 404))
async def my_generation(handle: str, visitor: Visitor, services: Given) -> RequestKept:
    """One of your outputs: its request, with this draft alone."""
    generation_id = services.signer.open_handle(handle, visitor.key_hash)

    def question(session: Session) -> mine.Row:
        return mine.one(
            session,
            visitor.key_hash,
            generation_id,
            handle=lambda one: services.signer.handle(one, visitor.key_hash),
        )

    return RequestKept(**await asked(services.database, question))


@router.get(
    "/my/feedback.csv",
    tags=["my data"],
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {}}}, **errors(401)},
)
async def my_feedback_csv(
    visitor: Visitor, services: Given, flavour: Flavour = "lossless", bom: bool = False
) -> StreamingResponse:
    """All that you said, as CSV; the flavour `spreadsheet` guards cells that look like formulas."""
    visitor_id = await asked(
        services.database, lambda session: mine.find(session, visitor.key_hash)
    )
    rows = iter(()) if visitor_id is None else events(services.database, visitor_id=visitor_id)
    return download(csv_chunks(rows, flavour, bom), CSV, "genloop-my-feedback.csv")


@router.get(
    "/my/data.json",
    tags=["my data"],
    response_class=StreamingResponse,
    responses={200: {"content": {"application/json": {}}}, **errors(401)},
)
async def my_data(visitor: Visitor, services: Given) -> StreamingResponse:
    """Everything that is kept of you."""
    chunks = my_json(services.database, visitor.key_hash)
    return download(chunks, "application/json", "genloop-my-data.json")


@router.delete("/my", tags=["my data"], status_code=204, responses=errors(401))
async def erase_me(request: Request, visitor: Visitor, services: Given) -> Response:
    """Erase everything that is kept of you, at once and for good."""

    def work(session: Session) -> None:
        services.media.drop_unused(session, erase(session, visitor.key_hash))

    await services.database.awrite(work)
    await anyio.to_thread.run_sync(empty_log, services.database)
    response = Response(status_code=204)
    take_cookie(response, secure=is_secure(request, services))
    return response
