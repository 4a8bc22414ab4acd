"""Kubernetes manifests for the project, and a check for them."""
