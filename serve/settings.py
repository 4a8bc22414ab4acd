"""The endpoint's settings, read from the environment.

For example, the field `most_bytes` is read from `RAYGENRE_MOST_BYTES`; `serve run serve.app:app most_bytes=1000000`
sets the same field and overrides the environment. The defaults are safe for an endpoint on the public internet. PNGs
need no pixel limit: a PNG is refused before decompression if any of its headers states a size other than 432×288, the
size of the dataset's images.
"""

import os
from pathlib import Path

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from raygenre.registry.versions import CHAMPION_URI
from serve.jobs.settings import JobSettings

PREFIX = JobSettings.model_config["env_prefix"]


class Settings(JobSettings):
    """All settings, validated when the application is built."""

    storage: str | None = Field(
        default=None, description="Storage folder for studies, runs and models; defaults to ./results."
    )
    tracking_uri: str | None = Field(
        default=None,
        description="MLflow server with the model registry; defaults to `MLFLOW_TRACKING_URI`, or to SQLite in the "
        "storage folder.",
    )

    model_uri: str = Field(
        default=CHAMPION_URI,
        description="Model to serve: models:/NAME@ALIAS, models:/NAME/VERSION or a folder.",
    )
    challenger_uri: str = Field(
        default="", description="Second model, which handles a share of the requests; none by default."
    )
    challenger_share: float = Field(
        default=0.1, ge=0, le=1, description="Share of the requests that the challenger handles."
    )
    pretrained_folder: Path | None = Field(
        default=None,
        description="Folder of the pretrained network, which predicts tags; defaults to the user's cache, where "
        "`raygenre pretrained install` stores it.",
    )
    poll_seconds: float = Field(
        default=15,
        gt=0,
        le=24,
        description="Seconds between registry polls (±25 % jitter).",
    )

    api_keys: SecretStr = Field(
        default=SecretStr(""), description="API keys of at least 16 characters, separated by commas."
    )
    api_keys_file: Path | None = Field(
        default=None, description="File with one API key per line; # starts a comment. Changes apply without a restart."
    )
    insecure: bool = Field(default=False, description="Allow other machines to connect without API keys.")
    cors_origins: str = Field(
        default="", description="Comma-separated origins of other sites that may call the API from a browser."
    )

    min_replicas: int = Field(default=1, ge=1, description="Minimum number of replicas.")
    max_replicas: int = Field(
        default_factory=lambda: max(1, min(2, (os.cpu_count() or 1) // 2)),
        ge=1,
        description="Maximum number of replicas; defaults to one per two CPUs of the machine, but at most two.",
    )
    replica_cpus: float = Field(default=1, ge=0, description="CPUs that a replica reserves.")
    replica_gpus: float = Field(
        default=0, ge=0, description="GPUs reserved for each replica; use a fraction to share a GPU."
    )
    threads: int = Field(
        default=2,
        ge=1,
        description="Number of batches that a replica classifies at the same time, one per thread.",
    )
    decoders: int = Field(default=2, ge=1, description="Number of files that a replica decodes at the same time.")
    batch: int = Field(
        default=4,
        ge=1,
        description="Maximum number of 30 s windows in a batch; use 32 or more on a GPU.",
    )
    upload_folder: Path | None = Field(
        default=None,
        description="Folder for bodies larger than 4 MB, preferably not in memory; defaults to `TMPDIR` or /var/tmp.",
    )

    @field_validator("max_replicas")
    @classmethod
    def _check_max_replicas(cls, max_replicas: int, info: ValidationInfo) -> int:
        min_replicas = info.data.get("min_replicas", 1)
        if max_replicas < min_replicas:
            raise ValueError(f"max_replicas must be at least min_replicas, which is {min_replicas}")
        return max_replicas

    @property
    def origins(self) -> list[str]:
        """`cors_origins` as a list."""
        return [origin.strip() for origin in self.cors_origins.split(",") if origin.strip()]
