"""Raw bytes to clean documents, and labelled files to records."""
