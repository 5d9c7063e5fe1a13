"""What the environment says: settings, and switches of libraries. Quick to import."""

import difflib
import re
from collections.abc import Iterator, Mapping

from pydantic import ValidationError

from config import Settings
from web.doctor.findings import Finding, Surroundings, fail, ok, warn

PREFIX = "GENLOOP_"
OFF = ("", "0", "false", "no", "off")
# Switches that open something if they are set by accident, by what they open.
SWITCHES = {
    "FASTAPI_OTEL_AUTO_CONFIGURE": "otel",
    "GRADIO_ALLOWED_PATHS": "files",
    "GRADIO_ANALYTICS_ENABLED": "analytics",
    "GRADIO_DEBUG": "debug",
    "GRADIO_HISTORY_BUCKET": "history",
    "GRADIO_HOT_RELOAD": "reload",
    "GRADIO_LOCAL_DEV_MODE": "origins",
    "GRADIO_MCP_SERVER": "mcp",
    "GRADIO_NUM_WORKERS": "workers",
    "GRADIO_PROFILING": "profiling",
    "GRADIO_RUN_HISTORY": "history",
    "GRADIO_SHARE": "share",
    "GRADIO_SHARE_SERVER_ADDRESS": "share",
    "GRADIO_VIBE_MODE": "vibe",
    "GRADIO_WATCH_DEMO_NAME": "reload",
    "GRADIO_WATCH_DEMO_PATH": "reload",
    "GRADIO_WATCH_DIRS": "reload",
    "GRADIO_WATCH_MODULE_NAME": "reload",
}
KEY = re.compile(r"[?&]key=([A-Z_][A-Z0-9_]*)")  # in an entry that names an engine


def variables() -> dict[str, str]:
    """Each setting's variable, and the name of its field."""
    return {
        str(entry.validation_alias or f"{PREFIX}{name}".upper()): name
        for name, entry in Settings.model_fields.items()
    }


def settings(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Names that are none, and how many are set."""
    known = variables()
    named = set(KEY.findall(" ".join(environment.values())))  # keys of engines, as somebody likes
    given = {name for name in environment if name.startswith(PREFIX) or name in known}
    for name in sorted(given - known.keys() - named):
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        yield warn("setting_unknown", name=name, near=near[0] if near else "docs/settings.md")
    yield ok("settings_ok", count=len(given & known.keys()))


def problems(error: ValidationError) -> Iterator[Finding]:
    """Each setting that makes no sense, without its value, which may be a secret."""
    names = {field: variable for variable, field in variables().items()}
    for one in error.errors(include_input=False, include_url=False, include_context=False):
        place = str(one["loc"][0]) if one["loc"] else "?"
        yield fail("setting_bad", name=names.get(place, place), reason=one["msg"])


def switches(at: Surroundings) -> Iterator[Finding]:
    """Switches of Gradio and FastAPI that open what the app keeps shut."""
    found = False
    for name, what in SWITCHES.items():
        value = at.environment.get(name, "").strip().lower()
        if value not in OFF and not (what == "workers" and value == "1"):
            found = True
            yield warn(f"switch_{what}", name=name)
    if not found:
        yield ok("switches_ok", count=len(SWITCHES))
