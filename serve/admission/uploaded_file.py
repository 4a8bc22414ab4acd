"""A file uploaded by a client."""

from dataclasses import dataclass

from serve.admission.bodies import Content


@dataclass(frozen=True)
class UploadedFile:
    """A file in a request.

    Attributes:
        name: the name that the client gave the file in a form; empty if there is none.
        data: the content, in memory or on disk.
    """

    name: str
    data: Content
