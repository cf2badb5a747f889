"""AutoML: a search over model families that keeps a stated budget.

`engine.find_model` takes a table and a target and returns one fitted model;
`clustering.find_clusters` does without a target; `sharing` spreads a search over processes and
hosts. None of it knows the contract: it works on any pandas DataFrame.
"""
