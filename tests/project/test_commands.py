"""Each command in the documents is run by a test, or this file explains why it is not run.

The quick start, `raygenre` commands and requests to the endpoint run as written; for other commands, tests run the same
programs.

All options in the documents exist.
"""

import ast
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from typer.main import get_command

from raygenre.cli import app
from tests.helpers.markdown import DOCUMENTS, commands, inline_code, label
from tests.helpers.project import ROOT, SCRIPT

TUNE = "experiments/tune.py"

RUN = {
    # Maps the first words of a command to the file or folder of the test that runs it, and to some of that test's text.
    "curl --data-binary @song.mp3": ("tests/serve/test_document_commands.py", "GUIDES"),
    "curl --data-binary @- -H 'Content-Type": ("tests/serve/test_document_commands.py", "GUIDES"),
    "curl -F file=@one.mp3": ("tests/serve/test_document_commands.py", "GUIDES"),
    "curl -H": ("tests/serve/admission/test_api_keys.py", "Bearer"),
    "kubectl apply --server-side -k": ("tests/k8s/test_steps.py", "kubectl apply --server-side -k"),
    "kubectl -n raygenre delete rayjobs,rayservices": ("tests/k8s/test_removal.py", "DELETE_RAY"),
    "kubectl -n raygenre exec deployment/mlflow -- python -c 'from mlflow": (
        "tests/k8s/test_mlflow.py",
        "mlflow.server.auth",
    ),
    "kubectl -n raygenre exec deployment/mlflow -- python -c 'import sqlite3": (
        "tests/k8s/test_steps.py",
        "import sqlite3",
    ),
    "kubectl -n raygenre exec deployment/mlflow -- sh -c": ("tests/k8s/test_mlflow.py", "mlflow gc"),
    "kubectl -n raygenre patch $object": ("tests/k8s/test_removal.py", "RELEASE"),
    "kubectl -n raygenre wait --for=delete": ("tests/k8s/test_removal.py", "DELETE_RAY"),
    "kubectl delete namespace": ("tests/k8s/test_removal.py", "DELETE_REST"),
    "kubectl delete priorityclass": ("tests/k8s/test_removal.py", "DELETE_REST"),
    "kubectl patch persistentvolume": ("tests/k8s/test_removal.py", "KEEP"),
    "old=$(secret api-keys keys)": ("tests/k8s/test_secrets.py", "FIRST_KEYS"),
    "password=": ("tests/k8s/test_secrets.py", "postgres-mlflow"),
    "renew": ("tests/k8s/test_secrets.py", "test_every_other_secret"),
    "restart_endpoint": ("tests/k8s/test_secrets.py", "restart_endpoint"),
    "secret()": ("tests/k8s/test_secrets.py", "FUNCTIONS"),
    "make k8s-check": ("tests/k8s/test_check.py", "k8s.check"),
    "make --silent k8s-search": ("tests/k8s/test_search.py", "from k8s import search, study_exists"),
    "make serve": ("tests/faults/test_default.py", "tune, serve, "),
    "make tune": ("tests/faults/test_default.py", "tune, serve, "),
    "make tune ARGS=": ("tests/cli/test_tune.py", "SCRIPT"),
    "make ui": ("tests/cli/test_ui.py", '"make"'),
    ".venv/bin/raygenre predict --tags": ("tests/cli/test_pretrained.py", '"predict", "--tags"'),
    "pg_dump": ("tests/k8s/test_mlflow.py", "pg_dump"),
    "pg_restore": ("tests/k8s/test_mlflow.py", "pg_restore"),
    'printf \'{"username"': ("tests/helpers/k8s/mlflow_users.py", "localhost:5000"),
    "pytest tests/": ("Makefile", "test-all"),
    "pytest -m slow": ("Makefile", "test-all"),
    "python experiments/robustness.py": ("tests/workflows/test_robustness.py", "robustness.py"),
    "python experiments/tune.py": ("tests/cli/test_tune.py", "SCRIPT"),
    "python scripts/tree.py": ("tests/project/test_tree.py", "tree.page_with_tree"),
    "raygenre ": ("tests/project/test_raygenre_commands.py", "COMMANDS"),
    "mlflow server --app-name basic-auth": ("tests/servers/conftest.py", "basic-auth"),
    "env $(python -m serve.network.proxy_environment) serve run serve/public.yaml": (
        "tests/serve/network/test_proxy_environment.py",
        "serve/public.yaml",
    ),
}

