"""Graphs to call from Python: in this process, or where they are served."""
