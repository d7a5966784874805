"""Components for the servers of others: folders that serve one in a framework that people have already."""
