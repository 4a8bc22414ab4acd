"""The project on Kubernetes: manifests, and the check that an operator would accept them."""
