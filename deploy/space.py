"""Put GenLoop on a Hugging Face Space: `python -m deploy.space OWNER/NAME --bucket OWNER/DATA`.

Prints what it would do; with --run it does that. The same command again updates the Space.

What is nobody else's business (keys, the owner, where the copy is) becomes a secret of the Space:
variables are public, and who duplicates a Space gets them too.
"""

import os
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

import httpx2
import typer
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    SpaceHardware,
    get_token,
)
from huggingface_hub.errors import BucketNotFoundError, HfHubHTTPError, RepositoryNotFoundError

from deploy.space_files import Shape, commit_of, space_files

OWN_KEYS = ("GENLOOP_SECRET", "GENLOOP_OWNER_TOKEN")  # made here where the Space has none
TOKEN = "GENLOOP_HUB_TOKEN"


class CannotDeploy(ValueError):
    """The plan cannot be made as asked for; the message says why."""


@dataclass(frozen=True)
class Wish:
    """What the Space is to be."""

    space: str
    private: bool = True
    shape: Shape = Shape()
    bucket: str = ""
    dataset: str = ""
    owners: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """What is on the Hub."""

    space: bool = False
    private: bool = True
    hardware: str | None = None
    files: frozenset[str] = frozenset()
    secrets: frozenset[str] = frozenset()
    variables: Mapping[str, str] = field(default_factory=dict)
    store: bool = False  # the bucket or dataset repository of the copy


@dataclass(frozen=True)
class Step:
    """One thing to do, in words, and how it is done."""

    words: str
    do: Callable[[HfApi], Any]


def look(api: HfApi, wish: Wish) -> Found:
    """What is there already."""
    store = has_store(api, wish)
    try:
        info = api.space_info(wish.space)
    except RepositoryNotFoundError:
        return Found(store=store)
    runtime = api.get_space_runtime(wish.space)
    return Found(
        space=True,
        private=bool(info.private),
        hardware=runtime.requested_hardware or runtime.hardware,
        files=frozenset(api.list_repo_files(wish.space, repo_type="space")),
        secrets=frozenset(api.get_space_secrets(wish.space)),
        variables={
            name: str(variable.value)
            for name, variable in api.get_space_variables(wish.space).items()
        },
        store=store,
    )


def has_store(api: HfApi, wish: Wish) -> bool:
    """Whether the place of the copy is there; raises CannotDeploy for a public one."""
    try:
        if wish.bucket:
            private = api.bucket_info(wish.bucket).private
        elif wish.dataset:
            private = bool(api.dataset_info(wish.dataset).private)
        else:
            return False
    except (BucketNotFoundError, RepositoryNotFoundError):
        return False
    if not private:
        raise CannotDeploy(
            f"{wish.bucket or wish.dataset} is public, and what visitors said must not be: make "
            "it private, or name another"
        )
    return True


def new_keys(found: Found, given: Mapping[str, str]) -> dict[str, str]:
    """The keys that the Space has not, and that were not given."""
    return {
        name: secrets.token_urlsafe(32)
        for name in OWN_KEYS
        if name not in found.secrets and name not in given
    }


def secrets_of(wish: Wish, found: Found, keys: Mapping[str, str]) -> dict[str, str]:
    """What becomes a secret of the Space."""
    wanted = {**keys, **wish.secrets}
    if wish.bucket or wish.dataset:
        kind, name = ("buckets", wish.bucket) if wish.bucket else ("datasets", wish.dataset)
        wanted["GENLOOP_REPLICA"] = f"hf://{kind}/{name}"
        if TOKEN not in wanted and TOKEN not in found.secrets:
            raise CannotDeploy(
                f"the Space needs a token to write its copy to {name}: make a fine-grained one "
                f"that may write there and nowhere else, and set {TOKEN} to it in this shell"
            )
    if wish.owners:
        wanted["GENLOOP_OWNERS"] = ",".join(wish.owners)
    return wanted


