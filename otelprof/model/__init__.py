"""Build, read, merge and check OTLP ProfilesData; needs neither root nor kernel."""
