"""The training loop, its checkpoints, augmentation and optimizer."""
