"""`make k8s-check`: checks the manifests before a cluster does.

Each module checks one aspect. Its function `problems(resources)` yields one line for each problem in a rendering, which
is the list of Kubernetes objects that kustomize prints.
"""
