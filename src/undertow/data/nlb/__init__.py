"""The Neural Latents Benchmark (Pei et al. 2021): its data sets, trials and targets from its files, a generator of such files."""
