"""The feature store: feature views, point-in-time joins, and the online store that serves them."""
