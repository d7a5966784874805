"""A graph over many inputs: a table of rows, run once each, whatever happens meanwhile."""
