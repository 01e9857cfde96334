"""The language of filters: MLflow's, with OR, NOT, parentheses, regular expressions, lists and aggregates added.

What MLflow's own parser accepts means the same here, so that a part of a filter means what it means alone.
"""
