"""A job's life: queued, running, done, failed or cancelled; what happens is told as it happens."""
