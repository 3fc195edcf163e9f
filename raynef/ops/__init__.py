"""ops: what tells about a machine, a cost or a state."""
