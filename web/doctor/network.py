"""What lies beyond the machine: proxies, the Hugging Face Hub, a collector of traces."""

import importlib
import importlib.util
import ipaddress
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from httpx2 import HTTPError
from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from config import Settings
from models.engines import is_engine
from models.registry import HUB_ID
from web.doctor.findings import Finding, Surroundings, fail, ok, warn


def proxies(at: Surroundings) -> Iterator[Finding]:
    """Proxies that the app would speak through, and engines that they would cut off."""
    given = {scheme: url for scheme, url in getproxies_environment().items() if scheme != "no"}
    if not given:
        yield ok("proxies_none")
        return
    if any(url.startswith("socks") for url in given.values()) and not importlib.util.find_spec(
        "socksio"
    ):
        yield fail("proxies_socks")
    for entry in (*at.settings.text_models, *at.settings.image_models):
        for host in hosts_of(entry):
            if is_near(host) and not proxy_bypass(host):
                yield warn("proxies_near", host=host)
    yield ok("proxies_some", schemes=", ".join(sorted(given)))


def hosts_of(entry: str) -> Iterator[str]:
    """The hosts of an engine that an entry of the settings names."""
    if is_engine(entry):
        for address in entry.partition(":")[2].partition("#")[0].split("|"):
            if host := urlsplit(address).hostname:
                yield host


def is_near(host: str) -> bool:
    """Whether the host is this machine or of a private network, where no proxy is wanted."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or "." not in host


def hub(at: Surroundings) -> Iterator[Finding]:
    """The token of the Hugging Face Hub, where something needs it."""
    needs = list(needing_the_hub(at.settings))
    token = at.settings.hub_token.get_secret_value() or get_token()
    if not needs:
        yield ok("hub_unused")
        return
    if not token:
        must = [need for need in needs if need != "models"]
        yield (fail("hub_no_token", needs=", ".join(must)) if must else ok("hub_public"))
        return
    try:
        known = HfApi(token=token).whoami()
    except OfflineModeIsEnabled:
        yield warn("hub_offline")
    except HfHubHTTPError as problem:
        if problem.response.status_code == 401:
            yield fail("hub_refused")
        else:
            yield warn("hub_away", reason=f"HTTP {problem.response.status_code}")
    except (HTTPError, OSError) as problem:
        yield warn("hub_away", reason=type(problem).__name__)
    else:
        role = (known.get("auth") or {}).get("accessToken", {}).get("role", "")
        if {"copy", "exports"} & set(needs) and role == "read":
            yield fail("hub_read_only", name=known.get("name", "?"))
        else:
            yield ok("hub_ok", name=known.get("name", "?"), needs=", ".join(needs))


def needing_the_hub(given: Settings) -> Iterator[str]:
    entries = (*given.text_models, *given.image_models, *given.image_adapters, *given.vae_models)
    if any(HUB_ID.search(entry) for entry in entries if not is_engine(entry)):
        yield "models"
    if any(entry.startswith("hf-inference:") for entry in entries):
        yield "hf-inference"
    if given.replica.startswith("hf://"):
        yield "copy"
    if given.export_push_to.startswith("hf://"):
        yield "exports"


def traces(at: Surroundings) -> Iterator[Finding]:
    """Whether somebody listens where traces go."""
    endpoint = at.settings.traces_endpoint
    if not endpoint:
        yield ok("traces_none")
        return
    try:
        importlib.import_module("opentelemetry.exporter.otlp.proto.http")
    except ModuleNotFoundError:
        yield fail("traces_packages")
        return
    parts = urlsplit(endpoint)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=3).close()
    except OSError as problem:
        yield warn("traces_away", reason=problem.strerror or type(problem).__name__)
    else:
        yield ok("traces_ok")
