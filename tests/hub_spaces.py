"""The stand-in for the Hub, with Spaces and buckets."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.hub_stand_in import NAME, ROUTES, Answer, Hub, create

MADE = "2026-11-01T00:00:00.000Z"


@dataclass
class Space:
    sdk: str
    hardware: str
    secrets: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)


class SpaceHub(Hub):
    def __init__(self, token: str) -> None:
        super().__init__(token)
        self.spaces: dict[str, Space] = {}  # what they have besides their files
        self.buckets: dict[str, bool] = {}  # private or not
        self.large_from = 1 << 60  # the ways of LFS and Xet are those of huggingface_hub
        self.routes = {**ROUTES, **MORE_ROUTES}


def create_repository(hub: SpaceHub, body: bytes) -> Any:
    made, asked = create(hub, body), json.loads(body)
    if asked["type"] == "space":
        hub.spaces[made["id"]] = Space(asked["sdk"], asked["hardware"])
    return made


def runtime(hub: SpaceHub, _: bytes, name: str) -> Any:
    hardware = {"current": None, "requested": hub.spaces[name].hardware}
    return {"stage": "BUILDING", "hardware": hardware, "gcTimeout": None}


def ask_for_hardware(hub: SpaceHub, body: bytes, name: str) -> Any:
    wanted = json.loads(body)["flavor"]
    hub.changes.append(f"move {name} from {hub.spaces[name].hardware} to {wanted}")
    hub.spaces[name].hardware = wanted
    return runtime(hub, b"", name)


def change_settings(hub: SpaceHub, body: bytes, name: str) -> Any:
    wanted = json.loads(body)["visibility"]
    hub.repositories[f"spaces/{name}"].private = wanted == "private"
    hub.changes.append(f"make {name} {wanted}")
    return {}


def secrets(hub: SpaceHub, _: bytes, name: str) -> Any:
    return {one: {"updatedAt": MADE} for one in hub.spaces[name].secrets}


def variables(hub: SpaceHub, _: bytes, name: str) -> Any:
    return {one: {"value": value} for one, value in hub.spaces[name].variables.items()}


def keep(hub: SpaceHub, body: bytes, name: str, kind: str) -> Any:
    asked, space = json.loads(body), hub.spaces[name]
    (space.secrets if kind == "secrets" else space.variables)[asked["key"]] = asked["value"]
    hub.changes.append(f"{kind[:-1]} {asked['key']}")
    return variables(hub, b"", name)


def bucket(hub: SpaceHub, _: bytes, name: str) -> Any:
    if name not in hub.buckets:
        raise Answer(404, {"error": "Repository not found"}, "RepoNotFound")
    private = hub.buckets[name]
    return {"id": name, "private": private, "createdAt": MADE, "size": 0, "totalFiles": 0}


def create_bucket(hub: SpaceHub, body: bytes, name: str) -> Any:
    wanted = json.loads(body)["visibility"]
    hub.buckets[name] = wanted == "private"
    hub.changes.append(f"create the {wanted} bucket {name}")
    return {"url": f"{hub.url}/buckets/{name}"}


MORE_ROUTES: dict[str, Callable[..., Any]] = {
    "POST /api/repos/create": create_repository,
    f"GET /api/spaces/{NAME}/runtime": runtime,
    f"POST /api/spaces/{NAME}/hardware": ask_for_hardware,
    f"PUT /api/spaces/{NAME}/settings": change_settings,
    f"GET /api/spaces/{NAME}/secrets": secrets,
    f"GET /api/spaces/{NAME}/variables": variables,
    f"POST /api/spaces/{NAME}/(secrets|variables)": keep,
    f"GET /api/buckets/{NAME}": bucket,
    f"POST /api/buckets/{NAME}": create_bucket,
}
