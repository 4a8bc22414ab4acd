"""Creates MLflow's users on Kubernetes, as described in k8s/README.md."""

import re

import requests

from tests.helpers.k8s.pages import README

PASSWORDS = {"admin": "a-password-of-admin", "search": "a-password-of-search", "serving": "a-password-of-serving"}


def make_users(uri: str) -> None:
    [path] = re.findall(r"localhost:5000(/api\S+users\S+)", README.read_text())
    for user in ("search", "serving"):
        fields = {"username": user, "password": PASSWORDS[user]}
        answer = requests.post(f"{uri}{path}", json=fields, auth=("admin", PASSWORDS["admin"]), timeout=30)
        assert answer.status_code == 200, answer.text
