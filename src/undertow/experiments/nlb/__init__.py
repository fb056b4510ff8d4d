"""The Neural Latents Benchmark from files to scores: prepare, baselines, submit, score, and the guard over the test split."""
