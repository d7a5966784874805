"""The command line, `imagegraph`: a file for each group of commands."""
