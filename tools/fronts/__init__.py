"""What stands in front of a server, tried with the lines of the pages (``make fronts``)."""
