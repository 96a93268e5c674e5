"""The graph of a recipe: stages, fingerprints, plan, builders."""
