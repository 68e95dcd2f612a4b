"""What good data is: one suite of expectations for each table, judged by Great Expectations.

An expectation names its rule in `meta`; rules on rows also say why a row that breaks it is set aside. Columns that only
judging needs (is the day a session, is the bar on the grid) are worked out beforehand by `pipelines/validate/facts.py`.
"""
