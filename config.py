"""Every setting of GenLoop, its default and its meaning; read once by the entry points."""

import os
from pathlib import Path
from typing import Annotated, Literal

from dotenv import dotenv_values
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

ROOT = Path(__file__).resolve().parent
BUNDLED = ROOT / "models" / "bundled"

MemoryOption = Literal[
    "model_cpu_offload", "sequential_cpu_offload", "attention_slicing", "vae_slicing", "vae_tiling"
]


class Settings(BaseSettings):
    """Settings come from `GENLOOP_*` variables, or a `.env` file beside app.py."""

    model_config = SettingsConfigDict(
        env_prefix="GENLOOP_",
        env_file=ROOT / ".env",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,  # it may be a token
    )

    data_dir: Path = Field(Path("data"), description="Folder of the database and the secrets.")
    database_url: str = Field(
        "",
        validation_alias="DATABASE_URL",
        description="postgresql://… or sqlite:///…; empty means app.db in the data folder.",
    )
    media_dir: str = Field(
        "",
        description="Where the pictures are, one place for all replicas of the app: a folder, or "
        "s3://BUCKET/FOLDER or another URL of fsspec (docs/operations.md); empty: media in the "
        "data folder.",
    )
    host: str = Field(
        default_factory=lambda: "0.0.0.0" if os.environ.get("SPACE_ID") else "127.0.0.1",
        description="Address to listen on: this machine alone (127.0.0.1), or everybody (0.0.0.0, "
        "the default on Hugging Face Spaces).",
    )
    port: int = Field(7860, ge=0, le=65535, description="Port to listen on.")
    text_models: Annotated[tuple[str, ...], NoDecode] = Field(
        (str(BUNDLED / "poet"),),
        description="Text models, separated by commas: a local folder, ORG/NAME@COMMIT of the "
        "Hub, or an engine that serves one, openai:ADDRESS#MODEL or "
        "hf-inference:PROVIDER#ORG/NAME (docs/engines.md). The first is the default.",
    )
    image_models: Annotated[tuple[str, ...], NoDecode] = Field(
        (str(BUNDLED / "painter"),),
        description="Text-to-image models in the diffusers format, separated by commas: a local "
        "folder, or ORG/NAME@COMMIT of the Hub; or an engine, as for texts (docs/engines.md). The "
        "first is the default.",
    )
    image_adapters: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="LoRA adapters of the first image model, separated by commas: a local folder, "
        "or ORG/NAME@COMMIT of the Hub; :WEIGHT after it is the weight to begin with, such as "
        "styles/pencil:0.8, else 1.",
    )
    image_memory: Annotated[tuple[MemoryOption, ...], NoDecode] = Field(
        (),
        description="Ways of diffusers to need less memory for pictures, at the price of time, "
        "separated by commas: model_cpu_offload, sequential_cpu_offload (both need a GPU), "
        "attention_slicing, vae_slicing, vae_tiling.",
    )
    vae_models: Annotated[tuple[str, ...], NoDecode] = Field(
        (str(BUNDLED / "vae"), str(BUNDLED / "gan")),
        description="Latent models of the VAE tab, separated by commas: a folder of GenLoop's own, "
        "or an AutoencoderKL or AutoencoderTiny in the diffusers format, as a local folder or "
        "ORG/NAME@COMMIT of the Hub. The first is the default; empty leaves the tab out.",
    )
    visitor_training: bool = Field(
        default_factory=lambda: not os.environ.get("SPACE_ID"),
        description="Whether visitors may train latent models of their own, one at a time (the "
        "default, but not on Hugging Face Spaces).",
    )
    engine_at_once: int = Field(
        16,
        ge=1,
        description="Requests that one engine is sent at once, all its endpoints together; "
        "?at_once= in its entry is for that engine alone.",
    )
    engine_connect_seconds: float = Field(
        5, gt=0, description="Seconds in which an engine's endpoint must take a connection."
    )
    engine_first_seconds: float = Field(
        120, gt=0, description="Seconds in which an engine must send a first token, or a picture."
    )
    engine_silence_seconds: float = Field(
        60, gt=0, description="Seconds that an engine may be silent between two tokens."
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Number format of the weights; auto: float32 on a CPU, else bfloat16."
    )
    torch_threads: int = Field(
        0, ge=0, description="CPU threads of one generation; 0 leaves the choice to torch."
    )
    max_waiting: int = Field(
        64, ge=1, description="Requests that may wait for one model before newcomers are refused."
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Origins besides the app's own that may call it, separated by commas.",
    )
    trusted_proxies: int = Field(
        0, ge=0, description="How many proxies in front add to X-Forwarded-For; 0 ignores it."
    )
    secret: SecretStr = Field(
        SecretStr(""),
        description="Key that signs visitors' tokens; empty: made once, kept in the data folder.",
    )
    owner_token: SecretStr = Field(
        SecretStr(""),
        description="Password of the owner area, 16 characters or more; empty: made at the first "
        "start, printed once and kept in the data folder.",
    )
    replica: str = Field(
        "",
        description="Where a copy of everything that visitors leave is kept, from which an empty "
        "database is rebuilt at the start: a folder on another disk, s3://BUCKET/FOLDER or another "
        "URL of fsspec, hf://buckets/OWNER/NAME, or hf://datasets/OWNER/NAME; empty: nowhere. See "
        "docs/durability.md.",
    )
    replica_seconds: float = Field(
        10.0, gt=0, description="Seconds after which what is new is copied, at the latest."
    )
    replica_events: int = Field(
        200, ge=1, description="Written rows after which they are copied without waiting longer."
    )
    owners: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="On a Space, accounts of the Hugging Face Hub that may log in as owners, "
        "separated by commas; empty: who created the Space. Set it as a secret: a duplicated Space "
        "gets the variables of the first.",
    )
    export_every_hours: float = Field(
        0,
        ge=0,
        description="Export by itself every so many hours; 0 or empty: not for this reason.",
    )
    export_every_labels: int = Field(
        0,
        ge=0,
        description="Export by itself after so many new feedback events and votes that may be "
        "trained on; 0 or empty: not for this reason.",
    )
    export_formats: Annotated[tuple[str, ...], NoDecode] = Field(
        ("sft", "dpo", "kto"),
        description="Formats of these exports, separated by commas. Each is a dataset of its own.",
    )
    export_push_to: str = Field(
        "",
        description="Where these exports are pushed: hf://datasets/OWNER/NAME, a URL such as "
        "s3://BUCKET/PATH, or a folder; {format} in it stands for the format. Empty: nowhere.",
    )
    hub_token: SecretStr = Field(
        SecretStr(""),
        description="Token of the Hugging Face Hub that may write, for the copy and for pushing "
        "exports; empty: HF_TOKEN, or that of `hf auth login`.",
    )
    metrics_token: SecretStr = Field(
        SecretStr(""),
        description="What Prometheus sends as its bearer token to read /metrics, 16 characters or "
        "more; empty: only the owner's browser may, at /owner/metrics. See docs/running.md.",
    )
    traces_endpoint: str = Field(
        "",
        description="Where traces go over OTLP, such as http://localhost:4318; needs the packages "
        "of requirements-otel.txt; empty: nowhere.",
    )
    rate_limits: bool = Field(True, description="Limit requests a visitor and an address.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info",
        description="How much the log says. Prompts, outputs, tokens and addresses are never "
        "logged, except that debug shows what other libraries say.",
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="How each line of the log looks: for people, or one JSON object."
    )

    @field_validator(
        "text_models",
        "image_models",
        "image_adapters",
        "image_memory",
        "vae_models",
        "allowed_origins",
        "owners",
        "export_formats",
        mode="before",
    )
    @classmethod
    def split_at_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("export_every_hours", "export_every_labels", mode="before")
    @classmethod
    def empty_is_never(cls, value: object) -> object:
        return 0 if value == "" else value

    @model_validator(mode="after")
    def one_repository_for_each_format(self) -> "Settings":
        target = self.export_push_to
        if target.startswith("hf://") and len(self.export_formats) > 1 and "{format}" not in target:
            raise ValueError(
                "a repository of the Hub holds one dataset: put {format} into "
                "GENLOOP_EXPORT_PUSH_TO, or name one format"
            )
        return self

    @field_validator("text_models")
    @classmethod
    def at_least_one(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("name at least one text model")
        return value

    @field_validator("owner_token", "metrics_token")
    @classmethod
    def long_enough(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value()) < 16:
            raise ValueError("a token needs at least 16 characters")
        return value

    @field_validator("traces_endpoint")
    @classmethod
    def address(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("an endpoint begins with http:// or https://")
        return value

    def secret_in(self, variable: str) -> SecretStr | None:
        """The value of an environment variable that a setting names, or of a line of `.env`."""
        value = os.environ.get(variable) or dotenv_values(ROOT / ".env").get(variable)
        return SecretStr(value) if value else None

    @property
    def media(self) -> str:
        """The folder or URL of the pictures."""
        return self.media_dir or str(self.data_dir / "media")

    @property
    def database(self) -> str:
        """The database's URL."""
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'app.db'}"
