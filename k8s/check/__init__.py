"""`make k8s-check`: checks the manifests before they reach a cluster.

Each module checks one aspect. A module's function `problems(resources)` yields one line per problem in a rendering,
which is the list of Kubernetes objects that kustomize prints.
"""
