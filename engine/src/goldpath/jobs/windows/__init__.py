"""Window features in the lake's jobs: the rows they are made from, and a version's own columns."""
