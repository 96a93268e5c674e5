"""Prefect tasks: one core call each, with its policy and its artifact."""
