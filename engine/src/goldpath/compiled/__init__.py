"""A fitted pipeline as plain arrays: a float64 encoder and trees or weights, with proof of parity.

`compiler` reads a scikit-learn pipeline into a `form.CompiledForm`; `form` stores it without
pickle; `scorer` runs it, by `kernel.c` where a C compiler is there and by `arrays` where none is;
`parity` proves on rows drawn from the contract that it answers what the pipeline answers.
"""
