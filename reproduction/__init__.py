"""What `reproduce.py` is made of: the paper's figures, the runs that stand beside them, tables and pictures."""
