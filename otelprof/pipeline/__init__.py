"""Windows, batches and the road from samples to exporters."""
