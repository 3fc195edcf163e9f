"""cli: commands (verbs) over the packages (nouns); imports lazily."""
