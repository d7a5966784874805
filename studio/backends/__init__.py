"""Ways to a graph: in this process, or deployed and reached by its V2 URL; one shape for both."""
