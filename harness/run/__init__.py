"""The story of a run: what is started, which phases are walked, how it migrates, how it is judged."""
