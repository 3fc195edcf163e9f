"""What every command leaves behind, kept as a record that a refactor must not change."""
