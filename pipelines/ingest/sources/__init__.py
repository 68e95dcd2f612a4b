"""Where data is collected from: each module knows one kind of source and hands over what it holds, faults and all.

Nothing is stored or judged here; `pipelines/ingest/source.py` says what a source hands over.
"""
