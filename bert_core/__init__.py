"""The library under the line: corpus, tokens, examples, model, training. It knows no Prefect."""
