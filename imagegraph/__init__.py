"""imagegraph: one graph of image models, written once, run embedded, plain, on Seldon or on KServe."""

__version__ = "0.1.0"
