"""Settings for jobs, and the limits that replace those of ordinary requests."""

from dataclasses import asdict, replace

from pydantic import Field, SecretStr

from serve.admission.limits import DECODER_GRACE, WAY_OUT, Limits, LimitSettings
from serve.errors import RefusalError

# Seconds of audio per second; a slower decoder terminates itself. The limit is low because requests have priority.
MIN_DECODE_SPEED = 2.0


class JobSettings(LimitSettings):
    """The settings for jobs."""

    jobs_database: SecretStr = Field(
        default=SecretStr(""),
        description="Database for jobs and their files, as a URL such as "
        "postgresql+psycopg2://USER:PASSWORD@HOST/NAME; defaults to the SQLite file jobs.db in the storage folder. "
        "Replicas on several machines need PostgreSQL.",
    )
    most_jobs: int = Field(
        default=100, gt=0, description="Maximum number of jobs running or waiting; further jobs get 429."
    )
    most_job_bytes: int = Field(
        default=2_000_000_000, gt=0, description="Maximum size of a job's body in bytes; larger ones get 413."
    )
    most_job_seconds: float = Field(
        default=21_600, gt=0, description="Maximum duration of an audio file in a job, in seconds."
    )
    most_jobs_bytes: int = Field(
        default=10_000_000_000,
        gt=0,
        description="Maximum total size, in bytes, of the files of unfinished jobs in the database; jobs beyond it get "
        "503.",
    )
    keep_jobs_seconds: float = Field(
        default=86_400, gt=0, description="Seconds for which the result of a job is kept after it has finished."
    )
    job_lease_seconds: float = Field(
        default=20, ge=1, description="Seconds after which another replica takes over the job of a replica that died."
    )
    callback_hosts: str = Field(
        default="",
        description="Comma-separated host names that jobs may notify over HTTPS when they finish; none by default. "
        "Addresses of private networks are never contacted.",
    )

    @property
    def allowed_callback_hosts(self) -> frozenset[str]:
        """`callback_hosts` as a set of names in lower case."""
        return frozenset(host.strip().lower() for host in self.callback_hosts.split(",") if host.strip())


class JobLimits(Limits):
    """The limits on a job's body and audio, with messages that name the corresponding settings."""

    def body_too_large(self) -> RefusalError:
        limit = f"{self.body_bytes / 1e6:g} MB (RAYGENRE_MOST_JOB_BYTES)"
        return self.too_large(f"the job's body is larger than the limit of {limit}; send an MP3, or {WAY_OUT}")

    def audio_too_long(self) -> RefusalError:
        limit = f"{self.audio_seconds:g} s for jobs (RAYGENRE_MOST_JOB_SECONDS)"
        return RefusalError(422, f"the audio is longer than the limit of {limit}; split it into parts, or {WAY_OUT}")


def job_limits(settings: JobSettings) -> JobLimits:
    """Derive the limits of jobs from the settings."""
    limits = replace(
        Limits.of(settings),
        body_bytes=settings.most_job_bytes,
        audio_seconds=settings.most_job_seconds,
        decode_seconds=settings.request_seconds + settings.most_job_seconds / MIN_DECODE_SPEED + DECODER_GRACE,
    )
    return JobLimits(**asdict(limits))
