"""A machine that runs a graph by itself: the embedded engine, provenance, saved results."""
