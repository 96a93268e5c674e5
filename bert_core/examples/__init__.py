"""Tokens to pretraining pairs and labelled examples; masking; audit."""