NOT_RUN = {
    # Maps the first words of a command to the reason why no test runs it.
    "docker": "needs a container engine; tests/k8s/test_files.py checks its arguments",
    "done": "the end of a loop",
    "python experiments/baseline.py": "takes hours; tests/workflows/test_results.py tests what it calls",
    "python experiments/results.py": "takes hours; tests/workflows/test_results.py tests what it calls",
    "export": "sets variables for the commands after it",
    "for": "the start of a loop",
    "head=$(kubectl": "needs a cluster",
    "helm": "needs a cluster",
    "kind": "needs a container engine",
    "kubectl -n raygenre cp": "needs a cluster",
    "kubectl -n raygenre create secret": "needs a cluster; tests/k8s/test_files.py checks its keys",
    "kubectl -n raygenre delete": "needs a cluster",
    "kubectl -n raygenre exec deployment/mlflow -- tar": "needs a cluster",
    "kubectl -n raygenre exec --stdin": "needs a cluster",
    "kubectl -n raygenre exec $head": "needs a cluster; tests/servers/test_studies.py submits elsewhere",
    "kubectl -n raygenre logs": "needs a cluster",
    "kubectl -n envoy-gateway-system get": "needs a cluster",
    "kubectl -n raygenre describe": "needs a cluster",
    "kubectl -n raygenre get": "needs a cluster",
    "kubectl delete crd": "needs a cluster",
    "kubectl label namespace": "needs a cluster",
    "kubectl -n raygenre port-forward": "needs a cluster",
    "kubectl -n raygenre rollout": "needs a cluster",
    "kubectl -n raygenre scale": "needs a cluster",
    "kubectl -n raygenre wait": "needs a cluster; tests/k8s/test_steps.py checks its object",
    "kubectl -n kuberay-system rollout": "needs a cluster",
    "kubectl -n team-a auth can-i": "needs a cluster; tests/k8s/test_pages.py checks the role",
    "kubectl apply --server-side --force-conflicts -f kuberay-operator/crds": "needs a chart from the network",
    'python -c "from optuna.storages': "needs PostgreSQL; tests/search/study/test_grpc_proxy.py serves the same proxy",
    "psql": "needs a server; tests/k8s/test_secrets.py reads its statement",
    "curl --fail https:": "needs an ingress controller",
    "curl --fail": "needs a cluster; tests/helpers/k8s/mlflow_users.py sends the same request",
    "curl --retry": "needs a cluster; tests/serve/admission/test_api_keys.py sends the same header",
    ".venv/bin/raygenre pretrained install": "needs a network; tests/pretrained/test_install.py installs from a file",
    ".venv/bin/pre-commit install": "changes the checkout's hooks",
    "make bench": "takes minutes to an hour; tests/project runs parts of the benchmarks",
    "make check": "runs tests itself",
    "make dashboard": "runs until Ctrl-C; tests/cli/test_dashboard.py runs its command",
    "make format": "changes the sources",
    "make openapi": "changes a source; a test in tests/serve compares the document",
    "make screenshots": "takes minutes; tests/browser/test_mlflow.py runs its test",
    "make test": "runs tests itself",
    "pip install": "changes the environment",
    "python -m benchmarks.": "takes minutes to an hour; tests/project runs parts of them",
    "python benchmarks/": "takes minutes to an hour",
    "uv pip install": "changes the environment",
}

FOREIGN_OPTIONS = {
    # Options in inline code that belong to other programs.
    "--allowed-hosts",
    "--build-arg",
    "--runtime-env",
    "--set",
}


@pytest.mark.parametrize("path", DOCUMENTS, ids=label)
def test_every_command_is_run_by_a_test_or_has_a_reason(path: Path) -> None:
    missing = [command for command in commands(path) if not command.startswith((*RUN, *NOT_RUN))]
    assert not missing, "add the first words to RUN or NOT_RUN"


def test_lists_of_commands_have_no_stale_entries() -> None:
    shown = [command for path in DOCUMENTS for command in commands(path)]
    assert [words for words in (*RUN, *NOT_RUN) if not any(command.startswith(words) for command in shown)] == []


@pytest.mark.parametrize("words", RUN)
def test_the_named_test_contains_the_command(words: str) -> None:
    name, text = RUN[words]
    path = ROOT / name
    assert any(text in file.read_text() for file in (path.rglob("*.py") if path.is_dir() else [path]))


@pytest.mark.parametrize("path", DOCUMENTS, ids=label)
def test_commands_and_options_exist(path: Path) -> None:
    for text in [*commands(path), *inline_code(path)]:
        allowed = allowed_options(text)
        if allowed is not None:
            assert set(options(text)) <= allowed, text


def allowed_options(text: str) -> set[str] | None:
    """Return the options of the command in a text; None if the command does not belong to this project."""
    if text.startswith("--"):
        subcommands = get_command(app).commands  # type: ignore[attr-defined]
        return tune_options().union(FOREIGN_OPTIONS, *(raygenre_options(name) for name in subcommands))
    if TUNE in text or text.startswith("make tune"):
        return tune_options()
    if found := re.match(r"(?:\.venv/bin/)?raygenre ([a-z]+)(?: ([a-z]+)\b)?", text):
        return raygenre_options(*found.groups())
    if found := re.search(r"python (?:-m )?((?:benchmarks|experiments|scripts|k8s)[./]\w+)", text):
        return script_options(found[1])
    return None


def options(text: str) -> list[str]:
    return re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)


@cache
def tune_options() -> set[str]:
    environment = os.environ | {"COLUMNS": "300", "NO_COLOR": "1", "TERM": "dumb"}
    text = subprocess.run(
        [sys.executable, str(SCRIPT), "--help"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout
    return set(options(text))


def raygenre_options(name: str, subcommand: str | None = None) -> set[str]:
    """Return a command's options; if it has subcommands, the options of one or all of them."""
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert name in commands, f"raygenre has no command {name}"
    chosen = [commands[name]]
    if own := getattr(commands[name], "commands", {}):
        assert subcommand is None or subcommand in own, f"raygenre {name} has no command {subcommand}"
        chosen = [own[subcommand]] if subcommand else [*own.values()]
    parameters = [parameter for command in chosen for parameter in command.params]
    return {"--help"}.union(*(parameter.opts + parameter.secondary_opts for parameter in parameters))


def script_options(name: str) -> set[str]:
    """Return the options of a script: its literals that start with two dashes, and the parameters of its functions."""
    source = (ROOT / f"{name.removesuffix('.py').replace('.', '/')}.py").read_text()
    allowed = set(re.findall(r'"(--[a-z-]+)"', source))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            parameters = [*node.args.args, *node.args.kwonlyargs]
            allowed |= {f"--{parameter.arg.replace('_', '-')}" for parameter in parameters}
            switches = [one for one in parameters if one.annotation and "bool" in ast.unparse(one.annotation)]
            allowed |= {f"--no-{parameter.arg.replace('_', '-')}" for parameter in switches}
    return allowed | {"--help"}
