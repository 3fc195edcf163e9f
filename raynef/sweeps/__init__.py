"""sweeps: whatever compares runs."""
