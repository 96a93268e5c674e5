"""The BERT encoder, its heads, and exchange with transformers."""
