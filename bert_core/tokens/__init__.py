"""Documents to token ids with word and entity boundaries."""
