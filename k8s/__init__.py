"""The project on Kubernetes: manifests, and a check of them."""
