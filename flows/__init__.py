"""Flows: which stage follows which, and the command line."""
