"""File formats: each a writer (and a reader) of ProfilesData."""
