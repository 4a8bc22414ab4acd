"""Runs the command that checks the manifests."""

import contextlib
import io

import pytest

from k8s.check import rendering
from k8s.check.__main__ import main
from tests.helpers.k8s.rendered import rendered


def run_check(*overlays: str, **environment: str) -> tuple[int, str]:
    """Run the command in this process, with the shared renderings; return its exit status and output."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        for variable in ("KUBERAY_CRDS", "KUBECONFIG"):
            patch.delenv(variable, raising=False)
        for variable, value in environment.items():
            patch.setenv(variable, value)
        patch.setattr(rendering, "render", rendered)
        return main(list(overlays)), printed.getvalue()
