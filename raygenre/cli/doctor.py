"""`raygenre doctor`: check this installation and machine, and suggest fixes."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from raygenre.cli.console import out, styled
from raygenre.cli.options import StorageOption, TrackingUriOption
from raygenre.system.printable import printable
from raygenre.system.redaction import masked

if TYPE_CHECKING:
    from raygenre.system.finding import Finding

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}
_CHECK_WIDTH = 13  # characters
_INDENT = " " * (max(map(len, _COLOURS)) + 1)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per check.")] = False,
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """Check the installation, the machine, the storage, MLflow and the champion, and suggest fixes.

    Nothing is created or changed. The exit status is 1 if a check finds a problem; warnings do not count.
    """
    from raygenre.workflows.doctor import examine

    findings = []
    for finding in examine(storage_folder, tracking_uri):
        findings.append(finding)
        if as_json:
            texts = {"found": masked(finding.found), "remedy": masked(finding.remedy)}
            out.file.write(json.dumps(asdict(finding) | texts) + "\n")
            out.file.flush()
        else:
            _print(finding)
    counts = {status: sum(finding.status == status for finding in findings) for status in ("problem", "warning")}
    if not as_json:
        out.print(_summary(counts))
    if counts["problem"]:
        raise typer.Exit(1)


def _print(finding: "Finding") -> None:
    line = styled(f"{finding.status:<{len(_INDENT)}}", _COLOURS[finding.status])
    line.append(f"{finding.check:<{_CHECK_WIDTH}}{printable(masked(finding.found))}", "default")
    out.print(line, soft_wrap=True)
    if finding.remedy:
        indent = f"{_INDENT}{'':<{_CHECK_WIDTH}}"
        out.print(f"{indent}→ {printable(masked(finding.remedy))}", soft_wrap=True)


def _summary(counts: dict[str, int]) -> str:
    parts = [f"{count} {status}{'' if count == 1 else 's'}" for status, count in counts.items() if count]
    return ", ".join(parts) or "No problems found"
