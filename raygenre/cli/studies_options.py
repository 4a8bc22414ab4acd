"""Options that the commands of `raygenre studies` share."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from raygenre.system.storage import Storage, resolve

if TYPE_CHECKING:
    from raygenre.studies.store import StudyStore
    from raygenre.studies.study import Study

NameArgument = Annotated[str, typer.Argument(help="Name of the study.", show_default=False)]
StudyUrlOption = Annotated[
    str | None,
    typer.Option(
        "--study-url",
        envvar="RAYGENRE_STUDY_URL",
        show_envvar=False,
        help="Database of the studies (default: $RAYGENRE_STUDY_URL, else a file in the storage).",
        show_default=False,
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        envvar="RAY_ADDRESS",
        show_envvar=False,
        help="Ray cluster, such as http://HEAD:8265 (default: $RAY_ADDRESS, else this machine).",
        show_default=False,
    ),
]


def store_of(storage: str | None, study_url: str | None, tracking_uri: str | None) -> "StudyStore":
    """Return the study store that a command's options specify."""
    from raygenre.studies.store import open_store  # imported here because it loads SQLAlchemy

    return open_store(storage, study_url, tracking_uri)


def storage_of(study: "Study", tracking_uri: str | None = None) -> Storage:
    """Return a study's storage, with the recorded tracking server unless one is given."""
    options = json.loads(study.request)["options"]
    return resolve(study.storage, tracking_uri or options["tracking_uri"])
