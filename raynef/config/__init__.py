"""config: the recipe, its presets, and how flags and YAML lie over them."""
