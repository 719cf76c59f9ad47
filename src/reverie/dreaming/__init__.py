"""What trained networks see: DeepDream in photographs, images of classes and channels, an atlas of layers."""
