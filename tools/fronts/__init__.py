"""What stands in front of a server, tried with the lines of docs/TLS.md (``make fronts``)."""
