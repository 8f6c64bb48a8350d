"""The run folder: what a run writes, how it is resumed, and its network ready to classify."""
