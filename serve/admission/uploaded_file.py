"""A file uploaded by a client."""

from dataclasses import dataclass

from serve.admission.bodies import Content


@dataclass(frozen=True)
class UploadedFile:
    """A file in a request.

    Attributes:
        name: name of the file in a form; empty if the client sent no name.
        data: the content, in memory or on disk.
    """

    name: str
    data: Content
