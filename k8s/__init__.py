"""The project on Kubernetes: manifests, and a check for them."""
