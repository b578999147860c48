"""The page: a run and its stack live in a browser on this machine, and the same page as a report in one file."""
