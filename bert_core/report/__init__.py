"""Plots, tables and the one-file HTML report."""
