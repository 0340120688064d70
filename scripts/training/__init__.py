"""Training: targets, losses, augmentation, handlers."""
