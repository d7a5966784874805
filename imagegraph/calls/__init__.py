"""Ways to a node: in this process, over HTTP, over gRPC, cached, checked, placed by node."""
