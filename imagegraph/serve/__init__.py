"""A process that serves a node or a graph over REST and gRPC."""
