"""What is known of NVIDIA's GPUs, drivers and packages, and how a host's state is read; pure."""
