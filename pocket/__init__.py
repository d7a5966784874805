"""The model family in miniature: a synthetic world, training recipes and the trained weights."""
