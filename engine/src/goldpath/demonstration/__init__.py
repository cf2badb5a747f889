"""The loop from drift to a new champion, shown live on the sample, in a project of its own."""
