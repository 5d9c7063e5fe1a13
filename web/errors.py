"""Turn what can go wrong into answers: {"error": {"code", "message"}} in the visitor's language."""

import logging
from collections.abc import Awaitable, Callable, Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from db.replica.targets import TargetDown
from db.writer import Busy
from feedback.consent import NoConsent, OldTerms
from feedback.identity import ForeignHandle
from feedback.measures import REQUEST_ID
from feedback.mine import NoPicture
from feedback.rate import InvalidFeedback, KeyReused, UnknownGeneration
from generators.batching import where
from ui.strings import error_sentence, preferred_language
from web.identity import NoVisitor
from web.watch import CODE, HEADER

logger = logging.getLogger("genloop.web")

# Status, code of the sentence, seconds after which trying again makes sense.
ANSWERS: dict[type[Exception], tuple[int, str, int | None]] = {
    NoVisitor: (401, "no_visitor", None),
    NoConsent: (403, "no_consent", None),
    OldTerms: (409, "old_terms", None),
    UnknownGeneration: (404, "unknown_generation", None),
    ForeignHandle: (404, "unknown_generation", None),
    NoPicture: (404, "no_picture", None),
    KeyReused: (409, "key_reused", None),
    Busy: (503, "busy", 1),
    PoolTimeout: (503, "busy", 1),
    OperationalError: (503, "storage", 5),  # the disk is full, the file locked, the server away
    TargetDown: (503, "storage", 5),  # the pictures are away
}
STATUS_CODES = {404: "not_found", 405: "method_not_allowed"}
WHERE_LIMIT = 80  # characters of a field's name that are repeated


class Refused(Exception):
    """The request is not let in; `code` names the sentence that explains it."""

    def __init__(
        self, status: int, code: str, *, retry_after: int | None = None, **details: object
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.details = details


def answer(
    request: Request,
    status: int,
    code: str,
    *,
    retry_after: int | None = None,
    details: Mapping[str, object] | None = None,
) -> JSONResponse:
    """An error as the client sees it."""
    request.scope[CODE] = code
    language = preferred_language(request.headers.get("accept-language"))
    message = error_sentence(code, language, **(details or {}))
    headers = {"Content-Language": language, "X-Content-Type-Options": "nosniff"}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return JSONResponse({"error": {"code": code, "message": message}}, status, headers)


def refusal(request: Request, refused: Refused) -> JSONResponse:
    return answer(
        request,
        refused.status,
        refused.code,
        retry_after=refused.retry_after,
        details=refused.details,
    )


class NoTraceback(logging.Filter):
    """Keeps the server from reporting an exception that `unexpected` has reported already.

    The server's report has the exception's message, which may quote a prompt.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("Exception in ASGI application")


NO_TRACEBACK = NoTraceback()


def install(app: FastAPI) -> None:
    """The one place that turns exceptions of the routes into answers."""
    logging.getLogger("uvicorn.error").addFilter(NO_TRACEBACK)
    for exception, (status, code, retry_after) in ANSWERS.items():
        app.add_exception_handler(exception, known(status, code, retry_after))
    app.add_exception_handler(InvalidFeedback, invalid_feedback)
    app.add_exception_handler(Refused, refused_by_route)
    app.add_exception_handler(RequestValidationError, invalid_request)
    app.add_exception_handler(HTTPException, http_exception)
    app.add_exception_handler(Exception, unexpected)


def known(
    status: int, code: str, retry_after: int | None
) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handler(request: Request, error: Exception) -> Response:
        if status == 503:
            logger.warning("answered %s: %s", code, type(error).__name__)
        return answer(request, status, code, retry_after=retry_after)

    return handler


async def invalid_feedback(request: Request, error: Exception) -> Response:
    assert isinstance(error, InvalidFeedback)
    return answer(request, 422, error.code, details=error.details)


async def refused_by_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return refusal(request, error)


async def invalid_request(request: Request, error: Exception) -> Response:
    """Say which field is wrong and how, without repeating what was sent in it."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) + f" ({first['type']})"
    clean = where.encode("utf-8", "replace").decode()[:WHERE_LIMIT]
    return answer(request, 422, "invalid_request", details={"where": clean})


async def http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = STATUS_CODES.get(error.status_code)
    if code is None:
        return answer(
            request, error.status_code, "invalid_request", details={"where": str(error.status_code)}
        )
    return answer(request, error.status_code, code)


async def unexpected(request: Request, error: Exception) -> Response:
    """A bug of ours: the visitor gets a reference, the log says where; neither says what was sent.

    The message of the exception stays out, for it may quote a prompt or a token.
    """
    reference = REQUEST_ID.get()
    route = getattr(request.scope.get("route"), "path", "?")
    logger.error("reference %s: %s %s raised %s", reference, request.method, route, where(error))
    response = answer(request, 500, "internal", details={"reference": reference})
    response.headers[HEADER] = reference  # this answer does not pass web/watch.py
    return response
