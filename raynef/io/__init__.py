"""io: files and places, knowing nothing of the field."""
