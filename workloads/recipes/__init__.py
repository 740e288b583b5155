"""Recipes that come with hyflexsim, one TOML file each (compression/recipe.py)."""
