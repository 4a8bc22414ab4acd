"""`make k8s-check`: whether the manifests are what a cluster, its operators and its people would take.

Each module is one reason to refuse. It has `problems(resources)`, which yields a line for each thing that is wrong in a
rendering, a list of Kubernetes objects as they come out of kustomize.
"""
