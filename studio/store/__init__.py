"""What the studio remembers: jobs, pictures, judgements; in a database and by content hash."""
