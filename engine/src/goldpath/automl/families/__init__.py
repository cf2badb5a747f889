"""The families of AutoML's search; those of `learning.families` are unrelated."""
