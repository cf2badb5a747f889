"""The pages for people, without a script or style from elsewhere."""
