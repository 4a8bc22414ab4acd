"""What can be set of the endpoint: every limit and switch, from the environment.

A field `most_bytes` is read from `RAYGENRE_MOST_BYTES`; `serve run serve.app:app most_bytes=1000000` says the same and
wins. The defaults are safe for an endpoint on the internet. Pictures need no limit of pixels: anything but the
dataset's 432×288 is refused by the header that a PNG has to begin with, or by a second one, before it is unpacked.
"""

import os
from pathlib import Path

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from raygenre.registry.versions import CHAMPION_URI

PREFIX = "RAYGENRE_"


class Settings(BaseSettings):
    """All settings, checked when the application is built."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    storage: str | None = Field(default=None, description="Folder of everything; ./results by default.")
    tracking_uri: str | None = Field(
        default=None,
        description="MLflow server with the registry; `MLFLOW_TRACKING_URI`, or the storage's SQLite by default.",
    )

    model_uri: str = Field(
        default=CHAMPION_URI,
        description="The model that answers: models:/NAME@ALIAS, models:/NAME/VERSION or a folder.",
    )
    challenger_uri: str = Field(
        default="", description="A second model that answers a share of the requests; none by default."
    )
    challenger_share: float = Field(
        default=0.1, ge=0, le=1, description="Share of the requests that the challenger answers."
    )
    poll_seconds: float = Field(
        default=15,
        gt=0,
        le=24,
        description="s between two looks whether an alias has moved, within a quarter more or less.",
    )

    most_bytes: int = Field(default=25_000_000, gt=0, description="Bytes of a request's body; 413 beyond.")
    most_held_bytes: int = Field(
        default=250_000_000, gt=0, description="Bytes of all bodies that a replica holds at a time; 503 beyond."
    )
    most_seconds: float = Field(default=900, gt=0, description="s of sound in a file; 422 beyond.")
    most_files: int = Field(default=8, gt=0, description="Files of a multipart request; 413 beyond.")
    request_seconds: float = Field(
        default=30,
        gt=0,
        description="s for a request: 408 if the body has not come by then, 503 if the answer is not ready.",
    )
    queue_length: int = Field(
        default=32, gt=0, description="Predictions under way or waiting in a replica; 429 beyond."
    )
    retry_after: int = Field(default=2, ge=0, description="s that Retry-After tells clients to wait after 429 and 503.")

    api_keys: SecretStr = Field(
        default=SecretStr(""), description="API keys, separated by commas; at least 16 characters each."
    )
    api_keys_file: Path | None = Field(default=None, description="File of API keys, one a line; # begins a comment.")
    insecure: bool = Field(default=False, description="Listen beyond this machine without API keys all the same.")
    cors_origins: str = Field(
        default="", description="Origins of other sites whose pages may ask, separated by commas."
    )

    min_replicas: int = Field(default=1, ge=1, description="Replicas that are always there.")
    max_replicas: int = Field(
        default_factory=lambda: max(1, min(2, (os.cpu_count() or 1) // 2)),
        ge=1,
        description="Replicas under load; one for every two CPUs of the machine, and two at most, by default.",
    )
    replica_cpus: float = Field(default=1, ge=0, description="CPUs that a replica reserves.")
    replica_gpus: float = Field(default=0, ge=0, description="GPUs that a replica reserves; a fraction shares one.")
    threads: int = Field(
        default=2, ge=1, description="Batches that are in a replica's network at a time, each on one thread."
    )
    decoders: int = Field(default=2, ge=1, description="Files that a replica decodes at a time.")
    batch: int = Field(
        default=4,
        ge=1,
        description="Windows of 30 s that go through the network together, at most; 32 or more on a GPU.",
    )
    direct_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port on which replicas answer by themselves as well, without Ray's proxy; 0 for none. There are "
        "always max_replicas then.",
    )

    @field_validator("max_replicas")
    @classmethod
    def _at_least_the_least(cls, value: int, info: ValidationInfo) -> int:
        least = info.data.get("min_replicas", 1)
        if value < least:
            raise ValueError(f"max_replicas must be at least min_replicas, which is {least}")
        return value

    @property
    def origins(self) -> list[str]:
        """`cors_origins` as a list."""
        return [origin.strip() for origin in self.cors_origins.split(",") if origin.strip()]
