"""What is declared: the catalogue, weights, graphs, and the documents of Seldon and KServe."""
