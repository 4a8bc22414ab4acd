"""The interface of all tag formats: the frames that may change, and the others.

Conventions: a frame is the format's unit of tags (an ID3 frame, an MP4 atom, a Vorbis comment, an APE item, an ASF
attribute). `Stored` holds the frames that raygenre may change, as JSON-compatible text; frames that the file lacks are
omitted. Two equal `Stored` values represent the same frames.
"""

import errno
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from raygenre.errors import RaygenreError

MODEL, CONFIDENCE = "raygenre_model", "raygenre_confidence"

Stored = Mapping[str, Sequence[str]]


class TagError(RaygenreError, ValueError):
    """A file's tags cannot be read or written; the message explains why, without the file's name."""


@dataclass(frozen=True)
class Provenance:
    """The origin of a genre.

    Attributes:
        model: the model's name.
        confidence: the probability of the genre.
    """

    model: str
    confidence: float

    def texts(self) -> dict[str, str]:
        """Return the texts to write, by field name."""
        return {MODEL: self.model, CONFIDENCE: f"{self.confidence:.4f}"}


class FileTags(ABC):
    """The tags of one file, read once and changed in memory until `save`."""

    @property
    @abstractmethod
    def genres(self) -> tuple[str, ...]:
        """The file's genres, without empty names; an empty tuple if the file has no genre."""

    @property
    @abstractmethod
    def provenance(self) -> dict[str, str]:
        """The texts of the provenance fields that the file has."""

    @abstractmethod
    def stored(self) -> Stored:
        """Return the frames that raygenre may change, exactly as they are in the file."""

    @abstractmethod
    def others(self) -> object:
        """Return all other tags, for comparison."""

    @abstractmethod
    def set(self, genres: Sequence[str], provenance: Provenance | None) -> None:
        """Set the genres, each as a separate value, and the provenance; None removes any earlier provenance."""

    @abstractmethod
    def restore(self, stored: Stored) -> None:
        """Restore earlier versions of the frames that raygenre may change.

        Raises:
            TagError: the file's tags have since been converted, so they cannot hold the earlier frames.
        """

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write the tags to a file that still contains the original tags."""


@contextmanager
def mutagen_errors(failure: str) -> Iterator[None]:
    """Turn mutagen's errors into a TagError with the message `FAILURE: REASON`.

    Raises:
        OSError: the file cannot be read or written.
        TagError: mutagen raised any other error.
    """
    try:
        yield
    except TagError:
        raise
    except Exception as error:  # mutagen raises many types of errors for damaged files
        cause = error.__cause__ or error.__context__ or error  # mutagen wraps an OSError in its own error
        if isinstance(cause, OSError) and cause.errno not in (None, errno.EINVAL):  # EINVAL: bad seek offset
            raise cause from error
        raise TagError(f"{failure}: {str(error) or type(error).__name__}") from error
