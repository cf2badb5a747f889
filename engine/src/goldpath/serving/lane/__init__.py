"""The fast lane: `/predict` and `/predict/batch` from a socket's bytes to the answer's."""
