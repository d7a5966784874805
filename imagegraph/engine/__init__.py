"""How a graph runs: the walk, what travels with a request, and its time limit."""
