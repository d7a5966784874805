"""model-init: the weights of a bundle once, onto a volume, verified."""

__version__ = "0.1.0"