def plan(
    wish: Wish, found: Found, files: Mapping[str, bytes], keys: Mapping[str, str], commit: str
) -> list[Step]:
    """The steps from what is there to what is wished; the files come last, so that what is built
    from them finds its secrets."""
    return [
        *places(wish, found),
        *settings(wish, found, secrets_of(wish, found, keys), keys),
        upload(wish, found, files, commit),
    ]


def places(wish: Wish, found: Found) -> Iterator[Step]:
    space, shape = wish.space, wish.shape
    if (wish.bucket or wish.dataset) and not found.store:
        yield new_store(wish)
    if not found.space:
        seen = "private" if wish.private else "public"
        yield Step(
            f"create the {seen} {shape.sdk} Space {space} on {shape.hardware}",
            lambda api: api.create_repo(
                space,
                repo_type="space",
                private=wish.private,
                space_sdk=shape.sdk,
                space_hardware=cast(SpaceHardware, shape.hardware),  # any name goes
            ),
        )
        return
    if found.private != wish.private:
        yield Step(
            f"make {space} {'private' if wish.private else 'public'}",
            lambda api: api.update_repo_settings(space, repo_type="space", private=wish.private),
        )
    if found.hardware != shape.hardware:
        yield Step(
            f"move {space} from {found.hardware} to {shape.hardware}",
            lambda api: api.request_space_hardware(space, cast(SpaceHardware, shape.hardware)),
        )


def new_store(wish: Wish) -> Step:
    if wish.bucket:
        return Step(
            f"create the private bucket {wish.bucket} for the copy",
            lambda api: api.create_bucket(wish.bucket, private=True),
        )
    return Step(
        f"create the private dataset repository {wish.dataset} for the copy",
        lambda api: api.create_repo(wish.dataset, repo_type="dataset", private=True),
    )


def settings(
    wish: Wish, found: Found, wanted: Mapping[str, str], keys: Mapping[str, str]
) -> Iterator[Step]:
    for name, value in sorted(wanted.items()):
        how = "replace" if name in found.secrets else "set"
        origin = "a new one" if name in keys else "as given"
        yield Step(f"{how} the secret {name} ({origin})", put_secret(wish.space, name, value))
    for name, value in sorted(wish.variables.items()):
        if found.variables.get(name) != value:
            yield Step(f"set the variable {name} to {value}", put_variable(wish.space, name, value))


def put_secret(space: str, name: str, value: str) -> Callable[[HfApi], Any]:
    return lambda api: api.add_space_secret(space, name, value)


def put_variable(space: str, name: str, value: str) -> Callable[[HfApi], Any]:
    return lambda api: api.add_space_variable(space, name, value)


def upload(wish: Wish, found: Found, files: Mapping[str, bytes], commit: str) -> Step:
    gone = sorted(found.files - files.keys() - {".gitattributes"})
    size = sum(map(len, files.values()))
    words = f"upload {len(files)} files ({size / 1e6:.1f} MB) of GenLoop {commit}"
    if gone:
        words += f" and remove {len(gone)}: {', '.join(gone)}"
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        *(CommitOperationAdd(name, content) for name, content in sorted(files.items())),
        *(CommitOperationDelete(name) for name in gone),
    ]
    return Step(
        words,
        lambda api: api.create_commit(
            wish.space, operations, commit_message=f"GenLoop {commit}", repo_type="space"
        ),
    )


