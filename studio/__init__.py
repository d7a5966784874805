"""The studio: REST API and web page over the graphs, and a store that remembers results and judgements."""
