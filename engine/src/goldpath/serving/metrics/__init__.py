"""What `GET /metrics` shows: requests, predictions, and the figures that reports hold."""
