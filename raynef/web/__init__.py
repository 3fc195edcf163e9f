"""web: what answers HTTP."""
