"""Batches, optimization, the loop, checkpoints and evaluation."""
