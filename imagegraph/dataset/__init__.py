"""Pictures of a folder or of the hub as a data set: whole ones, each once, of one size, split, described."""
