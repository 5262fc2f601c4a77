"""What is done to images, as functions of tensors alone: normalisation, augmentations, RandAugment, JPEG.

Nothing in here knows who asks, a student or a matcher."""
