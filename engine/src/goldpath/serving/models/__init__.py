"""The routes of one model, and how further models are served beside it at `/models/NAME`."""
