"""The kernel side: load BPF, open perf events, drain rings; knows nothing of OTLP."""
