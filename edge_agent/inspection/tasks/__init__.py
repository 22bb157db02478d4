"""Tasks: what a model does with a part, and how its outputs are read. One file each."""
