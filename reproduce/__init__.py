"""Every table and figure of the paper, ours beside theirs: `python -m reproduce --help`."""
