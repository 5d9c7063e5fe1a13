"""Log in with a Hugging Face account: only on a Space, and only for its owners.

A Space whose front matter says `hf_oauth: true` is given an OAuth client of its own. Elsewhere
there is none, so the door stays shut, whatever the settings say. The way is the authorization code
flow with PKCE (RFC 6749 4.1, RFC 7636); nothing of the account is kept, and no token outlives the
call.
"""

import base64
import hashlib
import hmac
import logging
import secrets
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx2

from feedback.identity import Signer

log = logging.getLogger("genloop.web")

PATH = "/owner/hub"
CALLBACK = f"{PATH}/callback"
COOKIE = "genloop_hub_login"
TEN_MINUTES = 600  # seconds in which the login must be done


class HubLoginFailed(RuntimeError):
    """The Hub did not say who this is, or another browser began the login."""


class NotAnOwner(PermissionError):
    """The account is none of the owners'."""


@dataclass(frozen=True)
class HubLogin:
    """A Space's OAuth client, and who may come in by it."""

    client_id: str
    client_secret: str
    provider: str  # https://huggingface.co
    host: str  # of the Space, as its visitors see it
    owners: tuple[str, ...]  # names of accounts
    creator: str  # id of the account that created the Space; counts where no owner is named

    @property
    def callback(self) -> str:
        return f"https://{self.host}{CALLBACK}"

    def begin(self, signer: Signer) -> tuple[str, str]:
        """Where to send the browser, and the cookie by which it is known when it returns."""
        until = int(time.time()) + TEN_MINUTES
        ticket = f"{until}.{secrets.token_urlsafe(32)}"
        cookie = f"{ticket}.{signer.sign('hub login', ticket)}"
        asked = {
            "client_id": self.client_id,
            "redirect_uri": self.callback,
            "response_type": "code",
            "scope": "openid profile",
            "state": state_of(cookie),
            "code_challenge": url_safe(hashlib.sha256(verifier_of(cookie).encode()).digest()),
            "code_challenge_method": "S256",
        }
        return f"{self.provider}/oauth/authorize?{urlencode(asked)}", cookie

    async def finish(self, code: str, state: str, cookie: str, signer: Signer) -> str:
        """The name of the owner who returned; raises HubLoginFailed or NotAnOwner."""
        ticket, _, signed = cookie.rpartition(".")
        is_ours = hmac.compare_digest(
            signed.encode(), signer.sign("hub login", ticket).encode()
        ) and hmac.compare_digest(state.encode(), state_of(cookie).encode())
        if not code or not is_ours or int(ticket.partition(".")[0]) < time.time():
            raise HubLoginFailed("not begun in this browser, or too long ago")
        account = await self.account(code, verifier_of(cookie))
        name = str(account.get("preferred_username", ""))
        if not self.is_owner(name, str(account.get("sub", ""))):
            raise NotAnOwner(name)
        return name

    def is_owner(self, name: str, id: str) -> bool:
        if self.owners:
            return name.lower() in {owner.lower() for owner in self.owners}
        return bool(self.creator) and id == self.creator

    async def account(self, code: str, verifier: str) -> dict[str, Any]:
        """What the Hub says of the account behind a code; raises HubLoginFailed."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.callback,
            "client_id": self.client_id,
            "code_verifier": verifier,
        }
        try:
            async with httpx2.AsyncClient(base_url=self.provider, timeout=10) as hub:
                given = await hub.post(
                    "/oauth/token", data=form, auth=(self.client_id, self.client_secret)
                )
                given.raise_for_status()
                bearer = {"Authorization": f"Bearer {given.json()['access_token']}"}
                told = await hub.get("/oauth/userinfo", headers=bearer)
                told.raise_for_status()
                account: dict[str, Any] = told.json()
                return account
        except (httpx2.HTTPError, ValueError, KeyError) as problem:
            log.warning("a login at the Hub failed: %s", type(problem).__name__)
            raise HubLoginFailed("the Hub does not say who this is") from problem


def state_of(cookie: str) -> str:
    """What the Hub sends back unchanged; it knows the browser again and betrays no verifier."""
    return url_safe(hashlib.sha256(f"state {cookie}".encode()).digest())


def verifier_of(cookie: str) -> str:
    return url_safe(hashlib.sha256(f"verifier {cookie}".encode()).digest())


def url_safe(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
