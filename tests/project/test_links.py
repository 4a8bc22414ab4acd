"""The targets of relative links, anchors and images in all documents exist."""

from pathlib import Path

import pytest

from tests.helpers.markdown import DOCUMENTS, anchors, label, links
from tests.helpers.project import ROOT


@pytest.mark.parametrize("path", DOCUMENTS, ids=label)
def test_relative_links_exist(path: Path) -> None:
    broken = []
    for target in links(path):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        page = (path.parent / name).resolve() if name else path
        if not page.exists() or (anchor and anchor not in anchors(page)):
            broken.append(target)
    assert not broken


def test_readmes_link_all_documents() -> None:
    """README.md links to all documents except the Kubernetes pages, to which k8s/README.md links."""
    linked = set()
    for readme in (ROOT / "README.md", ROOT / "k8s" / "README.md"):
        linked |= {(readme.parent / target.partition("#")[0]).resolve() for target in links(readme)}
    assert [label(path) for path in DOCUMENTS if path not in linked] == ["README.md"]
