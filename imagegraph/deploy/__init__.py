"""Releases on Kubernetes: rendered manifests, helm, a canary's figures and verdict."""