def pairs(given: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """NAME=VALUE as it stands; a NAME alone has its value in the environment."""
    found = {}
    for one in given:
        name, separator, value = one.partition("=")
        if not separator and name not in environment:
            raise CannotDeploy(f"{name} is not set in this shell")
        found[name] = value if separator else environment[name]
    return found


def public(variables: Mapping[str, str]) -> Mapping[str, str]:
    """The variables; raises CannotDeploy for one that everybody must not read."""
    for name in (*OWN_KEYS, TOKEN, "DATABASE_URL", "GENLOOP_REPLICA", "GENLOOP_OWNERS", "HF_TOKEN"):
        if name in variables:
            raise CannotDeploy(
                f"{name} must be a secret: variables are public, and a duplicate of the Space gets "
                f"them. Use --secret {name}"
            )
    return variables


def main(
    space: Annotated[str, typer.Argument(help="OWNER/NAME of the Space.")],
    private: Annotated[bool, typer.Option("--private/--public")] = True,
    hardware: Annotated[
        str, typer.Option(help="zero-a10g is ZeroGPU, cpu-basic a CPU; see the Hub for others.")
    ] = "zero-a10g",
    sdk: Annotated[str, typer.Option(help="gradio or docker; ZeroGPU takes gradio alone.")] = (
        "gradio"
    ),
    bucket: Annotated[
        str, typer.Option(help="OWNER/NAME of the bucket for the copy; made where it is not there.")
    ] = "",
    dataset: Annotated[
        str, typer.Option(help="OWNER/NAME of a dataset repository for the copy, instead.")
    ] = "",
    owner: Annotated[
        list[str] | None,
        typer.Option(help="Account of the Hub that is an owner; none: who created the Space."),
    ] = None,
    variable: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, public; or NAME, as in this shell.")
    ] = None,
    secret: Annotated[list[str] | None, typer.Option(help="NAME, as in this shell.")] = None,
    torch_index: Annotated[
        str, typer.Option(help="Address of PyTorch's CPU index, for a Space without a GPU.")
    ] = "",
    run: Annotated[bool, typer.Option("--run/--dry-run", help="Do it.")] = False,
) -> None:
    """Create or update a Space; without --run only the plan is printed, and nothing changed."""
    try:
        deploy(
            HfApi(),
            Wish(
                space=named(space),
                private=private,
                shape=shaped(sdk, hardware, torch_index),
                bucket=bucket and named(bucket),
                dataset=dataset and named(dataset),
                owners=tuple(owner or ()),
                variables=public(pairs(variable or (), os.environ)),
                secrets=pairs([*(secret or ()), *given_token(bucket or dataset)], os.environ),
            ),
            run,
        )
    except (CannotDeploy, HfHubHTTPError) as problem:
        sys.exit(str(problem))
    except (httpx2.TransportError, ConnectionError) as problem:
        sys.exit(f"The Hub cannot be reached: {problem}. The same command goes on from here.")


def named(text: str) -> str:
    owner, _, name = text.partition("/")
    if not owner or not name or "/" in name:
        raise CannotDeploy(f"“{text}” is no OWNER/NAME")
    return text


def shaped(sdk: str, hardware: str, torch_index: str) -> Shape:
    shape = Shape(sdk, hardware, torch_index)
    if sdk not in ("gradio", "docker"):
        raise CannotDeploy(f"a Space of GenLoop is of the SDK gradio or docker, not {sdk}")
    if shape.is_zero and (sdk != "gradio" or torch_index):
        raise CannotDeploy("ZeroGPU takes Spaces of the SDK gradio, with its own torch")
    return shape


def given_token(store: str) -> list[str]:
    return [TOKEN] if store and TOKEN in os.environ else []


def deploy(api: HfApi, wish: Wish, run: bool) -> None:
    """Print the plan, and carry it out if that is wanted."""
    if api.token or get_token():
        found = look(api, wish)
    elif run:
        raise CannotDeploy("log in to the Hub first: hf auth login, or HF_TOKEN")
    else:
        print("Not logged in to the Hub, so this is the plan for a new Space.")
        found = Found()
    keys = new_keys(found, wish.secrets)
    steps = plan(wish, found, space_files(wish.shape), keys, commit_of())
    for number, step in enumerate(steps, 1):
        print(f"{number}. {step.words}", flush=True)
        if run:
            step.do(api)
    if not run:
        print("Nothing was done. The same command with --run does it.")
        return
    print(f"Done: {api.endpoint}/spaces/{wish.space}")
    for name, value in keys.items():
        print(f"{name}={value}\n  is shown only now, and the Hub does not give it back: keep it.")


if __name__ == "__main__":
    typer.run(main)
