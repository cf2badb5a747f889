"""How the rows of a table hang together, found from the table: an order in time, and groups.

Random folds judge a model on rows whose neighbours in time, or whose group, it has learned from.
Where that is so, the estimate of the score is too good.
"""
