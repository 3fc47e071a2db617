"""Facts computed from hostile files by a confined worker, checked and cached."""
