"""`make k8s-check`: checks the manifests before a cluster does.

Each module checks one thing. Its `problems(resources)` yields one line for each problem in a rendering, which is a list
of Kubernetes objects as kustomize prints them.
"""
