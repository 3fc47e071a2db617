"""Who is running: mappings, executable, cgroup, service name, resource attributes."""
