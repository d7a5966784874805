"""What is written of requests: metrics, traces, the log."""
